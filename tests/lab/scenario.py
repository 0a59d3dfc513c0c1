"""One run of the lab: an agent in one mode, clients of every kind and lifetime, truth and findings by connection."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from netally.contracts.codes import Cause
from tests.capture_box import Box, box, metric
from tests.namespaces import ip
from tests.services import wait_until

FIRST_PORT = 20_000
SIZE = 150_000
"""Bytes of one download: several segments, over within a millisecond."""
KINDS = ("curl", "curl6", "shell", "python", "datagrams", "server")
UNPRIVILEGED = (
    "import ctypes, struct, sys\n"
    "assert ctypes.CDLL(None).capset(struct.pack('=Ii', 0x20080522, 0), bytes(24)) == 0\n"
    "from netally.capture.app import main\n"
    "sys.exit(main())\n"
)
TCP_CLIENT = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as s:
    s.sendall(f"{sys.argv[3]} {sys.argv[4]}\\n".encode())
    while s.recv(65536): pass
"""
UDP_CLIENT = """
import socket, sys, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.connect((sys.argv[1], int(sys.argv[2])))
    for _ in range(20):
        s.send(b"1200 0".ljust(600))
        s.recv(2000)
    time.sleep(int(sys.argv[4]) / 1000)
"""
FORKING_SERVER = """
import os, re, signal, socket, sys, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
with socket.create_server(("", int(sys.argv[2]))) as server:
    print("ready", flush=True)
    while True:
        accepted, _ = server.accept()
        if os.fork() == 0:
            size, hold = accepted.makefile("rb").readline().split()
            time.sleep(int(hold) / 1000)
            accepted.sendall(bytes(int(size)))
            os._exit(0)
        accepted.close()
"""


class Lifetime(NamedTuple):
    words: str
    hold_ms: int
    connections: int


class Setting(NamedTuple):
    """What the wire is like."""

    words: str
    offload: bool = False
    mtu: int = 1500


class Outcome(NamedTuple):
    """One connection: what was, and what the agent said."""

    kind: str
    lifetime: str
    lived_ms: float
    owner: str
    found: str
    wire_bytes: int
    counted: int
    payload_in: int
    """Payload that the agent's machine received."""
    counted_payload_in: int
    """The same by the agent, from its bytes and packets (52 bytes of headers each; for IPv6 72)."""


class Run(NamedTuple):
    mode: str
    setting: Setting
    outcomes: list[Outcome]
    causes: dict[str, int]
    """Bytes, both directions, of the uplink by cause."""
    counter: int
    packets: int
    """Of the counter."""


def run(mode: str, setting: Setting, lifetimes: list[Lifetime]) -> Run:
    """The agent's mode is what it says it is, or this fails."""
    with box(offload=setting.offload) as machine, contextlib.ExitStack() as started:
        for namespace in (machine.here, machine.world):
            ip("-n", namespace.name, "link", "set", namespace.interface, "mtu", str(setting.mtu))
        kinds = [kind for kind in KINDS if mode != "unprivileged" or kind not in ("datagrams",)]
        jobs = [(kind, lifetime) for lifetime in lifetimes for kind in kinds for _ in range(lifetime.connections)]
        world = started.enter_context(start_world(machine, len(jobs)))
        if mode == "unprivileged":
            machine.start_agent(program=UNPRIVILEGED, NETALLY_CAPTURE_MODE="")
        else:
            machine.start_agent(NETALLY_CAPTURE_MODE=mode)
        assert machine.ask("agent")[0]["mode"] == mode, machine.ask("agent")
        for number, (kind, _) in enumerate(jobs):
            if kind == "server":
                start_server(machine, number)
        # A server is there before its clients are.
        settle(machine)
        for kind, lifetime in dict.fromkeys(jobs):
            numbers = [number for number, job in enumerate(jobs) if job == (kind, lifetime)]
            perform(machine, world, kind, lifetime, numbers)
        settle(machine)
        machine.stop_agent()
        batches = machine.batches()
        assert world.stdin is not None
        assert world.stdout is not None
        world.stdin.close()
        truth = {row["port"]: row for row in map(json.loads, world.stdout)}
    return Run(
        mode,
        setting,
        [outcome(number, kind, lifetime, truth, batches) for number, (kind, lifetime) in enumerate(jobs)],
        *ledger(batches, machine.here.interface),
    )


@contextlib.contextmanager
def start_world(machine: Box, ports: int) -> Iterator[subprocess.Popen[str]]:
    arguments = ("-m", "tests.peers.lab_server", machine.world.interface, str(FIRST_PORT), str(ports))
    with subprocess.Popen(
        machine.world.command(sys.executable, *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as world:
        try:
            assert world.stdout is not None
            assert world.stdout.readline() == "ready\n"
            yield world
        finally:
            world.kill()


def owner_name(number: int) -> str:
    return f"own{number:03d}"


def perform(machine: Box, world: subprocess.Popen[str], kind: str, lifetime: Lifetime, numbers: list[int]) -> None:
    """Connections of one kind: one after the other when they are short, else all at once."""
    running: list[subprocess.Popen[str]] = []
    for number in numbers:
        if kind == "server":
            serve(machine, world, number, lifetime.hold_ms)
            continue
        process = machine.here.start(*client(machine, kind, number, lifetime.hold_ms))
        running.append(process)
        if lifetime.hold_ms < 100:
            assert process.wait(20) == 0, process.stdout and process.stdout.read()
    for process in running:
        assert process.wait(60) == 0, process.stdout and process.stdout.read()


def client(machine: Box, kind: str, number: int, hold_ms: int) -> list[str | Path]:
    port, name = FIRST_PORT + number, owner_name(number)
    address = machine.world.ipv4
    if kind in ("curl", "curl6"):
        program = as_program(machine, "curl", name)
        host = f"[{machine.world.ipv6}]" if kind == "curl6" else address
        return [program, "--silent", "--fail", "--output", "/dev/null", f"http://{host}:{port}/{SIZE}/{hold_ms}"]
    if kind == "shell":
        # Byte by byte, by the shell itself: a child would hold the socket too.
        script = f"exec 3<>/dev/tcp/{address}/{port}; echo 1000 {hold_ms} >&3; while read -r -d '' -u 3; do :; done"
        return [as_program(machine, "bash", name), "-c", script]
    script_path = machine.directory / f"{name}.py"
    script_path.write_text(TCP_CLIENT if kind == "python" else UDP_CLIENT)
    return [sys.executable, "-S", "-E", script_path, address, str(port), str(SIZE), str(hold_ms)]


def start_server(machine: Box, number: int) -> None:
    """A server of the machine that forks for each connection."""
    script = machine.directory / f"{owner_name(number)}.py"
    script.write_text(FORKING_SERVER)
    server = machine.here.start(sys.executable, "-S", "-E", script, "", str(FIRST_PORT + number))
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"


def serve(machine: Box, world: subprocess.Popen[str], number: int, hold_ms: int) -> None:
    """A connection from the world to a server of the machine. The server stays, its child does not."""
    assert world.stdin is not None
    assert world.stdout is not None
    world.stdin.write(f"connect {machine.here.ipv4} {FIRST_PORT + number} {SIZE} {hold_ms}\n")
    world.stdin.flush()
    assert world.stdout.readline() == "done\n"


def as_program(machine: Box, command: str, name: str) -> Path:
    """A program under a name of its own."""
    path = machine.directory / name
    source = shutil.which(command)
    assert source
    if not path.exists():
        copy = machine.directory / f"{command}.copy"
        if not copy.exists():
            shutil.copy(source, copy)
        os.link(copy, path)
    return path


def settle(machine: Box) -> None:
    """Until a whole interval has passed without traffic."""
    until = metric(machine, "netally_capture_intervals_total") + 2
    wait_until(lambda: metric(machine, "netally_capture_intervals_total") >= until, within=20, every=0.2)


def matching(batches: list[dict[str, Any]], port: int) -> Iterator[dict[str, Any]]:
    for batch in batches:
        for row in batch["records"]:
            if row["server_port"] == port and row["protocol"] in (6, 17):
                yield row


def outcome(
    number: int, kind: str, lifetime: Lifetime, truth: dict[int, dict[str, Any]], batches: list[dict[str, Any]]
) -> Outcome:
    rows = list(matching(batches, FIRST_PORT + number))
    was = truth[FIRST_PORT + number]
    names = {row["app"] for row in rows}
    # Bytes of one connection under two names is a wrong owner for one of them.
    wrong = names - {""} - {name for name in names if name.startswith(owner_name(number))}
    owned = sum(row["bytes_in"] + row["bytes_out"] for row in rows if row["app"].startswith(owner_name(number)))
    found = next(iter(wrong)) if wrong else owner_name(number) if owned else ""
    header = 72 if kind == "curl6" else 52
    is_server = kind == "server"
    return Outcome(
        kind=kind,
        lifetime=lifetime.words,
        lived_ms=max(was["lived_ms"], lifetime.hold_ms),
        owner=owner_name(number),
        found=found,
        wire_bytes=was["to_world"] + was["to_client"],
        counted=sum(row["bytes_in"] + row["bytes_out"] for row in rows),
        payload_in=was["sent"],
        counted_payload_in=sum(row["bytes_in"] - header * row["packets_in"] for row in rows) if not is_server else -1,
    )


def ledger(batches: list[dict[str, Any]], interface: str) -> tuple[dict[str, int], int, int]:
    """Causes, counter and its packets of the uplink, both directions together."""
    causes: dict[str, int] = {}
    packets = 0
    for batch in batches:
        for row in batch["tally"]:
            if row["interface"] == interface:
                word = Cause(row["cause"]).label
                causes[word] = causes.get(word, 0) + row["bytes_in"] + row["bytes_out"]
                packets += row["packets_in"] + row["packets_out"]
    return causes, sum(causes.values()), packets

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
from tests.capture_box import Box, box, container, metric
from tests.namespaces import REPOSITORY, Namespace, ip
from tests.services import wait_until

FIRST_PORT = 20_000
SIZE = 150_000
"""Bytes of one download: several segments, over within a millisecond."""
KINDS = ("curl", "curl6", "shell", "python", "server", "container", "datagrams", "aiohttp", "quic")
SLOW_TO_START = ("aiohttp", "quic")
"""Programs that take a second of processor before they send: of these a quarter as many."""
BEYOND = ("container", "datagrams", "quic")
"""What the kernel's own TCP counters of this namespace do not tell."""
AS_ORDINARY = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
"""How a program starts that an agent without capabilities may look into: with none itself."""
SHORT_MS = 100
"""Connections held shorter than this follow one another; the others are all there at once."""
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
    s.settimeout(0.2)
    for _ in range(20):
        s.send(b"1200 0".ljust(600))
        try:
            s.recv(2000)
        except TimeoutError:
            pass  # one of the two was lost
    time.sleep(int(sys.argv[4]) / 1000)
"""
AIOHTTP_CLIENT = """
import asyncio, sys
import aiohttp

async def main():
    url = "http://{}:{}/{}/{}".format(*sys.argv[1:])
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        await answer.read()

asyncio.run(main())
"""
QUIC_CLIENT = """
import asyncio, ssl, sys
from aioquic.asyncio import connect
from aioquic.quic.configuration import QuicConfiguration

async def main():
    configuration = QuicConfiguration(alpn_protocols=["lab"], verify_mode=ssl.CERT_NONE, server_name=NAME)
    async with connect(sys.argv[1], int(sys.argv[2]), configuration=configuration) as client:
        reader, writer = await client.create_stream()
        writer.write(f"{sys.argv[3]} {sys.argv[4]}\\n".encode())
        await reader.read()

NAME = "lab.netally.test"
asyncio.run(main())
"""
SCRIPTS = {"python": TCP_CLIENT, "datagrams": UDP_CLIENT, "aiohttp": AIOHTTP_CLIENT, "quic": QUIC_CLIENT}
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
    loss: float = 0.0
    """Percent of the packets, either way."""
    vlan: int = 0
    """Number of a tag that everything carries."""


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
            if setting.vlan:
                started.enter_context(wire_program(namespace, "vlan", setting.vlan))
        if setting.loss:
            # At the other end only: between it and the machine.
            started.enter_context(wire_program(machine.world, "loss", setting.loss))
        kinds = [kind for kind in KINDS if mode != "unprivileged" or kind not in BEYOND]
        jobs = [
            (kind, lifetime)
            for lifetime in lifetimes
            for kind in kinds
            for _ in range(-(-lifetime.connections // 4) if kind in SLOW_TO_START else lifetime.connections)
        ]
        inside = started.enter_context(container(machine, bridge=True)) if "container" in kinds else machine.here
        quic = [FIRST_PORT + number for number, (kind, _) in enumerate(jobs) if kind == "quic"]
        world = started.enter_context(start_world(machine, len(jobs), quic))
        prefix = AS_ORDINARY if mode == "unprivileged" else ()
        # A container is one by what runs in it.
        inside.start("sleep", "1000")
        if mode == "unprivileged":
            machine.start_agent(program=UNPRIVILEGED, NETALLY_CAPTURE_MODE="")
        else:
            machine.start_agent(NETALLY_CAPTURE_MODE=mode)
        assert machine.ask("agent")[0]["mode"] == mode, machine.ask("agent")
        for number, (kind, _) in enumerate(jobs):
            if kind == "server":
                start_server(machine, number, prefix)
        # A server is there before its clients are, and the agent has looked once.
        settle(machine)
        for lifetime in lifetimes:
            numbers = [number for number, job in enumerate(jobs) if job[1] == lifetime]
            perform(machine, world, inside, jobs, numbers, prefix)
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
def wire_program(namespace: Namespace, *what: object) -> Iterator[None]:
    """Something that happens to all packets of a namespace's interface (`tests.peers.wire_programs`)."""
    with subprocess.Popen(
        namespace.command(sys.executable, "-m", "tests.peers.wire_programs", namespace.interface, *map(str, what)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield
        finally:
            process.kill()


@contextlib.contextmanager
def start_world(machine: Box, ports: int, quic: list[int]) -> Iterator[subprocess.Popen[str]]:
    arguments = ("-m", "tests.peers.lab_server", machine.world.interface, str(FIRST_PORT), str(ports), *map(str, quic))
    with subprocess.Popen(
        machine.world.command(sys.executable, *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    ) as world:
        try:
            assert world.stdout is not None
            assert world.stdout.readline() == "ready\n"
            yield world
        finally:
            world.kill()


def owner_name(number: int) -> str:
    return f"own{number:04d}"


def perform(
    machine: Box,
    world: subprocess.Popen[str],
    inside: Namespace,
    jobs: list[tuple[str, Lifetime]],
    numbers: list[int],
    prefix: tuple[str, ...],
) -> None:
    """Connections of one lifetime: one after the other when they are short, else all at once."""
    assert world.stdout is not None
    running: list[subprocess.Popen[str]] = []
    awaited = 0
    for number in numbers:
        kind, lifetime = jobs[number]
        if kind == "server":
            serve(machine, world, number, lifetime.hold_ms)
            awaited += 1
        else:
            where = inside if kind == "container" else machine.here
            # What imports much does not compile it each time.
            environment = {"PYTHONPYCACHEPREFIX": str(machine.directory / "compiled"), "PYTHONDONTWRITEBYTECODE": ""}
            process = where.start(*prefix, *client(machine, kind, number, lifetime.hold_ms), env=environment)
            running.append(process)
            if lifetime.hold_ms < SHORT_MS:
                assert process.wait(20) == 0, process.stdout and process.stdout.read()
        if awaited and lifetime.hold_ms < SHORT_MS:
            assert world.stdout.readline() == "done\n"
            awaited -= 1
    for process in running:
        assert process.wait(60) == 0, process.stdout and process.stdout.read()
    for _ in range(awaited):
        assert world.stdout.readline() == "done\n"


def client(machine: Box, kind: str, number: int, hold_ms: int) -> list[str | Path]:
    port, name = FIRST_PORT + number, owner_name(number)
    address = machine.world.ipv4
    if kind in ("curl", "curl6", "container"):
        program = as_program(machine, "curl", name)
        host = f"[{machine.world.ipv6}]" if kind == "curl6" else address
        return [program, "--silent", "--fail", "--output", "/dev/null", f"http://{host}:{port}/{SIZE}/{hold_ms}"]
    if kind == "shell":
        # Byte by byte, by the shell itself: a child would hold the socket too.
        script = f"exec 3<>/dev/tcp/{address}/{port}; echo 1000 {hold_ms} >&3; while read -r -d '' -u 3; do :; done"
        return [as_program(machine, "bash", name), "-c", script]
    script_path = machine.directory / f"{name}.py"
    script_path.write_text(SCRIPTS[kind])
    bare = () if kind in SLOW_TO_START else ("-S", "-E")
    return [sys.executable, *bare, script_path, address, str(port), str(SIZE), str(hold_ms)]


def start_server(machine: Box, number: int, prefix: tuple[str, ...]) -> None:
    """A server of the machine that forks for each connection."""
    script = machine.directory / f"{owner_name(number)}.py"
    script.write_text(FORKING_SERVER)
    server = machine.here.start(*prefix, sys.executable, "-S", "-E", script, "", str(FIRST_PORT + number))
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"


def serve(machine: Box, world: subprocess.Popen[str], number: int, hold_ms: int) -> None:
    """A connection from the world to a server of the machine, whose end it tells. The server stays, its child ends."""
    assert world.stdin is not None
    world.stdin.write(f"connect {machine.here.ipv4} {FIRST_PORT + number} {SIZE} {hold_ms}\n")
    world.stdin.flush()


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

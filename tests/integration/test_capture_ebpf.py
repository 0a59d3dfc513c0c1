"""The agent in mode ebpf as a running process: containers, what it gives up, and what it leaves when killed."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from netally.capture.ebpf.kernel_programs import problem
from netally.capture.privileges import NEEDED
from netally.contracts.codes import Cause, Mode, ProcessSource
from tests.capture_box import UDP_CLIENT, Box, box, container, metric, records, total
from tests.namespaces import Namespace
from tests.services import wait_until

pytestmark = pytest.mark.root

TO_THE_LINK = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.8.0.2"))
    sender.sendto(bytes(100), ("224.0.0.251", 9001))
"""


def start(machine: Box) -> None:
    machine.start_agent(NETALLY_CAPTURE_MODE="", NETALLY_INTERFACES=machine.here.interface)


@pytest.fixture(scope="module")
def machine() -> Iterator[Box]:
    with box() as made:
        start(made)
        yield made


@pytest.fixture(scope="module")
def inside(machine: Box) -> Iterator[Namespace]:
    with container(machine) as made:
        # A container's own program: through it the agent learns where the container is.
        made.start(sys.executable, "-c", "import signal, socket; s = socket.socket(); signal.pause()")
        next_intervals(machine)
        yield made


def is_ebpf(machine: Box) -> bool:
    """Whether the agent runs in mode ebpf; where the kernel refuses that, whether it says why and runs in the next."""
    state = machine.ask("agent")[-1]
    refused = problem()
    assert state["mode"] == ("packets" if refused else "ebpf")
    assert refused in state["mode_reason"]
    return not refused


def causes(machine: Box, batches: list[dict[str, object]]) -> dict[str, int]:
    """Bytes of the uplink by cause."""
    found: dict[str, int] = {}
    for batch in batches:
        tally = batch["tally"]
        assert isinstance(tally, list)
        for row in tally:
            if row["interface"] == machine.here.interface:
                word = Cause(row["cause"]).label
                found[word] = found.get(word, 0) + row["bytes_in"] + row["bytes_out"]
    return found


def next_intervals(machine: Box, count: int = 2) -> None:
    until = metric(machine, "netally_capture_intervals_total") + count
    wait_until(lambda: metric(machine, "netally_capture_intervals_total") >= until, within=20, every=0.1)


def test_only_what_is_needed_is_left_of_root(machine: Box) -> None:
    if not is_ebpf(machine):
        return
    assert machine.agent is not None
    kept = sum(1 << number for number in NEEDED[Mode.EBPF])
    for thread in Path(f"/proc/{machine.agent.pid}/task").iterdir():
        status = dict(
            line.split(":\t", 1) for line in (thread / "status").read_text("utf-8").splitlines() if ":\t" in line
        )
        assert {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd")} == {kept}, thread
        assert status["NoNewPrivs"] == "1"


def test_programs_in_containers_are_owned_and_counted_once(machine: Box, inside: Namespace) -> None:
    if not is_ebpf(machine):
        return
    next_intervals(machine)
    before = len(machine.batches())
    inside.run(*UDP_CLIENT, machine.world.ipv4, "9000", "50", "500", "300")
    # To the machine itself, and to all on the container's own link: that passes no uplink.
    inside.run(sys.executable, "-c", TO_THE_LINK)
    inside.run("curl", "--silent", "--max-time", "1", "http://10.8.0.1:9/", check=False)
    next_intervals(machine)
    batches = machine.batches()[before:]
    rows = records(batches, protocol=17, server_port=9000)
    assert {row["process_source"] for row in rows} == {ProcessSource.EBPF}
    assert all(row["app"].startswith("udp_client.py (python") for row in rows)
    assert (total(rows, "bytes_out"), total(rows, "bytes_in")) == (50 * 528, 50 * 328)
    assert not records(batches, protocol=6, server_port=9, scope=2)
    assert not records(batches, protocol=17, server_port=9001)
    found = causes(machine, batches)
    # Where containers' packets are passed on, what a neighbour asks all on the link may be told as that too.
    assert found.get("forwarded", 0) <= 0.02 * found["no_name"]
    assert abs(found.get("unknown", 0)) <= 0.001 * sum(found.values())


def test_what_is_passed_on_for_nobody_here_is_forwarded(machine: Box, inside: Namespace) -> None:
    """A connection that a container refuses is answered by its kernel, for no socket."""
    if not is_ebpf(machine):
        return
    next_intervals(machine)
    before = len(machine.batches())
    for _ in range(5):
        machine.world.run("curl", "--silent", "--max-time", "2", f"http://{inside.ipv4}:7/", check=False)
    next_intervals(machine)
    found = causes(machine, machine.batches()[before:])
    assert found["forwarded"] >= 5 * (60 + 40)


def test_a_killed_agent_leaves_nothing_and_the_next_begins(machine: Box) -> None:
    if not is_ebpf(machine):
        return
    assert machine.agent is not None
    # Its socket is older than the agent that will count it.
    older = machine.here.start(*UDP_CLIENT, machine.world.ipv4, "9000", "4000", "500", "300")
    machine.agent.send_signal(signal.SIGKILL)
    machine.agent.wait(10)
    start(machine)
    next_intervals(machine)
    before = len(machine.batches())
    machine.download(500_000)
    next_intervals(machine)
    rows = records(machine.batches()[before:], protocol=6, server_port=443)
    assert 500_000 < total(rows, "bytes_in") < 540_000
    assert {row["app"] for row in rows} == {"curl"}
    seeded = records(machine.batches()[before:], protocol=17, server_port=9000)
    assert {(row["app"].partition(" ")[0], row["process_source"]) for row in seeded} == {
        ("udp_client.py", ProcessSource.SOCK_DIAG)
    }
    assert total(seeded, "packets_out") > 0
    older.kill()
    older.wait(10)

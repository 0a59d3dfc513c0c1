"""CPU of the packet path: ring blocks to flow table, against dpkt and a dictionary; a real ring; and the whole agent.

Workload of the first: 20,000 packets of 2,000 flows in Zipf order, 30 % IPv6, 968 bytes in the mean, cut at 128, in
blocks as the kernel hands them over. Of the second (root only): the same frames over a veth pair between two namespaces
at a steady rate, while this process reads the ring. Of the third (root only): the same, while an agent of its own runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import dpkt
import numpy as np
import psutil
from numpy.typing import NDArray

from netally.capture.decode import decode_block
from netally.capture.dissector import FragmentTable
from netally.capture.flow_table import FlowTable
from netally.capture.network_namespace import inside
from netally.capture.packet_ring import SNAPLEN, PacketRing
from netally.capture.priority import Priority
from tests.capture_box import Box, box
from tests.namespaces import Namespace, linked_namespaces
from tests.ring_blocks import OUTGOING, RingFrame, make_block

PACKETS = 20_000
FLOWS = 2_000
PER_BLOCK = 1_000
ROUNDS = 10
SECONDS = "3"
RATES = (100_000, 200_000)
LARGE = (52, 600, 1_400, 1_400, 1_388)
SMALL = (52, 52, 60, 100, 120)
"""Bytes behind the IP header. What is counted is the beginning of each packet: small ones can be sent faster."""


def make_frames(seed: int = 7, sizes: tuple[int, ...] = LARGE) -> list[bytes]:
    """Whole frames, in the order they are captured."""
    chance = random.Random(seed)
    headers = []
    for number in range(FLOWS):
        protocol, port = chance.choice(((6, 443), (6, 443), (6, 22), (17, 443), (17, 5_004)))
        transport = struct.pack("!HH", 1_024 + number, port)
        transport += struct.pack("!IIBBHHH", 1, 1, 0x50, 0x10, 512, 0, 0) if protocol == 6 else struct.pack("!HH", 8, 0)
        headers.append((number % 10 < 3, protocol, transport, chance.randbytes(12), chance.randbytes(24)))
    frames = []
    for _ in range(PACKETS):
        v6, protocol, transport, ethernet, addresses = headers[min(int(FLOWS ** chance.random()) - 1, FLOWS - 1)]
        size = chance.choice(sizes)
        payload = transport + bytes(size - len(transport))
        if v6:
            network = struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + addresses[:16] * 2
            frames.append(ethernet + b"\x86\xdd" + network + payload)
        else:
            network = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0) + addresses[:8]
            frames.append(ethernet + b"\x08\x00" + network + payload)
    return frames


def cpu_of_blocks(blocks: list[NDArray[np.uint8]]) -> float:
    """CPU seconds for `PACKETS` packets, the best of some rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        table, fragments = FlowTable(), FragmentTable()
        begun = time.process_time()
        for block in blocks:
            decoded = decode_block(block, 2, fragments, vnet_header=True, directed=True)
            table.observe(decoded.packets)
        best = min(best, time.process_time() - begun)
        assert int(table.cut(0.0).counters[:, 2:].sum()) == PACKETS
    return best


def cpu_of_dpkt(frames: list[bytes]) -> float:
    """The same sums by dpkt and a dictionary."""
    sums: dict[tuple[Any, ...], list[int]] = {}
    begun = time.process_time()
    for frame in frames:
        network = dpkt.ethernet.Ethernet(frame[:SNAPLEN]).data
        transport = network.data
        key = (network.src, network.dst, transport.sport, transport.dport)
        counted = sums.setdefault(key, [0, 0])
        counted[0] += len(frame) - 14
        counted[1] += 1
    spent = time.process_time() - begun
    assert sum(counted[1] for counted in sums.values()) == PACKETS
    return spent


class Flood(NamedTuple):
    """What became of a flood over a wire between two namespaces."""

    sent: int
    seconds: float
    counted: int
    dropped: int
    cpu: float


@contextlib.contextmanager
def on_processor(number: int) -> Iterator[None]:
    """This process on one processor only, before ordinary programs as the agent is."""
    before = os.sched_getaffinity(0)
    priority = Priority()
    os.sched_setaffinity(0, {number})
    priority.begin()
    try:
        yield
    finally:
        priority.end()
        os.sched_setaffinity(0, before)


def flood(rate: int) -> Flood:
    """Frames at a steady rate over a veth pair, counted by the agent's ring, decoder and table in this process."""
    processors = sorted(os.sched_getaffinity(0))
    with linked_namespaces(nameserver=False) as (here, world), on_processor(processors[-1]):
        path = f"/run/netns/{here.name}"
        mac = inside(path, lambda: _mac(here.interface))
        sender = sending(world, mac, rate, processors[0])
        ring = inside(path, lambda: PacketRing(here.interface))
        table, fragments, counted = FlowTable(), FragmentTable(), 0
        try:
            go(sender)
            cpu, quiet = time.process_time(), 0
            while sender.poll() is None or quiet < 2:
                ready, _, _ = select.select([ring.fileno()], [], [], 0.3)
                quiet = 0 if ready else quiet + 1
                for block in ring.blocks():
                    decoded = decode_block(block, 1, fragments, vnet_header=True, directed=True)
                    table.observe(decoded.packets)
                    counted += int(decoded.packets.counts.sum())
            spent = time.process_time() - cpu
            drops = ring.statistics().drops
        finally:
            ring.close()
            sent, seconds = ended(sender)
    return Flood(sent, seconds, counted, drops, spent)


def sending(world: Namespace, mac: str, rate: int, processor: int, seconds: str = SECONDS) -> subprocess.Popen[str]:
    """A sender that waits for `go`."""
    sender = subprocess.Popen(
        world.command(
            *(sys.executable, "-m", "tests.bench.packet_flood"),
            *(world.interface, mac, str(rate), seconds, str(processor)),
        ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert sender.stdout is not None
    assert sender.stdout.readline() == "ready\n"
    return sender


def go(sender: subprocess.Popen[str]) -> None:
    assert sender.stdin is not None
    sender.stdin.write("go\n")
    sender.stdin.flush()


def ended(sender: subprocess.Popen[str]) -> tuple[int, float]:
    """(frames, seconds) that it sent."""
    assert sender.stdout is not None
    sent, seconds = sender.communicate()[0].split()
    return int(sent), float(seconds)


class AgentRun(NamedTuple):
    """What an agent cost from its start to the end of a flood."""

    started: float
    """Seconds from starting the process to its first counted packets."""
    started_cpu: float
    sent: int
    seconds: float
    counted: int
    cpu: float
    """CPU seconds of the flood, everything the agent did meanwhile."""
    resident: float
    """MiB after it, its flows in the table."""


def agent(rate: int) -> AgentRun:
    """A whole agent without a bus, under a flood."""
    with box(bus=False) as machine:
        mac = inside(f"/run/netns/{machine.here.name}", lambda: _mac(machine.here.interface))
        trickle = sending(machine.world, mac, 1_000, 0, "60")
        flood = sending(machine.world, mac, rate, 0)
        go(trickle)
        begun = time.monotonic()
        machine.start_agent()
        assert machine.agent is not None
        process = psutil.Process(machine.agent.pid)
        while not _packets(machine):
            time.sleep(0.01)
        started, started_cpu = time.monotonic() - begun, sum(process.cpu_times()[:2])
        trickle.kill()
        trickle.communicate()
        counted = _settled(machine)
        cpu = sum(process.cpu_times()[:2])
        go(flood)
        sent, seconds = ended(flood)
        spent = sum(process.cpu_times()[:2]) - cpu
        counted = _settled(machine) - counted
        resident = process.memory_info().rss / 1024**2
        machine.stop_agent()
    return AgentRun(started, started_cpu, sent, seconds, counted, spent, resident)


def _packets(machine: Box) -> int:
    """Packets counted on the wire."""
    text = machine.here.run("curl", "--silent", "http://127.0.0.1:7503/metrics")
    name = f'netally_capture_packets_total{{interface="{machine.here.interface}"}} '
    return sum(int(float(line.removeprefix(name))) for line in text.splitlines() if line.startswith(name))


def _settled(machine: Box) -> int:
    """Packets counted when no more come."""
    before, now = -1, _packets(machine)
    while now != before:
        time.sleep(0.5)
        before, now = now, _packets(machine)
    return now


def _mac(interface: str) -> str:
    """Hardware address as hex digits (SIOCGIFHWADDR, netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = fcntl.ioctl(any_socket, 0x8927, struct.pack("256s", interface.encode()))
    return bytes(answer[18:24]).hex()


async def measure() -> list[dict[str, Any]]:
    frames = make_frames()
    blocks = [
        make_block([RingFrame(frame, OUTGOING, time=float(number)) for number, frame in enumerate(part)])
        for part in (frames[begin : begin + PER_BLOCK] for begin in range(0, PACKETS, PER_BLOCK))
    ]
    scale = 100_000 / PACKETS
    ours, theirs = cpu_of_blocks(blocks) * scale, cpu_of_dpkt(frames) * scale
    workload = f"{PACKETS} packets, {FLOWS} flows, blocks of {PER_BLOCK}"
    lines = [
        {
            "name": "capture: CPU per 100,000 packets, block to flow table",
            "value": round(ours, 4),
            "unit": "CPU s",
            "against": "dpkt and a dictionary",
            "ratio": round(theirs / ours, 1),
            "workload": workload,
        }
    ]
    if os.geteuid() == 0:
        for rate in RATES:
            run = flood(rate)
            workload = f"{run.sent} frames of {FLOWS} flows over a veth pair, {run.sent / run.seconds:.0f} a second"
            for name, value, unit in (
                ("share of a core", round(run.cpu / run.seconds, 4), "cores"),
                ("packets counted", run.counted, "packets"),
                ("packets dropped", run.dropped, "packets"),
            ):
                lines.append(
                    {
                        "name": f"capture: real ring at {rate:,} packets/s, {name}",
                        "value": value,
                        "unit": unit,
                        "against": "frames sent" if name == "packets counted" else None,
                        "ratio": round(run.counted / run.sent, 4) if name == "packets counted" else None,
                        "workload": workload,
                    }
                )
        lines += agent_lines(agent(RATES[0]))
    return lines


def agent_lines(run: AgentRun) -> list[dict[str, Any]]:
    workload = f"{run.sent} frames of {FLOWS} flows over a veth pair, {run.sent / run.seconds:.0f} a second, no bus"
    return [
        {
            "name": f"capture: whole agent, {name}",
            "value": round(value, 3),
            "unit": unit,
            "against": against,
            "ratio": ratio,
            "workload": workload,
        }
        for name, value, unit, against, ratio in (
            ("start to first packets counted", run.started, "s", f"{run.started_cpu:.2f} CPU s", None),
            ("share of a core at 100,000 packets/s", run.cpu / run.seconds, "cores", None, None),
            ("packets counted", run.counted, "packets", "frames sent", round(run.counted / run.sent, 4)),
            ("resident memory", run.resident, "MiB", "budget 80", round(run.resident / 80, 2)),
        )
    ]

"""CPU of the packet path: ring blocks to flow table, against dpkt and a dictionary; and a real ring on loopback.

Workload of the first: 20,000 packets of 2,000 flows in Zipf order, 30 % IPv6, 968 bytes in the mean, cut at 160, in
blocks as the kernel hands them over. Of the second (root only): a child process that sends datagrams of 64 bytes over
loopback as fast as it can, while this process reads the ring.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import socket
import struct
import time
from typing import Any

import dpkt
import numpy as np
from numpy.typing import NDArray

from netally.capture.decode import decode_block
from netally.capture.dissector import FragmentTable
from netally.capture.flow_table import FlowTable
from netally.capture.packet_ring import SNAPLEN, PacketRing
from tests.ring_blocks import OUTGOING, RingFrame, make_block

PACKETS = 20_000
FLOWS = 2_000
PER_BLOCK = 1_000
ROUNDS = 10
SECONDS = 3.0


def make_frames(seed: int = 7) -> list[bytes]:
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
        size = chance.choice((52, 600, 1_400, 1_400, 1_388))
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


def _flood(port: int, sent: Any) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", port))
        deadline, count, payload = time.monotonic() + SECONDS, 0, bytes(64)
        while time.monotonic() < deadline:
            for _ in range(500):
                sender.send(payload)
            count += 500
        sent.value = count


def real_ring() -> tuple[int, int, int, float, float]:
    """(sent, counted, dropped, CPU seconds, seconds) of a flood over loopback."""
    context = multiprocessing.get_context("spawn")
    sent = context.Value("q", 0)
    table, fragments = FlowTable(), FragmentTable()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind(("127.0.0.1", 0))
        ring = PacketRing("lo", loopback=True)
        try:
            child = context.Process(target=_flood, args=(sink.getsockname()[1], sent))
            child.start()
            begun, cpu, spent = time.monotonic(), time.process_time(), 0.0
            while child.is_alive() or time.monotonic() - begun < 0.5:
                for block in ring.blocks():
                    decoded = decode_block(block, 1, fragments, vnet_header=True, directed=False)
                    table.observe(decoded.packets)
                child.join(0.01)
            time.sleep(0.3)  # the last block
            for block in ring.blocks():
                table.observe(decode_block(block, 1, fragments, vnet_header=True, directed=False).packets)
            spent = time.process_time() - cpu
            drops = ring.statistics().drops
        finally:
            ring.close()
    port_of_sink = [slot for slot in table.slots.tolist() if table.key(slot).protocol == 17]
    cut = table.cut(0.0)
    counted = sum(
        int(row[2:].sum()) for slot, row in zip(cut.slots.tolist(), cut.counters, strict=True) if slot in port_of_sink
    )
    return sent.value, counted, drops, spent, SECONDS


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
        sent, counted, drops, spent, seconds = real_ring()
        workload = f"{sent} datagrams of 64 bytes over loopback in {seconds:.0f} s"
        for name, value, unit in (
            ("capture: CPU per 100,000 packets, real ring", round(spent / max(counted, 1) * 100_000, 4), "CPU s"),
            ("capture: real ring, packets counted", round(counted / seconds), "packets/s"),
            ("capture: real ring, packets dropped", drops, "packets"),
        ):
            lines.append(
                {"name": name, "value": value, "unit": unit, "against": None, "ratio": None, "workload": workload}
            )
    return lines

"""Packet sockets on real loopback: everything once, nothing before the filter, drops told."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from netally.capture import cbpf
from netally.capture.cbpf import Instruction, assemble
from netally.capture.decode import decode_block
from netally.capture.dissector import UDP, FragmentTable, dissect
from netally.capture.flow_table import FlowTable
from netally.capture.link_layer import ETHERNET
from netally.capture.packet_ring import PacketRing, PacketTap, TappedFrame

pytestmark = pytest.mark.root


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected UDP sockets on loopback."""
    with socket.socket(type=socket.SOCK_DGRAM) as one, socket.socket(type=socket.SOCK_DGRAM) as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        one.connect(two.getsockname())
        yield one, two


def read(ring: PacketRing, table: FlowTable, done: Callable[[], bool]) -> None:
    """Count blocks until ``done``; fails after five seconds."""
    deadline = time.monotonic() + 5
    while not done():
        assert time.monotonic() < deadline
        for block in ring.blocks():
            table.observe(decode_block(block, 1, FragmentTable(), vnet_header=True, directed=False).packets)


def counted(table: FlowTable, port: int) -> tuple[int, int]:
    """(packets, bytes) between this port and any, so far in all cuts."""
    cut = table.cut(0.0)
    rows = [
        row
        for slot, row in zip(cut.slots.tolist(), cut.counters.tolist(), strict=True)
        if table.key(slot).protocol == UDP and port in (table.key(slot).a_port, table.key(slot).b_port)
    ]
    return sum(row[2] + row[3] for row in rows), sum(row[0] + row[1] for row in rows)


def test_loopback_shows_each_packet_once(pair: tuple[socket.socket, socket.socket]) -> None:
    one, _ = pair
    ring, table = PacketRing("lo", loopback=True), FlowTable()
    got = [0, 0]

    def all_there() -> bool:
        packets, size = counted(table, one.getsockname()[1])
        got[0] += packets
        got[1] += size
        return got[0] >= 10

    try:
        for _ in range(10):
            one.send(b"x" * 100)
        read(ring, table, all_there)
    finally:
        ring.close()
    assert got == [10, 10 * 128]


def test_a_full_ring_tells_its_drops_once(pair: tuple[socket.socket, socket.socket]) -> None:
    one, _ = pair
    ring = PacketRing("lo", loopback=True)
    try:
        for _ in range(20_000):
            one.send(b"x" * 400)
        statistics = ring.statistics()
        assert 0 < statistics.drops < statistics.packets
        assert statistics.packets >= 20_000
        assert ring.statistics().packets < 1_000
    finally:
        ring.close()


def test_blocks_held_when_the_ring_closes_stay_readable(pair: tuple[socket.socket, socket.socket]) -> None:
    one, _ = pair
    ring = PacketRing("lo", loopback=True)
    one.send(b"x")
    deadline = time.monotonic() + 5
    held = None
    while held is None:
        assert time.monotonic() < deadline
        held = next(ring.blocks(), None)
    ring.close()
    assert len(held.tobytes()) > 0
    assert list(ring.blocks()) == []


def test_the_tap_gives_whole_packets_that_its_filter_chooses(pair: tuple[socket.socket, socket.socket]) -> None:
    one, two = pair
    port = two.getsockname()[1]
    program = assemble(
        [
            Instruction(cbpf.LD_HALF, 36),
            Instruction(cbpf.JUMP_EQUAL, port, "", "drop"),
            Instruction(cbpf.RETURN, cbpf.FULL),
            Instruction(cbpf.RETURN, 0, label="drop"),
        ]
    )
    tap = PacketTap("lo", program, loopback=True)
    try:
        one.send(b"x" * 3000)
        two.connect(one.getsockname())
        two.send(b"the other way")
        deadline = time.monotonic() + 5
        frames: list[TappedFrame] = []
        while not frames:
            assert time.monotonic() < deadline
            frames = list(tap.frames())
    finally:
        tap.close()
    (tapped,) = frames
    packet = dissect(ETHERNET, tapped.frame)
    assert packet is not None
    assert (packet.dst_port, packet.payload_end - packet.payload) == (port, 3000)


def test_an_interface_that_is_not_there() -> None:
    for make in (lambda: PacketRing("nothing0"), lambda: PacketTap("nothing0", cbpf.accept_all(1))):
        with pytest.raises(OSError, match="No such device") as refused:
            make()
        assert refused.value.errno == errno.ENODEV

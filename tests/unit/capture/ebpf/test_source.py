"""The kernel's counts in the flow table: owners, interfaces, floods, and what the interfaces' programs saw."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import numpy as np
import pytest

from netally.capture.attribution import Attribution, first_ephemeral_port
from netally.capture.capture_mode import find_mode
from netally.capture.ebpf import kernel_programs
from netally.capture.ebpf import source as source_module
from netally.capture.ebpf.kernel_programs import problem
from netally.capture.ebpf.object_file import ObjectFile
from netally.capture.ebpf.programs import Programs
from netally.capture.ebpf.source import KernelCounts
from netally.capture.ebpf.watched_interface import WatchedInterface
from netally.capture.flow_names import FlowNames
from netally.capture.flow_table import FlowTable
from netally.capture.interfaces import Interface, read_interfaces
from netally.capture.netlink import ROUTE, NetlinkSocket
from netally.capture.process_table import ProcessTable
from netally.contracts.codes import Mode, ProcessSource

pytestmark = pytest.mark.root
CONNECT = """
import socket, sys
for _ in range(int(sys.argv[2])):
    socket.create_connection(("127.0.0.1", int(sys.argv[1]))).close()
"""


class Counted:
    """A source on loopback and the table it fills."""

    def __init__(self) -> None:
        self.table = FlowTable()
        processes = ProcessTable()
        attribution = Attribution(self.table, FlowNames(), processes, None, first_ephemeral_port())
        attribution.kernel_tells = True
        self.counts = KernelCounts(self.table, attribution, Programs(processes), time.time)
        self.loopback = loopback()
        self.watched = WatchedInterface(self.loopback, self.counts.interfaces, attribution, time.time)
        self.counts.follow([self.loopback], [self.loopback.ifindex])
        self.counts.take_passed()

    def flows(self, port: int) -> list[tuple[int, str, int]]:
        """(client's port, application, process source) of flows to this port."""
        return [
            (
                max(key.a_port, key.b_port) if min(key.a_port, key.b_port) == port else min(key.a_port, key.b_port),
                app.name if (app := self.table.process[slot]) is not None else "",
                int(self.table.process_source[slot]),
            )
            for slot in self.table.slots.tolist()
            if port in ((key := self.table.key(slot)).a_port, key.b_port)
        ]

    def close(self) -> None:
        self.watched.close()
        self.counts.close()


def loopback() -> Interface:
    netlink = NetlinkSocket(ROUTE)
    try:
        return next(each for each in read_interfaces(netlink) if each.loopback)
    finally:
        netlink.close()


@pytest.fixture
async def counted() -> AsyncIterator[Counted | None]:
    """None where the kernel takes no programs, which the mode then says."""
    if problem():
        assert find_mode().mode != Mode.EBPF
        yield None
        return
    made = Counted()
    yield made
    made.close()


def connect(server: socket.socket, count: int) -> None:
    subprocess.run([sys.executable, "-c", CONNECT, str(server.getsockname()[1]), str(count)], check=True)


@pytest.mark.parametrize(
    ("address", "stays"),
    [
        ("0.0.0.0", True), ("169.254.3.4", True), ("224.0.0.251", True), ("255.255.255.255", True),
        ("10.8.0.2", False), ("239.1.2.3", False), ("224.0.1.1", False),
        ("::", True), ("fe80::1", True), ("febf::1", True), ("ff02::1:ff00:1", True), ("ff01::1", True),
        ("fec0::1", False), ("fd08::2", False), ("ff05::2", False), ("::1:2", False),
    ],
)  # fmt: skip
def test_what_no_router_passes_on_stays_on_its_link(address: str, stays: bool) -> None:
    packed = socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
    assert source_module._stays_on_link(packed) is stays


async def test_every_connection_has_its_program_though_it_is_gone(counted: Counted | None) -> None:
    if counted is None:
        return
    with socket.create_server(("127.0.0.1", 0), backlog=200) as server:
        connect(server, 100)
        counted.counts.read(time=time.time())
        flows = counted.flows(server.getsockname()[1])
    assert len(flows) == 100
    # The program came and went before anything was read: it is known by the kernel's word.
    assert {source for _, _, source in flows} == {ProcessSource.EBPF}
    assert all(app.startswith("python") for _, app, _ in flows), flows


async def test_what_passed_is_what_sockets_counted(counted: Counted | None) -> None:
    if counted is None:
        return
    counted.counts.read(time=time.time(), count=False)
    counted.counts.take_passed()
    with socket.socket(type=socket.SOCK_DGRAM) as one, socket.socket(type=socket.SOCK_DGRAM) as two:
        two.bind(("127.0.0.1", 0))
        for _ in range(50):
            one.sendto(bytes(972), two.getsockname())
        port = two.getsockname()[1]
    passed = counted.counts.take_passed()[counted.loopback.ifindex]
    counted.counts.read(time=time.time())
    cut = counted.table.cut(time.time())
    (row,) = [
        row for row, slot in enumerate(cut.slots.tolist()) if port in counted.table.key(slot)[2::2]
    ]  # fmt: skip
    assert cut.counters[row].sum() == 50 * 1000 + 50
    assert passed.bytes[0] == passed.bytes[1] >= 50 * 1000
    assert passed.frame_bytes == passed.bytes
    assert passed.elsewhere == passed.not_ip == passed.lost == (0, 0, 0, 0)


async def test_what_a_full_map_has_no_room_for_is_lost_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    if problem():
        assert find_mode().mode != Mode.EBPF
        return
    shipped = kernel_programs._read

    def small(name: str) -> ObjectFile:
        found = shipped(name)
        if "flows" not in found.maps:
            return found
        return found._replace(maps={**found.maps, "flows": found.maps["flows"]._replace(entries=8)})

    monkeypatch.setattr(kernel_programs, "_read", small)
    counted = Counted()
    try:
        with socket.socket(type=socket.SOCK_DGRAM) as receiver:
            receiver.bind(("127.0.0.1", 0))
            for _ in range(50):
                with socket.socket(type=socket.SOCK_DGRAM) as sender:
                    sender.sendto(bytes(72), receiver.getsockname())
        passed = counted.counts.take_passed()[counted.loopback.ifindex]
        counted.counts.read(time=time.time())
        # Both ends' programs count: 100 connections of 100 bytes, of which 8 have room.
        assert passed.lost[0] >= 90 * 100
        assert passed.lost[2] >= 90
        assert counted.counts.crowd is not None
        assert counted.counts.crowd.lost >= 90
        assert counted.counts.fill > 0.5
    finally:
        counted.close()


async def test_while_paused_nothing_counts(counted: Counted | None) -> None:
    if counted is None:
        return
    with socket.create_server(("127.0.0.1", 0)) as server:
        connect(server, 3)
        counted.counts.read(time=time.time(), count=False)
        counted.counts.read(time=time.time())
        assert counted.flows(server.getsockname()[1]) == []


async def test_a_flood_of_openings_is_told_by_program_and_port(
    counted: Counted | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if counted is None:
        return
    monkeypatch.setattr(source_module, "FLOOD", 20)
    monkeypatch.setattr(source_module, "_HANDSHAKE_PACKETS", 20)
    with socket.create_server(("127.0.0.1", 0), backlog=200) as server:
        connect(server, 30)
        counted.counts.read(time=time.time())
        crowd = counted.counts.crowd
        assert crowd is not None
        # Both ends of each are sockets here.
        assert crowd.summed >= 60
        cut = counted.table.cut(time.time())
        port = server.getsockname()[1]
        flows = [counted.table.key(slot) for slot in cut.slots.tolist()]
        assert not [key for key in flows if {key.a_port, key.b_port} > {port, 0} and 0 not in (key.a_port, key.b_port)]
        assert any({key.a_port, key.b_port} == {port, 0} for key in flows)
        counted.counts.read(time=time.time())
        assert counted.counts.crowd is not None
        counted.counts.read(time=time.time() + source_module.CROWD_SECONDS)
        assert counted.counts.crowd is None
        assert np.all(cut.counters >= 0)

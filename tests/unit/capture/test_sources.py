"""Sources: sockets follow the interfaces, both kinds fill the same table."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator

import pytest

from netally.capture.attribution import Attribution, first_ephemeral_port
from netally.capture.flow_names import FlowNames
from netally.capture.flow_table import FlowTable
from netally.capture.interfaces import Interface, read_interfaces
from netally.capture.netlink import ROUTE, NetlinkSocket
from netally.capture.process_table import ProcessTable
from netally.capture.sock_diag import SocketDiag
from netally.capture.sources import Sources
from tests.services import eventually


@pytest.fixture
def loopback() -> Interface:
    netlink = NetlinkSocket(ROUTE)
    try:
        return next(interface for interface in read_interfaces(netlink) if interface.loopback)
    finally:
        netlink.close()


@pytest.fixture
def diag() -> Iterator[SocketDiag]:
    diag = SocketDiag()
    yield diag
    diag.close()


def make_sources(table: FlowTable, diag: SocketDiag, *, packets: bool, wanted: tuple[str, ...] = ()) -> Sources:
    attribution = Attribution(table, FlowNames(), ProcessTable(), diag, first_ephemeral_port())
    return Sources(table, attribution, diag, wanted=list(wanted), packets=packets, clock=time.time)


def bytes_of(table: FlowTable, port: int) -> int:
    slots = [slot for slot in table.slots.tolist() if port in (table.key(slot).a_port, table.key(slot).b_port)]
    cut = table.cut(0.0)
    return sum(int(row[:2].sum()) for slot, row in zip(cut.slots.tolist(), cut.counters, strict=True) if slot in slots)


@pytest.mark.root
async def test_packets_are_counted_by_the_running_loop(loopback: Interface, diag: SocketDiag) -> None:
    table = FlowTable()
    sources = make_sources(table, diag, packets=True)
    sources.refresh([loopback])
    assert [interface.name for interface in sources.captured] == ["lo"]
    assert sources.loopbacks == {loopback.ifindex}
    try:
        with socket.socket(type=socket.SOCK_DGRAM) as sender:
            sender.bind(("127.0.0.1", 0))
            sender.sendto(b"x" * 100, ("127.0.0.1", 9))

            async def there() -> bool:
                return bytes_of(table, sender.getsockname()[1]) >= 128

            await eventually(there)
        assert sources.take_odd()[loopback.ifindex].drops == 0
    finally:
        sources.close()


@pytest.mark.root
@pytest.mark.alone  # what other tests send on loopback goes through the same ring
async def test_a_ring_that_fills_loses_nothing(loopback: Interface, diag: SocketDiag) -> None:
    """Four blocks on loopback: far more packets than fit them come while the loop runs."""
    table = FlowTable()
    sources = make_sources(table, diag, packets=True)
    sources.refresh([loopback])
    try:
        with socket.socket(type=socket.SOCK_DGRAM) as sender:
            sender.bind(("127.0.0.1", 0))
            for _ in range(200):
                for _ in range(100):
                    sender.sendto(b"x" * 100, ("127.0.0.1", 9))
                await asyncio.sleep(0.005)
            counted = 0

            async def there() -> bool:
                nonlocal counted
                counted += bytes_of(table, sender.getsockname()[1])
                return counted >= 200 * 100 * 128

            await eventually(there)
        assert counted == 200 * 100 * 128
        assert sources.take_odd()[loopback.ifindex].drops == 0
    finally:
        sources.close()


@pytest.mark.root
async def test_an_interface_that_goes_is_closed_and_one_that_cannot_be_opened_is_told(
    loopback: Interface, diag: SocketDiag
) -> None:
    sources = make_sources(FlowTable(), diag, packets=True, wanted=("gone0",))
    gone = loopback._replace(ifindex=99, name="gone0", loopback=False)
    try:
        sources.refresh([loopback, gone])
        assert [interface.name for interface in sources.captured] == ["lo"]
        assert sources.missing == ["gone0"]
        sources.refresh([])
        assert sources.captured == []
        assert sources.take_odd() == {}
    finally:
        sources.close()


async def test_without_packets_connections_are_counted_by_their_sockets(loopback: Interface, diag: SocketDiag) -> None:
    table = FlowTable()
    sources = make_sources(table, diag, packets=False)
    sources.refresh([loopback])
    sources.read()
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        accepted, _ = listener.accept()
        with accepted:
            client.sendall(b"x" * 1000)
            assert accepted.recv(2000)
            sources.read()
            assert 1000 < bytes_of(table, client.getsockname()[1]) < 1500
    sources.close()


async def test_without_packets_a_connection_between_two_looks_is_counted_by_its_end(
    loopback: Interface, diag: SocketDiag
) -> None:
    table = FlowTable()
    sources = make_sources(table, diag, packets=False)
    sources.refresh([loopback])
    sources.read()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with socket.create_connection(listener.getsockname()) as client:
            port = client.getsockname()[1]
            accepted, _ = listener.accept()
            with accepted:
                client.sendall(b"x" * 1000)
                assert accepted.recv(2000)
        counted = 0

        async def there() -> bool:
            nonlocal counted
            sources.read()
            counted += bytes_of(table, port)
            return counted > 1000

        await eventually(there)
    assert counted < 1800
    sources.close()

"""Traffic from TCP counters: differences, each connection once, estimates that say what they are made of."""

from __future__ import annotations

from typing import Any

from netally.capture.flow_table import FlowTable
from netally.capture.packets import FlowEnds
from netally.capture.sock_diag import Socket, TcpCounters
from netally.capture.tcp_counters import TcpCounterSource
from tests.builders import packed

ME, PEER, LOCAL = packed("10.0.0.5"), packed("192.0.2.9"), packed("127.0.0.1")
INTERFACES = {ME: 2, LOCAL: 1}


def make_socket(counters: TcpCounters | None, **changes: Any) -> Socket:
    values: dict[str, Any] = {
        "protocol": 6,
        "local": ME,
        "local_port": 40_000,
        "remote": PEER,
        "remote_port": 443,
        "state": 1,
        "uid": 1000,
        "inode": 77,
        "cookie": 5,
    }
    return Socket(**{**values, **changes}, counters=counters)


def counted(source: TcpCounterSource, *sockets: Socket, ended: tuple[Socket, ...] = ()) -> dict[FlowEnds, list[int]]:
    table = FlowTable()
    table.observe(source.columns(sockets, time=1.0, interface_of=INTERFACES, loopbacks={1}, ended=ended))
    cut = table.cut(2.0)
    return {table.key(slot): row for slot, row in zip(cut.slots.tolist(), cut.counters.tolist(), strict=True)}


def test_only_what_moved_since_the_last_look_counts() -> None:
    source = TcpCounterSource()
    assert counted(source, make_socket(TcpCounters(5000, 0, 9000, 50, 60))) == {}
    rows = counted(source, make_socket(TcpCounters(5100, 0, 9500, 51, 62)))
    assert rows == {FlowEnds(6, ME, 40_000, PEER, 443, 2): [100 + 52, 500 + 2 * 52, 1, 2]}
    assert counted(source, make_socket(TcpCounters(5100, 0, 9500, 51, 62))) == {}


def test_a_connection_that_is_new_counts_from_its_beginning() -> None:
    source = TcpCounterSource()
    counted(source)
    (row,) = counted(source, make_socket(TcpCounters(100, 0, 0, 3, 0))).values()
    assert row == [100 + 3 * 52, 0, 3, 0]


def test_ipv6_headers_are_longer() -> None:
    source = TcpCounterSource()
    counted(source)
    socket = make_socket(TcpCounters(0, 0, 0, 1, 0), local=packed("fd00::5"), remote=packed("2001:db8::1"))
    (row,) = counted(source, socket).values()
    assert sum(row[:2]) == 72


def test_loopback_is_counted_at_one_end() -> None:
    source = TcpCounterSource()
    counted(source)
    client = make_socket(TcpCounters(10, 0, 20, 1, 1), local=LOCAL, remote=LOCAL, remote_port=80, cookie=1)
    server = make_socket(
        TcpCounters(20, 0, 10, 1, 1), local=LOCAL, local_port=80, remote=LOCAL, remote_port=40_000, cookie=2
    )
    (row,) = counted(source, client, server).values()
    assert sorted(row[:2]) == [10 + 52, 20 + 52]


def test_listeners_and_sockets_without_figures_are_left_out() -> None:
    source = TcpCounterSource()
    counted(source)
    assert counted(source, make_socket(None), make_socket(TcpCounters(1, 0, 1, 1, 1), remote_port=0)) == {}


def test_a_connection_that_ended_counts_to_its_last_byte() -> None:
    source = TcpCounterSource()
    counted(source)
    counted(source, make_socket(TcpCounters(100, 0, 0, 3, 0)))
    (row,) = counted(source, ended=(make_socket(TcpCounters(150, 0, 30, 4, 1), inode=0),)).values()
    assert row == [50 + 52, 30 + 52, 1, 1]
    # Seen by the dump and gone before its end was read: each byte once.
    seen, gone = make_socket(TcpCounters(10, 0, 0, 1, 0), cookie=6), make_socket(TcpCounters(20, 0, 0, 2, 0), cookie=6)
    (row,) = counted(source, seen, ended=(gone,)).values()
    assert row == [20 + 2 * 52, 0, 2, 0]
    assert counted(source) == {}


def test_a_connection_between_two_looks_is_counted_by_its_end() -> None:
    source = TcpCounterSource()
    counted(source)
    (row,) = counted(source, ended=(make_socket(TcpCounters(100, 0, 9, 3, 2), cookie=9),)).values()
    assert row == [100 + 3 * 52, 9 + 2 * 52, 3, 2]


def test_an_aborted_connection_brings_no_figures() -> None:
    source = TcpCounterSource()
    counted(source)
    counted(source, make_socket(TcpCounters(100, 0, 0, 3, 0)))
    gone = make_socket(TcpCounters(0, 0, 0, 0, 0), remote=bytes(4), remote_port=0)
    assert counted(source, ended=(gone,)) == {}
    assert counted(source) == {}

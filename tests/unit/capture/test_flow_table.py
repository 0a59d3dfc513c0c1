"""The flow table: nothing counted is ever lost, whatever the order, the size and the cuts."""

from __future__ import annotations

import tracemalloc
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netally.capture import flow_table
from netally.capture.dissector import Packet
from netally.capture.flow_table import Cut, FlowTable, client_is_a
from netally.capture.packets import (
    A_IS_CLIENT,
    A_SENT_FIRST,
    B_IS_CLIENT,
    TCP_ACK,
    TCP_FIN,
    TCP_SYN,
    Columns,
    ColumnsBuilder,
    FlowEnds,
)
from netally.contracts.flow import App

ME = bytes((10, 0, 0, 1))
PEER = bytes((192, 0, 2, 1))


def packet(sport: int = 40_000, *, flags: int = TCP_ACK, back: bool = False, protocol: int = 6) -> Packet:
    """Between ME:sport and PEER:443."""
    if back:
        return Packet(protocol, PEER, ME, 443, sport, 100, flags, 0, 0, 0)
    return Packet(protocol, ME, PEER, sport, 443, 100, flags, 0, 0, 0)


def observe(table: FlowTable, *rows: tuple[Packet, float], length: int = 100) -> list[int]:
    builder = ColumnsBuilder()
    for each, time in rows:
        builder.add(each, length=length, time=time, interface=2, outgoing=each.src == ME)
    return [int(slot) for slot in table.observe(builder.take())]


def key(sport: int = 40_000) -> FlowEnds:
    return FlowEnds(6, ME, sport, PEER, 443, 2)


def by_port(table: FlowTable, cut: Cut) -> dict[int, list[int]]:
    return {table.key(slot).a_port: row for slot, row in zip(cut.slots.tolist(), cut.counters.tolist(), strict=True)}


def test_counts_both_directions_apart() -> None:
    table = FlowTable()
    new = observe(table, (packet(), 1.0), (packet(back=True), 1.1), (packet(back=True), 1.2))
    assert len(new) == 1
    assert table.key(new[0]) == key()
    cut = table.cut(2.0)
    assert cut.counters.tolist() == [[100, 200, 1, 2]]
    assert cut.connections.tolist() == [1]


def test_a_cut_takes_what_was_counted_and_keeps_the_flow() -> None:
    table = FlowTable()
    observe(table, (packet(), 1.0))
    table.cut(2.0)
    assert not len(table.cut(3.0).slots)
    assert observe(table, (packet(), 4.0)) == []
    cut = table.cut(5.0)
    assert cut.counters.tolist() == [[100, 0, 1, 0]]
    # Seen before: no new connection.
    assert cut.connections.tolist() == [0]


def test_packets_behind_the_boundary_wait_for_the_next_cut() -> None:
    table = FlowTable()
    table.boundary = 10.0
    observe(table, (packet(), 9.9), (packet(), 10.0), (packet(50_000), 10.1))
    first = table.cut(10.3)
    assert by_port(table, first) == {40_000: [100, 0, 1, 0]}
    second = table.cut(15.3)
    assert by_port(table, second) == {40_000: [100, 0, 1, 0], 50_000: [100, 0, 1, 0]}
    assert dict(zip((table.key(slot).a_port for slot in second.slots), second.connections.tolist(), strict=True)) == {
        40_000: 0,
        50_000: 1,
    }


def test_the_last_second_shows_what_waits_for_the_next_cut() -> None:
    table = FlowTable()
    table.boundary = 10.0
    observe(table, (packet(), 9.9), (packet(back=True), 10.1))
    slots, counters = table.take_second()
    assert (len(slots), counters.tolist()) == (1, [[100, 100, 1, 1]])
    assert not len(table.take_second()[0])


def test_ports_used_again_are_a_new_connection_without_the_old_one_s_name() -> None:
    table = FlowTable()
    (slot,) = observe(table, (packet(flags=TCP_SYN), 1.0), (packet(flags=TCP_FIN | TCP_ACK), 2.0))
    table.set_name(slot, "old.example", 2)
    table.set_process(slot, App("old"), 2)
    observe(table, (packet(flags=TCP_SYN), 3.0))
    assert table.cut(4.0).connections.tolist() == [2]
    assert (table.name[slot], table.process[slot]) == (None, None)


def test_a_syn_that_the_tap_saw_first_keeps_the_new_connection_s_process() -> None:
    table = FlowTable()
    (slot,) = observe(table, (packet(flags=TCP_SYN), 1.0), (packet(flags=TCP_FIN | TCP_ACK), 2.0))
    table.set_process(slot, App("old"), 2)
    assert table.touch(packet(flags=TCP_SYN), time=3.0, interface=2, outgoing=True) == slot
    assert table.process[slot] is None
    table.set_process(slot, App("new"), 2)
    observe(table, (packet(flags=TCP_SYN), 3.0))
    assert table.process[slot] == App("new")
    assert table.cut(4.0).connections.tolist() == [2]


def test_a_touched_flow_counts_nothing_until_its_packets_come() -> None:
    table = FlowTable()
    slot = table.touch(packet(flags=TCP_SYN), time=1.0, interface=2, outgoing=True)
    assert table.find(key()) == slot
    assert not len(table.cut(1.5).slots)
    assert observe(table, (packet(flags=TCP_SYN), 1.0)) == []
    assert table.cut(2.0).connections.tolist() == [1]


def test_syn_repeated_is_one_connection() -> None:
    table = FlowTable()
    observe(table, (packet(flags=TCP_SYN), 1.0), (packet(flags=TCP_SYN), 2.0))
    observe(table, (packet(flags=TCP_SYN), 4.0))
    assert table.cut(5.0).connections.tolist() == [1]


def test_idle_flows_are_forgotten_by_kind() -> None:
    table = FlowTable()
    observe(table, (packet(1), 0.0), (packet(2, flags=TCP_FIN), 0.0), (packet(3, protocol=17), 0.0))
    table.cut(1.0)

    def left(now: float) -> set[int]:
        table.forget_idle(now)
        return {table.key(slot).a_port for slot in table.slots}

    assert left(10.0) == {1, 2, 3}
    assert left(flow_table.CLOSED_AGE + 1) == {1, 3}
    assert left(flow_table.OTHER_AGE + 1) == {1}
    assert left(flow_table.TCP_AGE + 1) == set()


def test_uncounted_traffic_is_never_forgotten() -> None:
    table = FlowTable()
    observe(table, (packet(), 0.0))
    table.forget_idle(1e9)
    assert len(table) == 1


def test_a_full_table_merges_the_least_recent_with_counts_kept() -> None:
    table = FlowTable(limit=64)
    for port in range(1, 101):
        observe(table, (packet(port), float(port)))
    assert len(table) <= 64
    cut = table.cut(200.0)
    others = cut.others
    assert sum(other.counters[0] for other in others) + int(cut.counters[:, 0].sum()) == 100 * 100
    assert sum(other.connections for other in others) + int(cut.connections.sum()) == 100
    assert {table.key(slot).a_port for slot in cut.slots} >= set(range(60, 101))
    assert all(other.protocol == 6 and other.interface == 2 for other in others)
    assert table.cut(300.0).others == []


def test_one_block_with_more_flows_than_fit() -> None:
    table = FlowTable(limit=64)
    new = observe(table, *((packet(port), 1.0) for port in range(1, 201)))
    assert set(new) <= set(table.slots.tolist())
    cut = table.cut(2.0)
    assert sum(other.counters[0] for other in cut.others) + int(cut.counters[:, 0].sum()) == 200 * 100
    assert len(table) <= 64


def test_meeting_hashes_are_told_apart_by_the_real_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def constant(words: Any) -> Any:
        return np.full(len(words), 7, np.uint64)

    monkeypatch.setattr(flow_table, "hash_words", constant)
    monkeypatch.setattr(flow_table, "hash_one", lambda words: 7)
    table = FlowTable()
    observe(table, (packet(1), 1.0), (packet(2), 1.0), (packet(2, back=True), 1.0))
    observe(table, (packet(1), 2.0), (packet(2), 2.0))
    cut = table.cut(3.0)
    assert by_port(table, cut) == {1: [200, 0, 2, 0]}
    (other,) = cut.others
    # Of the other flow two packets went and one came; the two ends of its key are in order as well.
    assert other.counters == (200, 100, 2, 1)
    assert other.outgoing_is_a
    assert table.collisions == 3


def test_times_are_kept_when_wanted() -> None:
    table = FlowTable(keep_times=True)
    (slot,) = observe(table, (packet(), 5.0), (packet(), 3.0))
    observe(table, (packet(), 9.0))
    assert table.first_seen is not None
    assert (table.first_seen[slot], table.last_seen[slot]) == (3.0, 9.0)


PACKETS = st.lists(
    st.tuples(st.integers(1, 40), st.booleans(), st.integers(0, 100), st.sampled_from((0, TCP_SYN, TCP_FIN))),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(PACKETS, st.booleans(), st.booleans()), max_size=6), st.sampled_from((16, 64, 5_000)))
def test_every_byte_is_reported_once(
    blocks: Sequence[tuple[list[tuple[int, bool, int, int]], bool, bool]], limit: int
) -> None:
    """Against a dictionary, over blocks, cuts with boundaries, evictions and forgetting."""
    table = FlowTable(limit)
    wanted = {"there": 0, "back": 0}
    got = {"there": 0, "back": 0}
    exact: dict[int, int] = defaultdict(int)
    reported: dict[int, int] = defaultdict(int)

    def take(cut: Cut) -> None:
        for slot, row in zip(cut.slots.tolist(), cut.counters.tolist(), strict=True):
            reported[table.key(slot).a_port] += row[0] + row[1]
            got["there"] += row[0]
            got["back"] += row[1]
        for other in cut.others:
            got["there"] += other.counters[0]
            got["back"] += other.counters[1]

    clock = 0.0
    for rows, bounded, forgetting in blocks:
        clock += 100.0
        if bounded:
            table.boundary = clock + 50.0
        builder = ColumnsBuilder()
        for port, back, offset, flags in rows:
            builder.add(
                packet(port, flags=flags, back=back), length=port, time=clock + offset, interface=2, outgoing=not back
            )
            wanted["back" if back else "there"] += port
            exact[port] += port
        table.observe(builder.take())
        take(table.cut(clock + 60.0))
        if forgetting:
            table.forget_idle(clock + 1e6)
    take(table.cut(clock + 1000.0))
    table.forget_idle(clock)
    assert got == wanted
    if limit > 40:
        assert reported == {port: size for port, size in exact.items() if size}
    assert len(table) <= limit


def test_the_table_grows_without_mixing_flows_up() -> None:
    table = FlowTable()
    for begin in range(0, 20_000, 1_000):
        observe(table, *((packet(port), 1.0) for port in range(begin + 1, begin + 1_001)))
    for port in (1, 9_999, 20_000):
        slot = table.find(key(port))
        assert slot is not None
        assert table.key(slot) == key(port)
    assert len(table.cut(2.0).slots) == 20_000


@pytest.mark.parametrize(
    ("events", "a_port", "b_port", "protocol", "a_listens", "b_listens", "a_is_client"),
    [
        (A_IS_CLIENT, 80, 40_000, 6, True, False, True),
        (B_IS_CLIENT | A_SENT_FIRST, 40_000, 80, 6, False, True, False),
        (A_SENT_FIRST, 5_000, 40_000, 6, True, False, False),
        (0, 5_000, 40_000, 17, False, True, True),
        (A_SENT_FIRST, 443, 50_000, 6, False, False, False),
        (A_SENT_FIRST, 443, 50_000, 17, False, False, False),
        (A_SENT_FIRST, 50_000, 40_000, 17, False, False, True),
        (0, 5_353, 5_353, 17, False, False, False),
        (A_SENT_FIRST, 0, 0, 1, False, False, True),
    ],
    ids=[
        "the SYN beats a listener", "the SYN of the other end", "a listener beats the lower port", "the other listens",
        "TCP in its midst: the lower port", "UDP from a well-known port", "UDP: who sent first", "equal ports", "ICMP",
    ],
)  # fmt: skip
def test_roles(
    events: int, a_port: int, b_port: int, protocol: int, a_listens: bool, b_listens: bool, a_is_client: bool
) -> None:
    def column(value: int) -> Any:
        return np.array([value], np.int64)

    answer = client_is_a(
        np.array([events], np.uint8),
        column(a_port),
        column(b_port),
        column(protocol),
        np.array([a_listens]),
        np.array([b_listens]),
    )
    assert answer.tolist() == [a_is_client]


def test_a_flow_takes_a_hundred_bytes() -> None:
    def fill(table: FlowTable, begin: int, end: int) -> None:
        words = np.zeros((end - begin, 5), np.uint64)
        words[:, 1] = np.arange(begin, end)
        words[:, 4] = 6 << 24
        rows = len(words)
        ones = np.ones(rows, np.int64)
        nothing, times = np.zeros(rows, np.bool_), np.full(rows, 1000.0)
        table.observe(Columns(words, nothing, ones, ones, np.zeros(rows, np.uint8), times))
        table.cut(0.0)
        table.take_second()

    table = FlowTable(200_000)
    fill(table, 0, 2_000)
    tracemalloc.start()
    try:
        for begin in range(2_000, 200_000, 1_000):
            fill(table, begin, begin + 1_000)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(table) == 200_000
    assert taken / 198_000 <= 100


def test_a_clock_that_is_set_makes_no_flow_look_silent() -> None:
    table = FlowTable()
    observe(table, (packet(), 10_000.0))
    table.cut(10_001.0)
    table.shift(7_200.0)
    table.forget_idle(17_201.0)
    assert len(table) == 1
    table.shift(-7_200.0)
    table.forget_idle(10_000.0 + flow_table.TCP_AGE + 2)
    assert len(table) == 0


def test_a_flow_set_apart_keeps_what_it_counted_and_its_ports_begin_anew() -> None:
    table = FlowTable()
    observe(table, (packet(), 1.0), (packet(40_001), 1.0))
    old = table.find(key())
    assert old is not None
    table.set_process(old, App("first"), 1)
    assert table.find_all(table.words[[old]]).tolist() == [old]
    table.set_apart(old)
    assert table.find(key()) is None
    assert table.find_all(table.words[[old]]).tolist() == [-1]
    (fresh,) = observe(table, (packet(), 2.0), (packet(), 2.1))
    table.set_process(fresh, App("second"), 1)
    cut = table.cut(3.0)
    found = {
        (app.name if (app := table.process[slot]) is not None else "", int(counters.sum()))
        for slot, counters in zip(cut.slots.tolist(), cut.counters, strict=True)
    }
    assert found == {("first", 101), ("second", 202), ("", 101)}
    table.forget_idle(1e6)
    assert len(table) == 0

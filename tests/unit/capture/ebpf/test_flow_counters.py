"""Readings of counters: differences exact, whoever comes, goes or comes back; rows as the flow table wants them."""

from __future__ import annotations

import ipaddress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from netally.capture.dissector import TCP, UDP
from netally.capture.ebpf.flow_counters import (
    CLOSED,
    CLOSED_IDLE,
    KEY,
    LOCAL_OPENED,
    OTHER_IDLE,
    PRESSED_IDLE,
    REMOTE_OPENED,
    TCP_IDLE,
    VALUE,
    FlowCounters,
    columns,
    flow_words,
)
from netally.capture.flow_table import FlowTable
from netally.capture.packets import FlowEnds, key_words

Reading = tuple[NDArray[np.void], NDArray[np.void]]


def packed(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


def reading(*entries: tuple[str, int, str, int, int, tuple[int, int, int, int], int]) -> Reading:
    """(local, port, remote, port, protocol, amounts, events) of each entry."""
    keys, values = np.zeros(len(entries), KEY), np.zeros(len(entries), VALUE)
    for row, (local, local_port, remote, remote_port, protocol, amounts, events) in enumerate(entries):
        for name, text in (("local", local), ("remote", remote)):
            keys[name][row] = np.frombuffer(packed(text).ljust(16, b"\0"), "<u8")
        keys["local_port"][row], keys["remote_port"][row] = local_port, remote_port
        keys["protocol"][row], keys["family"][row] = protocol, 6 if ":" in local else 4
        values["amounts"][row], values["events"][row] = amounts, events
    return keys, values


def one(amounts: tuple[int, int, int, int], events: int = 0, *, protocol: int = TCP) -> Reading:
    return reading(("10.0.0.2", 5000, "10.0.0.1", 443, protocol, amounts, events))


def test_differences_of_two_readings() -> None:
    counters = FlowCounters(100)
    first = counters.take(*one((100, 50, 2, 1), LOCAL_OPENED), 1.0)
    assert (first.amounts.tolist(), first.events.tolist(), first.is_new.tolist()) == ([[100, 50, 2, 1]], [1], [True])
    assert len(counters.take(*one((100, 50, 2, 1), LOCAL_OPENED), 2.0).keys) == 0
    third = counters.take(*one((130, 50, 3, 1), LOCAL_OPENED | CLOSED), 3.0)
    assert (third.amounts.tolist(), third.events.tolist(), third.is_new.tolist()) == ([[30, 0, 1, 0]], [4], [False])


def test_an_entry_that_begins_again_counts_from_nothing() -> None:
    counters = FlowCounters(100)
    counters.take(*one((1000, 500, 20, 10)), 1.0)
    again = counters.take(*one((60, 40, 1, 1)), 2.0)
    assert (again.amounts.tolist(), again.is_new.tolist()) == ([[60, 40, 1, 1]], [True])


@pytest.mark.parametrize(
    ("events", "protocol", "age"), [(CLOSED, TCP, CLOSED_IDLE), (0, TCP, TCP_IDLE), (0, UDP, OTHER_IDLE)]
)
def test_silent_entries_are_given_back(events: int, protocol: int, age: float) -> None:
    counters = FlowCounters(100)
    counters.take(*one((1, 1, 1, 1), events, protocol=protocol), 10.0)
    counters.take(*one((2, 1, 2, 1), events, protocol=protocol), 20.0)
    assert len(counters.take_idle(20.0 + age)) == 0
    assert len(counters.take_idle(20.1 + age)) == 1
    assert len(counters.take_idle(21.0 + age)) == 0


def test_a_map_that_fills_up_is_cleared_sooner() -> None:
    counters = FlowCounters(1)
    counters.take(*one((1, 1, 1, 1)), 10.0)
    assert counters.fill == 1.0
    assert len(counters.take_idle(10.1 + PRESSED_IDLE)) == 1


@given(st.lists(st.dictionaries(st.integers(1, 30), st.integers(0, 1000), max_size=30), max_size=8))
def test_the_differences_sum_to_what_was_counted(readings: list[dict[int, int]]) -> None:
    """Each reading adds something to some of the entries; those never touched are not in the map."""
    counters = FlowCounters(100)
    sums: dict[int, int] = {}
    found: dict[int, int] = {}
    for number, grown in enumerate(readings):
        for port, amount in grown.items():
            sums[port] = sums.get(port, 0) + amount
        entries = [("10.0.0.2", port, "10.0.0.1", 443, TCP, (total, 0, total, 0), 0) for port, total in sums.items()]
        moved = counters.take(*reading(*entries), float(number))
        for port, amount in zip(moved.keys["local_port"].tolist(), moved.amounts[:, 0].tolist(), strict=True):
            found[port] = found.get(port, 0) + amount
    assert found == {port: total for port, total in sums.items() if total}


ENDS = (("10.0.0.2", "10.0.0.1"), ("10.0.0.1", "10.0.0.2"), ("fd00::2", "fd00:0:0:1::1"), ("::1", "::1"))
PORT = st.integers(0, 65_535)


@given(st.sampled_from(ENDS), PORT, PORT, st.sampled_from((TCP, UDP)))
def test_keys_are_those_of_packets(ends: tuple[str, str], local_port: int, remote_port: int, protocol: int) -> None:
    local, remote = ends
    keys, _ = reading((local, local_port, remote, remote_port, protocol, (0, 0, 0, 0), 0))
    words, local_is_b = flow_words(keys, np.array([7]))
    wanted, reverse = key_words(protocol, packed(local), local_port, packed(remote), remote_port, 7)
    assert (tuple(words[0].tolist()), bool(local_is_b[0])) == (wanted, reverse)


def table_of(entries: Reading, *, loopback: bool = False) -> FlowTable:
    moved = FlowCounters(100).take(*entries, 1.0)
    words, local_is_b = flow_words(moved.keys, np.full(len(moved.keys), 2))
    table = FlowTable()
    table.observe(columns(moved, words, local_is_b, np.full(len(moved.keys), loopback), 1.0))
    return table


@pytest.mark.parametrize(("local", "remote"), [("10.0.0.2", "10.0.0.1"), ("10.0.0.1", "10.0.0.2")])
@pytest.mark.parametrize("opened", [LOCAL_OPENED, REMOTE_OPENED])
def test_a_connection_has_its_directions_its_client_and_one_opening(local: str, remote: str, opened: int) -> None:
    table = table_of(reading((local, 443, remote, 5000, TCP, (100, 70, 3, 2), opened)))
    slot = table.find(FlowEnds(TCP, packed(local), 443, packed(remote), 5000, 2))
    assert slot is not None
    cut = table.cut(2.0)
    local_is_a = packed(local) < packed(remote)
    bytes_ab, bytes_ba = (70, 100) if local_is_a else (100, 70)
    assert cut.counters[0].tolist()[:2] == [bytes_ab, bytes_ba]
    assert cut.connections.tolist() == [1]
    client_is_a = local_is_a == (opened == LOCAL_OPENED)
    assert bool(table.events[slot] & 1) == client_is_a
    assert bool(table.events[slot] & 2) != client_is_a


def test_on_loopback_each_packet_counts_once() -> None:
    table = table_of(
        reading(
            ("127.0.0.1", 5000, "127.0.0.1", 80, TCP, (500, 100, 4, 5), LOCAL_OPENED),
            ("127.0.0.1", 80, "127.0.0.1", 5000, TCP, (100, 500, 5, 4), REMOTE_OPENED),
        ),
        loopback=True,
    )
    cut = table.cut(2.0)
    # A is the lower port: the server.
    assert (cut.counters.tolist(), cut.connections.tolist()) == ([[500, 100, 4, 5]], [1])

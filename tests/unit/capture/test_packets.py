"""Flow keys: one for both directions, none for two connections."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from netally.capture.dissector import Packet
from netally.capture.packets import (
    A_IS_CLIENT,
    A_IS_LOCAL,
    B_IS_CLIENT,
    B_IS_LOCAL,
    CLOSED,
    SYN,
    TCP_ACK,
    TCP_RST,
    TCP_SYN,
    ColumnsBuilder,
    ends_of_words,
    events_of,
    hash_one,
    hash_words,
    join,
    key_words,
)

PORT = st.integers(0, 65_535)
ADDRESSES = st.one_of(
    st.tuples(st.binary(min_size=4, max_size=4), st.binary(min_size=4, max_size=4)),
    st.tuples(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16)),
)


@given(st.integers(0, 255), ADDRESSES, PORT, PORT, st.integers(0, 2**23 - 1))
def test_a_key_is_the_same_both_ways_and_can_be_read_back(
    protocol: int, addresses: tuple[bytes, bytes], sport: int, dport: int, interface: int
) -> None:
    src, dst = addresses
    there, reverse = key_words(protocol, src, sport, dst, dport, interface)
    back, reverse_back = key_words(protocol, dst, dport, src, sport, interface)
    assert there == back
    assert reverse != reverse_back or (src, sport) == (dst, dport)
    ends = ends_of_words(np.array(there, np.uint64))
    assert ends.protocol == protocol
    assert ends.interface == interface
    low, high = ((dst, dport), (src, sport)) if reverse else ((src, sport), (dst, dport))
    assert ((ends.a, ends.a_port), (ends.b, ends.b_port)) == (low, high)


def test_an_ipv4_address_is_no_ipv6_address_of_the_same_number() -> None:
    four, _ = key_words(6, bytes((1, 2, 3, 4)), 1, bytes((1, 2, 3, 5)), 2, 0)
    six, _ = key_words(6, bytes(12) + bytes((1, 2, 3, 4)), 1, bytes(12) + bytes((1, 2, 3, 5)), 2, 0)
    assert four != six


@given(st.lists(st.tuples(*[st.integers(0, 2**64 - 1)] * 5), min_size=1, max_size=5))
def test_the_hash_of_one_is_the_hash_of_many(keys: list[tuple[int, ...]]) -> None:
    assert hash_words(np.array(keys, np.uint64)).tolist() == [hash_one(key) for key in keys]


def test_hashes_of_neighbours_differ() -> None:
    keys = np.zeros((65_536, 5), np.uint64)
    keys[:, 4] = np.arange(65_536, dtype=np.uint64) << np.uint64(32)
    assert len(np.unique(hash_words(keys))) == 65_536


def packet(flags: int = 0) -> Packet:
    return Packet(6, bytes(4), bytes(4), 1, 2, 40, flags, 0, 0, 0)


def test_events() -> None:
    assert events_of(packet(TCP_SYN), reverse=False, outgoing=None) == A_IS_CLIENT | SYN
    assert events_of(packet(TCP_SYN), reverse=True, outgoing=None) == B_IS_CLIENT | SYN
    assert events_of(packet(TCP_SYN | TCP_ACK), reverse=False, outgoing=None) == B_IS_CLIENT
    assert events_of(packet(TCP_RST), reverse=False, outgoing=True) == CLOSED | A_IS_LOCAL
    assert events_of(packet(), reverse=False, outgoing=False) == B_IS_LOCAL
    assert events_of(packet(), reverse=True, outgoing=True) == B_IS_LOCAL
    assert events_of(packet(), reverse=True, outgoing=False) == A_IS_LOCAL


def test_joined_columns_are_in_order_of_time() -> None:
    first, second = ColumnsBuilder(), ColumnsBuilder()
    for time in (1.0, 4.0):
        first.add(packet(), length=int(time), time=time)
    for time in (2.0, 3.0):
        second.add(packet(), length=int(time), time=time)
    assert join(first.take(), second.take()).lengths.tolist() == [1, 2, 3, 4]
    assert len(first) == 0


def test_values_among_others_are_told_without_numpy_s_masked_arrays() -> None:
    """Whose import takes as long as many connections live."""
    program = """
import sys
import numpy as np
from netally.capture.packets import among
chosen = np.arange(0, 3_000_000_000, 1_000_000, dtype=np.uint64)
values = np.array([0, 1, 2_999_000_000, 3_000_000_000, 5_000_000, 2**64 - 1], np.uint64)
print(among(values, chosen).tolist(), among(values, chosen[:0]).any(), "numpy.ma" in sys.modules)
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert told.strip() == "[True, False, True, False, True, False] False False"

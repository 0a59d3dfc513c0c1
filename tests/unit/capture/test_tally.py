"""The tally: the causes of an interval sum to what the interface counted, whatever was seen of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netally.capture.interfaces import InterfaceCounters
from netally.capture.tally import Carried, Odd, counter_delta, tally_rows
from netally.contracts.codes import Cause

COUNT = st.integers(0, 10**12)
AMOUNTS = st.lists(COUNT, min_size=4, max_size=4)


def delta(bytes_in: int, bytes_out: int, packets_in: int, packets_out: int) -> InterfaceCounters:
    return InterfaceCounters(packets_in=packets_in, packets_out=packets_out, bytes_in=bytes_in, bytes_out=bytes_out)


def odd(drops: int = 0) -> Odd:
    return Odd((28, 0), (1, 0), 60, 1, drops)


def rows(carried: Carried, causes: dict[tuple[int, Cause], list[int]]) -> dict[Cause, tuple[int, ...]]:
    return {
        Cause(row.cause): (row.bytes_in, row.bytes_out, row.packets_in, row.packets_out)
        for row in tally_rows({2: carried}, causes)
    }


def test_what_is_left_over_is_the_link_headers() -> None:
    causes = {(2, Cause.ATTRIBUTED): [1000, 500, 10, 5], (3, Cause.ATTRIBUTED): [7, 7, 7, 7]}
    carried = Carried("eth0", delta(1000 + 28 + 60 + 14 * 12, 500 + 14 * 5, 12, 5), odd())
    assert rows(carried, causes) == {
        Cause.ATTRIBUTED: (1000, 500, 10, 5),
        Cause.NOT_IP: (28, 0, 1, 0),
        Cause.FORWARDED: (60, 0, 1, 0),
        Cause.HEADER_DIFFERENCE: (14 * 12, 14 * 5, 0, 0),
    }


def test_lost_packets_are_named_and_their_headers_are_not() -> None:
    causes = {(2, Cause.ATTRIBUTED): [1000, 0, 10, 0]}
    # Ten packets counted and two odd, eight lost with 8,000 L3 bytes.
    carried = Carried("eth0", delta(1088 + 12 * 14 + 8 * 1014, 0, 20, 0), odd(drops=8))
    assert rows(carried, causes)[Cause.LOST_RING] == (8 * 1014, 0, 8, 0)
    assert rows(carried, causes)[Cause.HEADER_DIFFERENCE] == (12 * 14, 0, 0, 0)


@given(AMOUNTS, st.dictionaries(st.sampled_from(list(Cause)[1:4]), AMOUNTS), st.sampled_from((0, 5)))
def test_the_causes_sum_to_the_counter(counted: list[int], seen: dict[Cause, list[int]], drops: int) -> None:
    carried = Carried("eth0", delta(*counted), odd(drops))
    found = rows(carried, {(2, cause): amounts for cause, amounts in seen.items()})
    assert [sum(amounts[column] for amounts in found.values()) for column in range(4)] == counted


def test_a_counter_that_went_back_was_reset() -> None:
    assert counter_delta(delta(100, 100, 5, 5), delta(130, 40, 6, 2)) == delta(30, 40, 1, 2)


def test_an_idle_interface_has_no_rows() -> None:
    assert tally_rows({2: Carried("eth0", delta(0, 0, 0, 0), Odd((0, 0), (0, 0), 0, 0, 0))}, {}) == []


def test_without_packets_the_rest_is_unknown_but_for_link_headers() -> None:
    causes = {(2, Cause.NO_NAME): [1000, 500, 10, 5]}
    nothing = Odd((0, 0), (0, 0), 0, 0, 0)
    carried = Carried("eth0", delta(1000 + 14 * 10 + 300, 500 + 14 * 5, 12, 5), nothing, every_packet=False)
    assert rows(carried, causes) == {
        Cause.NO_NAME: (1000, 500, 10, 5),
        Cause.UNKNOWN: (300, 0, 2, 0),
        Cause.HEADER_DIFFERENCE: (14 * 10, 14 * 5, 0, 0),
    }


def test_a_tunnel_s_counter_has_no_link_headers() -> None:
    carried = Carried("tun0", delta(1000 + 400, 0, 14, 0), Odd((0, 0), (0, 0), 0, 0, 4), link_header=0)
    assert rows(carried, {(2, Cause.NO_NAME): [1000, 0, 10, 0]}) == {
        Cause.NO_NAME: (1000, 0, 10, 0),
        Cause.LOST_RING: (400, 0, 4, 0),
    }

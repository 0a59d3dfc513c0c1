"""The tally: the causes of an interval sum to what the interface counted, whatever was seen of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netally.capture.interfaces import InterfaceCounters
from netally.capture.tally import Carried, Measured, Odd, Passed, counter_delta, measured_rows, tally_rows
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


PAIR = st.tuples(COUNT, COUNT)
FOUR = st.tuples(COUNT, COUNT, COUNT, COUNT)
PASSED = st.builds(Passed, PAIR, PAIR, PAIR, PAIR, FOUR, FOUR, FOUR)


def measured(found: Measured, causes: dict[tuple[int, Cause], list[int]]) -> dict[Cause, tuple[int, ...]]:
    return {
        Cause(row.cause): (row.bytes_in, row.bytes_out, row.packets_in, row.packets_out)
        for row in measured_rows({2: found}, causes)
    }


@given(AMOUNTS, st.dictionaries(st.sampled_from(list(Cause)[1:4]), AMOUNTS), PASSED)
def test_measured_causes_sum_to_the_counter(counted: list[int], seen: dict[Cause, list[int]], passed: Passed) -> None:
    found = measured(Measured("eth0", delta(*counted), passed), {(2, cause): row for cause, row in seen.items()})
    assert [sum(amounts[column] for amounts in found.values()) for column in range(4)] == counted


def test_what_passed_without_a_socket_is_the_kernel_s_or_passed_on() -> None:
    passed = Passed(
        frames=(20, 10), frame_bytes=(20 * 1014, 10 * 514), packets=(20, 10), bytes=(20_000, 5_000),
        not_ip=(28, 0, 1, 0), elsewhere=(3_000, 2_000, 3, 4), lost=(500, 0, 1, 0),
    )  # fmt: skip
    causes = {(2, Cause.ATTRIBUTED): [16_000, 2_900, 14, 5]}
    found = measured(Measured("eth0", delta(20 * 1014, 10 * 514, 20, 10), passed), causes)
    assert found == {
        Cause.ATTRIBUTED: (16_000, 2_900, 14, 5),
        Cause.NOT_IP: (28, 0, 1, 0),
        Cause.LOST_MAP: (500, 0, 1, 0),
        Cause.FORWARDED: (3_000, 2_000, 3, 4),
        Cause.KERNEL: (472, 100, 1, 1),
        Cause.HEADER_DIFFERENCE: (280, 140, 0, 0),
    }


def test_a_super_packet_is_one_to_a_virtual_interface_and_many_to_a_card() -> None:
    nothing = (0, 0, 0, 0)
    passed = Passed((2, 0), (60_028, 0), (40, 0), (62_000, 0), nothing, nothing, nothing)
    causes = {(2, Cause.NO_NAME): [62_000, 0, 40, 0]}
    assert measured(Measured("veth0", delta(60_028, 0, 2, 0), passed), causes) == {
        Cause.NO_NAME: (62_000, 0, 40, 0),
        Cause.HEADER_DIFFERENCE: (60_028 - 62_000, 0, -38, 0),
    }
    on_wire = 62_000 + 14 * 40
    assert measured(Measured("eth0", delta(on_wire, 0, 40, 0), passed), causes) == {
        Cause.NO_NAME: (62_000, 0, 40, 0),
        Cause.HEADER_DIFFERENCE: (14 * 40, 0, 0, 0),
    }


def test_what_the_counter_says_beyond_all_that_was_seen_is_unknown() -> None:
    nothing = (0, 0, 0, 0)
    passed = Passed((10, 0), (1_140, 0), (10, 0), (1_000, 0), nothing, nothing, nothing)
    found = measured(Measured("eth0", delta(1_200, 0, 11, 0), passed), {(2, Cause.NO_NAME): [1_000, 0, 10, 0]})
    assert found[Cause.UNKNOWN] == (60, 0, 1, 0)

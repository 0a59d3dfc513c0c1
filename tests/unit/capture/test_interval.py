"""Intervals: wall-clock multiples without gaps, lengths by the monotonic clock, clocks that are set."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netally.capture.interval import following, interval_at
from netally.contracts.flow import INTERVALS


@given(st.floats(1e9, 2e9), st.sampled_from(INTERVALS))
def test_an_interval_holds_its_moment_and_begins_at_a_multiple(wall: float, length: int) -> None:
    interval = interval_at(wall, 50.0, length)
    assert interval.start % length == 0
    assert interval.start <= wall < interval.end
    assert 0 < interval.ends - 50.0 <= length


def test_the_first_interval_is_measured_from_its_beginning() -> None:
    interval = interval_at(1002.0, 50.0, 5)
    assert (interval.start, interval.end, interval.ends) == (1000, 1005, 53.0)
    assert interval.measured_ms(53.0) == 3000
    assert interval.measured_ms(51.5) == 1500


def test_the_next_one_follows_without_a_gap() -> None:
    interval = interval_at(1002.0, 50.0, 5)
    # Woken a little early and a little late alike.
    for late in (-0.004, 0.3):
        upcoming = following(interval, 1005.0 + late, 53.0 + late)
        assert (upcoming.start, upcoming.began, upcoming.ends) == (1005, 53.0, 58.0)
        assert upcoming.measured_ms(58.0) == 5000


def test_measured_time_is_never_more_than_the_interval() -> None:
    assert interval_at(1000.0, 50.0, 5).measured_ms(99.0) == 5000


def test_a_clock_that_was_set_begins_anew() -> None:
    interval = interval_at(1002.0, 50.0, 5)
    for wall in (5003.0, 3.0):
        assert interval.stepped(wall, 53.0)
        upcoming = following(interval, wall, 53.0)
        assert upcoming.start <= wall < upcoming.end
        assert upcoming.began == 53.0
    assert not interval.stepped(1005.5, 53.5)


def test_sleep_of_the_machine_is_a_step() -> None:
    # The monotonic clock stands still meanwhile.
    interval = interval_at(1000.0, 50.0, 5)
    assert interval.stepped(4000.0, 55.0)
    assert following(interval, 4000.0, 55.0).start == 4000


def test_the_step_of_the_clock_is_known() -> None:
    interval = interval_at(1_000.0, 50.0, 5)
    assert interval.drift(1_003.0, 53.0) == 0
    assert interval.drift(1_003.0 - 600, 53.0) == -600
    assert interval.stepped(1_003.0 + 3_600, 53.0)

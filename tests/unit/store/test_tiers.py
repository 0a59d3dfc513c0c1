"""Buckets of the tiers: minutes and hours of UTC, days of a time zone with summer time."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netally.store.tiers import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    TIERS,
    ceiling,
    covering,
    find,
    floor,
    following,
    ranges,
    slices,
)

BERLIN = ZoneInfo("Europe/Berlin")
TIMES = st.integers(1_700_000_000, 1_900_000_000).map(lambda seconds: seconds * SECOND)
TIER = st.sampled_from([tier.name for tier in TIERS])


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


@pytest.mark.parametrize(
    ("time", "tier", "bucket"),
    [
        ("2026-11-22T10:31:59", "1m", "2026-11-22T10:31:00"),
        ("2026-11-22T10:31:59", "1h", "2026-11-22T10:00:00"),
        ("2026-11-22T22:59:59", "1d", "2026-11-21T23:00:00"),
        ("2026-11-22T23:00:00", "1d", "2026-11-22T23:00:00"),
        ("2026-07-22T22:30:00", "1d", "2026-07-22T22:00:00"),
    ],
)
def test_a_time_is_in_the_bucket_that_began_last(time: str, tier: str, bucket: str) -> None:
    assert floor(at(time), tier, BERLIN) == at(bucket)


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-28T23:00:00", 23), ("2026-10-24T22:00:00", 25), ("2026-11-21T23:00:00", 24)]
)
def test_a_day_is_as_long_as_the_clock_makes_it(day: str, hours: int) -> None:
    assert following(at(day), "1d", BERLIN) - at(day) == hours * HOUR


@given(TIMES, TIER)
def test_a_bucket_holds_its_time_and_ends_where_the_next_begins(time: int, tier: str) -> None:
    start = floor(time, tier, BERLIN)
    end = following(start, tier, BERLIN)
    assert start <= time < end
    assert floor(end, tier, BERLIN) == end
    assert floor(end - 1, tier, BERLIN) == start
    assert ceiling(time, tier, BERLIN) == (start if start == time else end)


@given(st.lists(TIMES, max_size=8), TIER)
def test_ranges_hold_just_the_buckets_given(times: list[int], tier: str) -> None:
    buckets = {floor(time, tier, BERLIN) for time in times}
    found = list(ranges(buckets, tier, BERLIN))
    assert sorted(buckets) == [bucket for start, end in found for bucket in covering(start, end, tier, BERLIN)]
    assert all(before[1] < after[0] for before, after in itertools.pairwise(found))


@given(TIMES, st.integers(1, 90 * DAY), st.sampled_from(TIERS))
def test_slices_make_up_the_range_and_are_short(start: int, length: int, tier: object) -> None:
    assert isinstance(tier, type(TIERS[0]))
    lower = floor(start, tier.name, BERLIN)
    upper = ceiling(min(start + length, start + 40 * tier.slice), tier.name, BERLIN)
    found = list(slices(lower, upper, tier, BERLIN))
    assert (found[0][0], found[-1][1]) == (lower, upper)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(found))
    assert all(end - begin <= tier.slice + HOUR for begin, end in found)
    assert all(floor(end, tier.name, BERLIN) == end for _, end in found)


def test_buckets_that_overlap_a_range() -> None:
    start = at("2026-11-22T10:31:30")
    assert covering(start, start + MINUTE, "1m", BERLIN) == [start - 30 * SECOND, start + 30 * SECOND]


def test_raw_is_no_rollup() -> None:
    with pytest.raises(ValueError, match="1m, 1h, 1d"):
        find("raw")

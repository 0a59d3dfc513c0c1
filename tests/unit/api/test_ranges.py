from __future__ import annotations

import contextlib
import itertools
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netally.api import ranges
from netally.api.problems import ProblemError
from netally.contracts.flow import INTERVALS

VIENNA = ZoneInfo("Europe/Vienna")
UTC = ZoneInfo("UTC")
NOW = 1_795_305_600_000  # 2026-11-22T00:00:00Z
HOUR = 3_600_000

moments = st.integers(min_value=NOW - 5 * 366 * 24 * HOUR, max_value=NOW)
zones = st.sampled_from([UTC, VIENNA, ZoneInfo("Asia/Kolkata"), ZoneInfo("America/St_Johns"), ZoneInfo("Pacific/Apia")])


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("1795305600000", UTC, NOW),
        ("2026-11-22T00:00:00Z", VIENNA, NOW),
        ("2026-11-22T01:00:00+01:00", UTC, NOW),
        ("2026-11-22T01:00", VIENNA, NOW),
        ("2026-11-22", VIENNA, NOW - HOUR),
        ("20261122", UTC, NOW),
        ("2026-11-22T00:00:00.007Z", UTC, NOW + 7),
    ],
)
def test_times_are_read(text: str, zone: ZoneInfo, expected: int) -> None:
    assert ranges.parse_time(text, "from", zone) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-13-01",
        "1",
        "-1795305600000",
        "1999-01-01",
        "٢٠٢٦",
        "9" * 8,
        "9999-12-31T23:59-23:59",
        "0001-01-01T00:00+23:59",
    ],
)
def test_what_is_no_time_is_refused_by_name(text: str) -> None:
    with pytest.raises(ProblemError) as caught:
        ranges.parse_time(text, "to", UTC)
    assert (caught.value.problem.status, caught.value.problem.parameter) == (400, "to")


@given(st.text(max_size=40))
def test_any_text_is_a_time_or_a_problem(text: str) -> None:
    with contextlib.suppress(ProblemError):
        assert isinstance(ranges.parse_time(text, "from", VIENNA), int)


def test_the_last_hour_is_the_default() -> None:
    assert ranges.asked_range(None, None, None, NOW, UTC) == (NOW - HOUR, NOW)
    assert ranges.asked_range(None, str(NOW - HOUR), "24h", NOW, UTC) == (NOW - 25 * HOUR, NOW - HOUR)
    assert ranges.asked_range(str(NOW - 7), None, None, NOW, UTC) == (NOW - 7, NOW)


@pytest.mark.parametrize(("to", "now"), [("2000-01-01", NOW), (None, 0), (None, 60_000)])
def test_a_range_is_never_empty(to: str | None, now: int) -> None:
    start, end = ranges.asked_range(None, to, "1h", now, UTC)
    assert start < end


@pytest.mark.parametrize(
    ("from_", "to", "range_", "parameter"),
    [
        (str(NOW), str(NOW), None, "from"),
        (str(NOW), str(NOW - 1), None, "from"),
        (str(NOW - HOUR), None, "1h", "range"),
        (None, str(NOW + 2 * 366 * 24 * HOUR), None, "to"),
        ("2005-01-01", None, None, "from"),
    ],
)
def test_impossible_ranges_name_the_parameter(from_: str, to: str, range_: str, parameter: str) -> None:
    with pytest.raises(ProblemError) as caught:
        ranges.asked_range(from_, to, range_, NOW, UTC)
    assert caught.value.problem.parameter == parameter


@pytest.mark.parametrize(
    ("hours", "tier"),
    [(0.1, "raw"), (2, "raw"), (2.1, "1m"), (48, "1m"), (49, "1h"), (24 * 31, "1h"), (24 * 365, "1d")],
)
def test_the_tier_follows_the_length(hours: float, tier: str) -> None:
    assert ranges.tier_by_length(int(hours * HOUR)) == tier


def test_a_tier_is_never_coarser_than_the_buckets() -> None:
    assert ranges.tier_by_length(3 * HOUR, 10_000) == "raw"
    assert ranges.tier_by_length(4 * 24 * HOUR, 300_000) == "1m"
    assert ranges.tier_by_length(24 * HOUR, HOUR) == "1m"


DAY = 24 * HOUR
STORED = ranges.Stored(UTC, {"raw": NOW - 7 * DAY, "1m": NOW - 30 * DAY, "1h": NOW - 365 * DAY, "1d": 0})


@pytest.mark.parametrize(
    ("days_ago", "hours", "tier"),
    [(6, 1, "raw"), (8, 1, "1m"), (40, 1, "1h"), (400, 1, "1d"), (20, 24 * 10, "1h"), (4000, 24, "1d")],
)
def test_a_tier_that_no_longer_holds_the_range_is_not_read(days_ago: int, hours: int, tier: str) -> None:
    start = NOW - days_ago * DAY
    assert ranges.choose_tier(start, start + hours * HOUR, STORED) == tier


def test_a_bucket_that_was_dropped_in_part_is_not_held() -> None:
    stored = ranges.Stored(VIENNA, {"1h": NOW - HOUR + 1, "1d": NOW - HOUR, "raw": NOW})
    # Vienna's day begins an hour before that of UTC.
    assert [stored.holds(tier, NOW - HOUR + 1) for tier in ranges.TIERS] == [False, True, False, True]
    assert stored.holds("1h", NOW)
    assert not stored.holds("1d", NOW - HOUR - 1)


def test_only_tiers_that_can_answer_are_read() -> None:
    month = (NOW - 29 * DAY, NOW)
    assert ranges.choose_tier(NOW - 5 * DAY, NOW, STORED, able={"raw"}) == "raw"
    assert ranges.choose_tier(*month, STORED, able={"raw"}) is None
    assert ranges.choose_tier(*month, STORED, finest_ms=60_000) == "1m"
    assert ranges.choose_tier(NOW - 31 * DAY, NOW, STORED, finest_ms=60_000) is None


@pytest.mark.parametrize(
    ("zone", "days_ago", "expected"),
    [
        (UTC, 3000, ("1d", True)),
        (VIENNA, 300, ("1h", True)),
        (VIENNA, 400, ("1d", False)),
        (ZoneInfo("Asia/Kolkata"), 20, ("1m", True)),
        (ZoneInfo("Asia/Kolkata"), 40, ("1h", False)),
    ],
)
def test_days_of_a_zone_come_from_the_tier_that_ends_where_they_do(
    zone: ZoneInfo, days_ago: int, expected: tuple[str, bool]
) -> None:
    edges = ranges.calendar_edges(NOW - days_ago * DAY, NOW - days_ago * DAY + 10, "day", zone)
    assert ranges.calendar_tier(edges, STORED, frozenset(ranges.TIERS)) == expected


def test_a_filter_that_only_raw_answers_has_no_days_of_the_past() -> None:
    assert ranges.calendar_tier([NOW - 6 * DAY, NOW - 5 * DAY], STORED, {"raw"}) == ("raw", True)
    assert ranges.calendar_tier([NOW - 8 * DAY, NOW - 7 * DAY], STORED, {"raw"}) == (None, False)


@given(
    moments, st.integers(min_value=1, max_value=400 * 24 * HOUR), st.sampled_from(list(ranges.BUCKETS.values())), zones
)
def test_snapping_widens_to_whole_buckets(start: int, length: int, seconds: int, zone: ZoneInfo) -> None:
    first, last = ranges.snap(start, start + length, seconds * 1000, zone)
    assert first <= start
    assert last >= start + length
    longest = (seconds if seconds < 86400 else 2 * 86400) * 1000
    assert start - first < longest
    assert last - start - length < longest
    assert ranges.snap(first, last, seconds * 1000, zone) == (first, last)


def test_days_of_a_daylight_saving_change_have_their_own_length() -> None:
    start, end = (int(datetime(2026, 10, day, tzinfo=VIENNA).timestamp()) * 1000 for day in (24, 27))
    edges = ranges.calendar_edges(start + 5, end - 5, "day", VIENNA)
    assert [(b - a) // HOUR for a, b in itertools.pairwise(edges)] == [24, 25, 24]
    assert edges[-1] == end


def test_months_and_weeks_are_those_of_the_calendar() -> None:
    def moment(text: str) -> int:
        return int(datetime.fromisoformat(text).replace(tzinfo=VIENNA).timestamp()) * 1000

    months = ranges.calendar_edges(moment("2025-11-30T23:59"), moment("2026-04-01T00:00"), "month", VIENNA)
    expected = ("2025-11-01", "2025-12-01", "2026-01-01", "2026-02-01", "2026-03-01", "2026-04-01")
    assert months == [moment(day) for day in expected]
    # March has an hour less.
    assert (months[5] - months[4]) // HOUR == 31 * 24 - 1
    weeks = ranges.calendar_edges(moment("2025-12-31T12:00"), moment("2026-01-05T00:01"), "week", VIENNA)
    assert weeks == [moment(day) for day in ("2025-12-29", "2026-01-05", "2026-01-12")]
    assert ranges.period_start(moment("2026-01-15"), "month", VIENNA, back=13) == moment("2024-12-01")


@given(moments, st.integers(min_value=1, max_value=400 * DAY), st.sampled_from(("day", "week", "month")), zones)
def test_calendar_edges_hold_the_range_without_a_gap(start: int, length: int, period: str, zone: ZoneInfo) -> None:
    edges = ranges.calendar_edges(start, start + length, period, zone)
    assert edges == sorted(set(edges))
    assert edges[0] <= start < edges[1]
    assert edges[-2] < start + length <= edges[-1]


@given(st.sets(st.sampled_from(INTERVALS)), st.integers(min_value=60_000, max_value=366 * 24 * HOUR))
def test_chosen_buckets_hold_whole_intervals_and_fit_a_chart(intervals: set[int], length: int) -> None:
    seconds = ranges.choose_bucket(NOW - length, NOW, None, intervals)
    assert all(seconds % interval == 0 for interval in intervals)
    assert length / 1000 / seconds <= 400


@pytest.mark.parametrize(
    ("wanted", "length", "intervals"),
    [("5s", 6 * HOUR, {5}), ("5s", HOUR, {60}), ("10s", HOUR, {4, 6}), ("1m", 30 * 24 * HOUR, set())],
)
def test_buckets_that_do_not_fit_are_refused(wanted: str, length: int, intervals: set[int]) -> None:
    with pytest.raises(ProblemError) as caught:
        ranges.choose_bucket(NOW - length, NOW, wanted, intervals)
    assert caught.value.problem.parameter == "bucket"


def test_raw_rows_are_read_in_whole_steps_of_all_intervals() -> None:
    assert ranges.bucket_of_tier("raw", {4, 10}) == 20_000
    assert ranges.bucket_of_tier("raw", ()) == 5_000
    assert ranges.bucket_of_tier("1h", {4, 10}) == HOUR


@given(moments, st.integers(min_value=1, max_value=62 * 24 * HOUR), st.sampled_from(["1h", "1d"]), zones)
def test_whole_buckets_lie_within_the_range(start: int, length: int, tier: str, zone: ZoneInfo) -> None:
    end = start + length
    found = ranges.whole_buckets(start, end, tier, zone)
    if found is None:
        # Even the first hour or midnight after the start leaves no whole bucket, or days begin within an hour.
        assert length < 2 * (HOUR if tier == "1h" else 25 * HOUR) or zone.key == "Asia/Kolkata" or "John" in zone.key
        return
    first, last = found
    assert start <= first < last <= end
    assert first % HOUR == last % HOUR == 0
    if tier == "1d":
        assert ranges.day_start(first, zone) == first
        assert ranges.day_start(last, zone) == last
        assert first - start < 26 * HOUR
        assert end - last < 26 * HOUR

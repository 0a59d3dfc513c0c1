from __future__ import annotations

import contextlib
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
    assert ranges.choose_tier(int(hours * HOUR)) == tier


def test_a_tier_is_never_coarser_than_the_buckets() -> None:
    assert ranges.choose_tier(3 * HOUR, 10_000) == "raw"
    assert ranges.choose_tier(4 * 24 * HOUR, 300_000) == "1m"
    assert ranges.choose_tier(24 * HOUR, HOUR) == "1m"
    # Whole days are the deployment's own, which the hours of a half-hour zone do not make.
    assert ranges.choose_tier(24 * HOUR, 24 * HOUR) == "1d"


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
    if length < 30 * 24 * HOUR:
        starts = ranges.bucket_starts(first, last, max(seconds, 3600), zone)
        assert starts == sorted(set(starts))
        assert starts[0] == first
        assert starts[-1] < last


def test_days_of_a_daylight_saving_change_have_their_own_length() -> None:
    start, end = (int(datetime(2026, 10, day, tzinfo=VIENNA).timestamp()) * 1000 for day in (24, 27))
    starts = ranges.bucket_starts(start, end, 86400, VIENNA)
    assert [(b - a) // HOUR for a, b in zip(starts, [*starts[1:], end], strict=True)] == [24, 25, 24]


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


def test_a_table_of_raw_rows_reads_whole_steps_of_all_intervals() -> None:
    span = ranges.read_range(NOW - HOUR + 7_000, NOW + 1, {4, 10}, UTC)
    assert (span.start, span.end, span.tier) == (NOW - HOUR, NOW + 20_000, "raw")

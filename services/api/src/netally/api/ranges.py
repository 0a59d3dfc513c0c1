"""Which time a query reads: the asked range, the tier that answers it, the range snapped to its buckets. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from netally.api.problems import bad_parameter

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000

RANGES: Final = {
    "15m": 15 * MINUTE_MS,
    "1h": HOUR_MS,
    "24h": DAY_MS,
    "7d": 7 * DAY_MS,
    "30d": 30 * DAY_MS,
    "1y": 365 * DAY_MS,
}
DEFAULT_RANGE: Final = "1h"

EARLIEST_MS: Final = 946_684_800_000
"""2000-01-01: nothing was measured before."""
LONGEST_MS: Final = 10 * 366 * DAY_MS
FUTURE_MS: Final = 366 * DAY_MS
"""How far ahead a range may end."""

TIERS: Final = {"raw": 0, "1m": MINUTE_MS, "1h": HOUR_MS, "1d": DAY_MS}
"""Tier and the length of its buckets; raw's is the agents' interval."""
_LONGEST_OF_TIER: Final = {"raw": 2 * HOUR_MS, "1m": 2 * DAY_MS, "1h": 62 * DAY_MS}

BUCKETS: Final = {
    "5s": 5,
    "10s": 10,
    "15s": 15,
    "30s": 30,
    "1m": 60,
    "2m": 120,
    "5m": 300,
    "10m": 600,
    "15m": 900,
    "30m": 1800,
    "1h": 3600,
    "3h": 10800,
    "6h": 21600,
    "12h": 43200,
    "1d": 86400,
}
"""Bucket names of a timeline, in seconds. Those of a day are days of the deployment's time zone."""
_GOOD_POINTS: Final = 400
MOST_POINTS: Final = 1500


class TimeRange(msgspec.Struct, frozen=True):
    """``[start, end)`` in epoch milliseconds, and the tier it is read from."""

    start: int
    end: int
    tier: str


def parse_time(text: str, parameter: str, zone: ZoneInfo) -> int:
    """Epoch milliseconds of a parameter: digits are epoch milliseconds, else ISO 8601; without an offset it is a time
    of ``zone``. Raises the 400 that names the parameter.
    """
    if text.isascii() and text.isdigit() and len(text) > 8:
        found = int(text[:16])
    else:
        try:
            moment = datetime.fromisoformat(text)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=zone)
            found = (moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
        except (ValueError, OverflowError):
            raise bad_parameter(
                parameter,
                f"{parameter} is no time: give ISO 8601 such as 2026-11-22T14:05:00Z, or epoch milliseconds.",
            ) from None
    if found < EARLIEST_MS:
        raise bad_parameter(parameter, f"{parameter} lies before 2000-01-01, where nothing was measured.")
    return found


def check_range(from_: str | None, to: str | None, range_: str | None) -> None:
    """Raises the 400 of what is wrong whatever the time zone, for which alone a query would wait."""
    if from_ is not None and range_ is not None:
        raise bad_parameter("range", "range and from exclude each other: give one of them.")
    for parameter, text in (("from", from_), ("to", to)):
        if text is not None:
            parse_time(text, parameter, ZoneInfo("UTC"))


def asked_range(from_: str | None, to: str | None, range_: str | None, now: int, zone: ZoneInfo) -> tuple[int, int]:
    """Start and end as asked: ``from`` and ``to`` (now when absent), or ``range`` before ``to``; else the last hour."""
    check_range(from_, to, range_)
    end = now if to is None else parse_time(to, "to", zone)
    if end > now + FUTURE_MS:
        raise bad_parameter("to", "to lies more than a year ahead.")
    if from_ is None:
        return max(end - RANGES[range_ or DEFAULT_RANGE], EARLIEST_MS), end
    start = parse_time(from_, "from", zone)
    if start >= end:
        raise bad_parameter("from", "from does not lie before to.")
    if end - start > LONGEST_MS:
        raise bad_parameter("from", "The range is longer than ten years.")
    return start, end


def choose_tier(length_ms: int, finest_ms: int | None = None) -> str:
    """The tier for a range of this length; a finer one when buckets of ``finest_ms`` are wanted."""
    tier = next((name for name, longest in _LONGEST_OF_TIER.items() if length_ms <= longest), "1d")
    if finest_ms is None:
        return tier
    if finest_ms >= DAY_MS:
        # Its days are the deployment's own, which hours need not divide (half-hour zones).
        return "1d"
    return max((name for name, size in TIERS.items() if size <= min(finest_ms, TIERS[tier])), key=TIERS.__getitem__)


def snap(start: int, end: int, bucket_ms: int, zone: ZoneInfo) -> tuple[int, int]:
    """The range widened to whole buckets: counted from the epoch, or days of the zone."""
    if bucket_ms >= DAY_MS:
        last = day_start(end, zone)
        return day_start(start, zone), last if last == end else next_day(last, zone)
    return start - start % bucket_ms, end + -end % bucket_ms


def read_range(start: int, end: int, intervals: Iterable[int], zone: ZoneInfo) -> TimeRange:
    """The range to read for a table. ``intervals`` are those of the agents, in seconds."""
    tier = choose_tier(end - start)
    bucket_ms = TIERS[tier] or raw_step(intervals) * 1000
    return TimeRange(*snap(start, end, bucket_ms, zone), tier)


def raw_step(intervals: Iterable[int]) -> int:
    """Seconds after which the intervals of all agents start together; 5 when there is none."""
    return math.lcm(*intervals) if (intervals := list(intervals)) else 5


def choose_bucket(start: int, end: int, wanted: str | None, intervals: Iterable[int]) -> int:
    """Seconds of a timeline's buckets: the wanted ones, or the finest that keep the chart readable.

    Raises the 400 for buckets that are too many or that the agents' intervals do not fit into (bytes of an
    interval would fall into one bucket and leave the next empty).
    """
    step = raw_step(intervals)
    if wanted is None:
        return next((s for s in BUCKETS.values() if s % step == 0 and (end - start) / 1000 / s <= _GOOD_POINTS), 86400)
    seconds = BUCKETS[wanted]
    if seconds % step:
        raise bad_parameter(
            "bucket",
            f"Hosts measure in intervals that start together every {step} s: ask for a bucket of whole such steps.",
        )
    if (end - start) / 1000 / seconds > MOST_POINTS:
        raise bad_parameter(
            "bucket", f"That makes more than {MOST_POINTS} buckets: ask for longer ones or a shorter range."
        )
    return seconds


def bucket_starts(start: int, end: int, bucket_seconds: int, zone: ZoneInfo) -> list[int]:
    """Start of every bucket of a snapped range."""
    if bucket_seconds < 86400:
        return list(range(start, end, bucket_seconds * 1000))
    starts = []
    while start < end:
        starts.append(start)
        start = next_day(start, zone)
    return starts


def day_start(moment: int, zone: ZoneInfo) -> int:
    """Midnight of the zone at or before."""
    return _midnight(datetime.fromtimestamp(moment / 1000, zone).date(), zone)


def next_day(midnight: int, zone: ZoneInfo) -> int:
    return _midnight(datetime.fromtimestamp(midnight / 1000, zone).date() + timedelta(days=1), zone)


def _midnight(day: date, zone: ZoneInfo) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) * 1000

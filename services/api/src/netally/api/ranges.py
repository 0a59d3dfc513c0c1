"""Which time a query reads: the asked range, the tier that answers it, the range snapped to its buckets. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
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
    "90d": 90 * DAY_MS,
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
ABOVE: Final = {"raw": "1h", "1m": "1h"}
"""The tier whose buckets stand for those of a range that lie within them. Not days for hours: every reader of days also
computes today's from its hours, which costs more than it saves.
"""
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
    exact: bool = True
    """False when its days begin within buckets of the tier."""

    @property
    def middle_ms(self) -> int:
        """From the start of a bucket to its middle; where bounds are exact it makes no difference."""
        return TIERS[self.tier] // 2


class Stored(msgspec.Struct, frozen=True):
    """What the database still has."""

    zone: ZoneInfo
    """Of the daily tier."""
    held_from: dict[str, int]
    """Per tier: all before was dropped by retention, at least in part; absent or 0 when nothing was."""

    def holds(self, tier: str, start: int) -> bool:
        """Whether the bucket of ``start`` is still there as a whole."""
        held_from = self.held_from.get(tier, 0)
        return held_from <= (snap(start, start, TIERS[tier], self.zone)[0] if TIERS[tier] else start)


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


def asked_range(
    from_: str | None, to: str | None, range_: str | None, now: int, zone: ZoneInfo, default: str = DEFAULT_RANGE
) -> tuple[int, int]:
    """Start and end as asked: ``from`` and ``to`` (now when absent), or ``range`` before ``to``; else the default."""
    check_range(from_, to, range_)
    end = now if to is None else parse_time(to, "to", zone)
    if end > now + FUTURE_MS:
        raise bad_parameter("to", "to lies more than a year ahead.")
    if from_ is None:
        # Never empty, at the very beginning nor on a machine whose clock is not set yet.
        return max(end - RANGES[range_ or default], min(EARLIEST_MS, end - 1)), end
    start = parse_time(from_, "from", zone)
    if start >= end:
        raise bad_parameter("from", "from does not lie before to.")
    if end - start > LONGEST_MS:
        raise bad_parameter("from", "The range is longer than ten years.")
    return start, end


def tier_by_length(length_ms: int, finest_ms: int | None = None) -> str:
    """The tier for a range of this length; a finer one when buckets of ``finest_ms`` are wanted."""
    tier = next((name for name, longest in _LONGEST_OF_TIER.items() if length_ms <= longest), "1d")
    if finest_ms is None:
        return tier
    return max((name for name, size in TIERS.items() if size <= min(finest_ms, TIERS[tier])), key=TIERS.__getitem__)


def choose_tier(
    start: int,
    end: int,
    stored: Stored,
    *,
    able: Collection[str] = tuple(TIERS),
    finest_ms: int | None = None,
) -> str | None:
    """The tier that fits the range's length and still holds it, else a coarser one (the coarsest when none holds it).

    Only tiers that are ``able`` to answer the filter; None when those no longer hold the range, or have longer
    buckets than ``finest_ms``.
    """
    names = list(TIERS)
    wanted = tier_by_length(end - start, finest_ms)
    order = [*names[names.index(wanted) :], *reversed(names[: names.index(wanted)])]
    order = [name for name in order if name in able and (finest_ms is None or TIERS[name] <= finest_ms)]
    for name in order:
        if stored.holds(name, start):
            return name
    return "1d" if "1d" in order else None


def calendar_tier(edges: Sequence[int], stored: Stored, able: Collection[str]) -> tuple[str | None, bool]:
    """The tier for figures of days, weeks or months between ``edges``, and whether its buckets end where they do.

    The deployment's own days come from the daily tier, those of other whole-hour zones from hours, the rest from
    minutes; where these are gone, from the finest that is left, in which a bucket then counts where its middle lies.
    """
    whole_hours = all(edge % HOUR_MS == 0 for edge in edges)
    own_days = all(day_start(edge, stored.zone) == edge for edge in edges)
    start = edges[0]
    order = ["1d", "1h", "1m"] if own_days and whole_hours else ["1h", "1m"] if whole_hours else ["1m"]
    for name in [*order, "raw"]:
        if name in able and stored.holds(name, start):
            return name, True
    left = [name for name in ("1h", "1d") if name in able]
    return next((name for name in left if stored.holds(name, start)), left[-1] if left else None), False


def snap(start: int, end: int, bucket_ms: int, zone: ZoneInfo) -> tuple[int, int]:
    """The range widened to whole buckets: counted from the epoch, or days of the zone."""
    if bucket_ms >= DAY_MS:
        last = day_start(end, zone)
        return day_start(start, zone), last if last == end else next_day(last, zone)
    return start - start % bucket_ms, end + -end % bucket_ms


def whole_buckets(start: int, end: int, tier: str, zone: ZoneInfo) -> tuple[int, int] | None:
    """Bounds of the tier's buckets (hours or days) that lie within the range as a whole; None when there are none, or
    days begin within an hour.
    """
    if TIERS[tier] < DAY_MS:
        first, last = start + -start % TIERS[tier], end - end % TIERS[tier]
    else:
        first, last = day_start(start, zone), day_start(end, zone)
        first = first if first == start else next_day(first, zone)
    return (first, last) if first < last and first % HOUR_MS == last % HOUR_MS == 0 else None


def bucket_of_tier(tier: str, intervals: Iterable[int]) -> int:
    """Length of its buckets in milliseconds. ``intervals`` are those of the agents, in seconds."""
    return TIERS[tier] or raw_step(intervals) * 1000


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


def calendar_edges(start: int, end: int, period: str, zone: ZoneInfo) -> list[int]:
    """Midnights of the zone at which its days, weeks (from Monday) or months begin: the range widened to whole ones."""
    edges = [period_start(start, period, zone)]
    while edges[-1] < end:
        edges.append(next_period(edges[-1], period, zone))
    return edges


def period_start(moment: int, period: str, zone: ZoneInfo, back: int = 0) -> int:
    """Midnight at which the day, week or month that holds the moment begins, or the one ``back`` periods before."""
    day = datetime.fromtimestamp(moment / 1000, zone).date()
    if period == "month":
        months = day.year * 12 + day.month - 1 - back
        return _midnight(date(months // 12, months % 12 + 1, 1), zone)
    days = day.weekday() + 7 * back if period == "week" else back
    return _midnight(day - timedelta(days=days), zone)


def next_period(start: int, period: str, zone: ZoneInfo) -> int:
    return period_start(start, period, zone, back=-1)


def day_start(moment: int, zone: ZoneInfo) -> int:
    """Midnight of the zone at or before."""
    return _midnight(datetime.fromtimestamp(moment / 1000, zone).date(), zone)


def next_day(midnight: int, zone: ZoneInfo) -> int:
    return next_period(midnight, "day", zone)


def _midnight(day: date, zone: ZoneInfo) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) * 1000

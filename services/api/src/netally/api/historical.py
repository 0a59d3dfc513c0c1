"""``GET /api/historical/…``: days, weeks and months, the hours of the week, and two ranges compared."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from netally.api import ranges
from netally.api.parameters import Limit, Offset, Split, Top
from netally.api.problems import QUERY_PROBLEMS, bad_parameter
from netally.api.reading import Asking, Reading, asked_range, open_reading
from netally.api.timelines import calendar_grid, read_series
from netally.contracts.queries import Change, CompareAnswer, HeatmapAnswer, HeatmapCell, HistoryAnswer

By = Annotated[Literal["app", "domain", "host"], QueryParameter(name="by", description="What is compared")]
BeforeFrom = Annotated[
    str | None,
    QueryParameter(name="before_from", max_length=40, description="Start of the range before; by default as long"),
]
BeforeTo = Annotated[
    str | None,
    QueryParameter(name="before_to", max_length=40, description="Its end; the start of the range by default"),
]

_LONGEST_HEATMAP_MS = 2 * 366 * ranges.DAY_MS
_NAMES = {"app": "apps", "domain": "domain_names", "host": "host_names"}


@get("/api/historical/daily", summary="Bytes of each day", responses=QUERY_PROBLEMS)
async def daily(asked: NamedDependency[Asking], split: Split = "none", top: Top = 6) -> HistoryAnswer:
    """Days of the zone, of the last 30 days when no range is given."""
    return await _history(asked, "day", "30d", split, top)


@get("/api/historical/weekly", summary="Bytes of each week", responses=QUERY_PROBLEMS)
async def weekly(asked: NamedDependency[Asking], split: Split = "none", top: Top = 6) -> HistoryAnswer:
    """Weeks from Monday, of the last 90 days when no range is given."""
    return await _history(asked, "week", "90d", split, top)


@get("/api/historical/monthly", summary="Bytes of each month", responses=QUERY_PROBLEMS)
async def monthly(asked: NamedDependency[Asking], split: Split = "none", top: Top = 6) -> HistoryAnswer:
    """Months of the calendar, of the last year when no range is given."""
    return await _history(asked, "month", "1y", split, top)


async def _history(asked: Asking, period: str, default: str, split: str, top: int) -> HistoryAnswer:
    async with open_reading(asked) as reading:
        grid = calendar_grid(reading, *asked_range(asked, reading, default), period)
        series = await read_series(reading, grid, split, top)
        return HistoryAnswer(period=period, starts=grid.starts, series=series, meta=await reading.meta(grid.span))


@get("/api/historical/heatmap", summary="Bytes by day of the week and hour", responses=QUERY_PROBLEMS)
async def heatmap(asked: NamedDependency[Asking]) -> HeatmapAnswer:
    """Hours of the zone, of the last 30 days when no range is given; from `meta.start` on if hours reach no further."""
    async with open_reading(asked) as reading:
        start, end = asked_range(asked, reading, "30d")
        if end - start > _LONGEST_HEATMAP_MS:
            raise bad_parameter("from", "The range is longer than two years.")
        span, seconds = _heatmap_span(reading, start, end)
        counted = reading.counted(span, totals_suffice=True)
        hosts = [host.id for host in reading.fleet.hosts]
        rows = await reading.rows("bytes_by_bucket", counted, bucket_seconds=seconds)
        measured = await reading.rows(
            "measured_by_bucket",
            tier=span.tier,
            start=counted.start,
            end=counted.end,
            hosts=hosts,
            bucket_seconds=seconds,
        )
        meta = await reading.meta(span)
    return HeatmapAnswer(cells=_cells(span, seconds, rows, measured, len(hosts), reading.zone), meta=meta)


def _heatmap_span(reading: Reading, start: int, end: int) -> tuple[ranges.TimeRange, int]:
    """What is read, in buckets that each lie within one hour of the zone where that is possible."""
    midnights = ranges.calendar_edges(start, end, "day", reading.zone)
    whole_hours = all(midnight % ranges.HOUR_MS == 0 for midnight in midnights)
    order = [tier for tier in (["1h", "1m", "raw"] if whole_hours else ["1m", "raw", "1h"]) if tier in reading.able]
    tier = next((name for name in order if reading.stored.holds(name, start)), None)
    if tier is None and "1h" in order:
        tier = "1h"
        start = max(start, min(reading.stored.held_from[tier], end - 1))
    tier = reading.tier_or_refuse(tier, start, end)
    seconds = 3600 if whole_hours or tier == "1h" else 900
    first, last = ranges.snap(start, end, seconds * 1000, reading.zone)
    return ranges.TimeRange(first, last, tier, exact=whole_hours or tier != "1h"), seconds


def _cells(
    span: ranges.TimeRange, seconds: int, rows: list[Any], measured: list[Any], hosts: int, zone: ZoneInfo
) -> list[HeatmapCell]:
    sums: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0, 0])
    known: dict[tuple[int, int], int] = defaultdict(int)
    possible: dict[tuple[int, int], int] = defaultdict(int)
    step = seconds * 1000
    middle = 0 if span.exact else step // 2

    def cell(moment: int) -> tuple[int, int]:
        local = datetime.fromtimestamp((moment + middle) / 1000, zone)
        return local.isoweekday(), local.hour

    for at in range(span.start, span.end, step):
        possible[cell(at)] += step * hosts
    for row in rows:
        values = sums[cell(row["bin"])]
        values[0] += row["bytes_in"]
        values[1] += row["bytes_out"]
    for row in measured:
        known[cell(row["bin"])] += row["measured_ms"]
    found = []
    for day in range(1, 8):
        for hour in range(24):
            key = (day, hour)
            bytes_in, bytes_out = sums[key] if key in sums else (0, 0) if known[key] else (None, None)
            share = min(known[key] / possible[key], 1.0) if possible[key] else 0.0
            found.append(HeatmapCell(day, hour, bytes_in, bytes_out, share))
    return found


@get("/api/historical/compare", summary="Two ranges and what changed most", responses=QUERY_PROBLEMS)
async def compare(
    asked: NamedDependency[Asking],
    by: By = "app",
    before_from: BeforeFrom = None,
    before_to: BeforeTo = None,
    limit: Limit = 50,
    offset: Offset = 0,
) -> CompareAnswer:
    """Bytes of each application, domain or host in the range and in the one before, largest change first."""
    if before_to is not None and before_from is None:
        raise bad_parameter("before_to", "before_to needs before_from.")
    async with open_reading(asked) as reading:
        start, end = asked_range(asked, reading, "7d")
        if before_from is None:
            before = max(start - (end - start), ranges.EARLIEST_MS), start
        else:
            before = _before(before_from, before_to, start, reading)
        # One tier for both, so that their bounds are alike.
        earliest = min(start, before[0])
        tier = reading.span(earliest, earliest + max(end - start, before[1] - before[0])).tier
        now_span, before_span = reading.snapped(start, end, tier), reading.snapped(*before, tier)
        if before[1] == start:
            # Neighbours share no bucket.
            before_span = ranges.TimeRange(min(before_span.start, now_span.start), now_span.start, tier)
        now_bytes = await _bytes_by(reading, now_span, by)
        before_bytes = await _bytes_by(reading, before_span, by)
        ids = now_bytes.keys() | before_bytes.keys()
        change = {one: now_bytes.get(one, 0) - before_bytes.get(one, 0) for one in ids}
        page = sorted(ids, key=lambda one: (-abs(change[one]), one))[offset : offset + limit]
        names = {row["id"]: row["name"] for row in await reading.rows(_NAMES[by], ids=page)}
        return CompareAnswer(
            by=by,
            changes=[
                Change(one, names[one], now_bytes.get(one, 0), before_bytes.get(one, 0), change[one]) for one in page
            ],
            count=len(ids),
            total_bytes=sum(now_bytes.values()),
            before_total_bytes=sum(before_bytes.values()),
            meta=await reading.meta(now_span),
            before_meta=await reading.meta(before_span),
        )


def _before(before_from: str, before_to: str | None, until: int, reading: Reading) -> tuple[int, int]:
    start = ranges.parse_time(before_from, "before_from", reading.zone)
    end = until if before_to is None else ranges.parse_time(before_to, "before_to", reading.zone)
    if start >= end:
        raise bad_parameter("before_from", "before_from does not lie before the end of that range.")
    if end - start > ranges.LONGEST_MS or end > reading.now + ranges.FUTURE_MS:
        raise bad_parameter("before_from", "That range is longer than ten years, or ends more than a year ahead.")
    return start, end


async def _bytes_by(reading: Reading, span: ranges.TimeRange, by: str) -> dict[int, int]:
    counted = reading.counted(span, totals_suffice=by != "domain", sums_suffice=True)
    rows = await reading.rows("sums_by", counted, dimension=by)
    return {row["id"]: row["bytes_in"] + row["bytes_out"] for row in rows}

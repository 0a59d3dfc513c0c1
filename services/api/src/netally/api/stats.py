"""``GET /api/stats/bandwidth``, ``/summary`` and ``/timeline``."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from netally.api import coverage, ranges
from netally.api.database import Database
from netally.api.live import HISTORY_SECONDS, WINDOW_MS, LiveTraffic, total
from netally.api.live_view import look
from netally.api.parameters import Bucket, FilterText, Hosts, Split, Top
from netally.api.problems import BAD_PARAMETER, QUERY_PROBLEMS, REFUSED, UNAUTHORIZED, ProblemError, bad_parameter
from netally.api.reading import Asking, Clock, Reading, asked_range, open_reading, parse_filter
from netally.api.timelines import read_timeline
from netally.api.visible import VisibleHosts
from netally.contracts.queries import BandwidthAnswer, Meta, SummaryAnswer, SummaryPeriod, TimelineAnswer

LIVE_ROW = "one application and domain of a host, among the 50 with most bytes of a second"
Movers = Annotated[int, QueryParameter(name="limit", ge=0, le=100, description="Most movers")]


@get(
    "/api/stats/bandwidth",
    summary="Rates of the last five seconds",
    responses={**BAD_PARAMETER, **UNAUTHORIZED, **REFUSED},
)
async def bandwidth(
    database: NamedDependency[Database],
    live: NamedDependency[LiveTraffic],
    clock: NamedDependency[Clock],
    visible: NamedDependency[VisibleHosts],
    host: Hosts = None,
    filter_: FilterText = None,
    limit: Movers = 20,
) -> BandwidthAnswer:
    """True bytes/s per host and in total, null where not known; the last 60 seconds; the movers of the last minute.

    Rates come from the agents' live samples and need no database; without one `meta` knows only the hosts that were
    heard, and `complete_until` is null. A filter may ask for host, app, browser and domain; unless it asks for hosts
    alone, the rates are those of the movers that fit, of the 50 largest that a host tells each second.
    """
    lens = look(visible, parse_filter(filter_))
    now = clock()
    started = time.monotonic()
    heard = visible.of(live.names(now))
    try:
        # The figures are in memory: a database that answers late must not hold them up.
        async with asyncio.timeout(1), open_reading(Asking(database, clock, visible)) as reading:
            known = reading.fleet.hosts
    except (ProblemError, TimeoutError):
        known = []
    names = sorted({*heard, *(state.name for state in known)})
    if host:
        for name in host:
            if name not in names:
                raise bad_parameter("host", f"There is no host {name!r}.")
        names = sorted(set(host))
        known = [state for state in known if state.name in names]
    names = [name for name in names if lens.host(name)]
    known = [state for state in known if lens.host(state.name)]
    present = live.present(now)
    hosts = [live.bandwidth(name, now, lens) for name in names]
    start, history_in, history_out = live.history(now, names, lens)
    missing = [name for name in names if name not in present]
    measured = sum(rate is not None for rate in history_in)
    return BandwidthAnswer(
        window_seconds=WINDOW_MS // 1000,
        total=total(hosts),
        hosts=hosts,
        movers=live.movers(now, limit, names, lens),
        history_in=history_in,
        history_out=history_out,
        meta=Meta(
            tier="live",
            start=start,
            end=start + HISTORY_SECONDS * 1000,
            hosts_expected=len(names),
            hosts_reported=len(names) - len(missing),
            hosts_missing=missing,
            complete_until=coverage.complete_until(known, now),
            measured_share=measured / HISTORY_SECONDS if names else None,
            read_ms=int((time.monotonic() - started) * 1000),
            filter=lens.view.filter,
            filter_row="" if lens.whole_hosts else LIVE_ROW,
        ),
    )


@get("/api/stats/timeline", summary="Bytes over time", responses=QUERY_PROBLEMS)
async def timeline(
    asked: NamedDependency[Asking], bucket: Bucket = None, split: Split = "none", top: Top = 6
) -> TimelineAnswer:
    """Bytes of each bucket, in one series or in the largest `top` and `others`; null where nothing was measured."""
    return await read_timeline(asked, bucket, split, top)


@get("/api/stats/summary", summary="Totals of today, this week, this month and a range", responses=QUERY_PROBLEMS)
async def summary(asked: NamedDependency[Asking]) -> SummaryAnswer:
    """Each with the totals of the same length before it: for today, week and month of the same part of the one before
    (yesterday until this time of day), for the range of what lies just before it.
    """
    async with open_reading(asked) as reading:
        start, end = asked_range(asked, reading)
        asked_periods = []
        for name, unit in (("today", "day"), ("week", "week"), ("month", "month")):
            begin = ranges.period_start(reading.now, unit, reading.zone)
            before = ranges.period_start(reading.now, unit, reading.zone, back=1)
            # On the 31st, a month of 30 days before it ends earlier.
            until = min(before + reading.now - begin, begin)
            asked_periods.append(_spans(reading, name, (begin, max(reading.now, begin + 1)), (before, until)))
        length = end - start
        earlier = max(start - length, ranges.EARLIEST_MS), start
        asked_periods.append(_spans(reading, "range", (start, end), earlier))
        metas = await reading.metas([*(span for _, *both in asked_periods for span in both), reading.span(start, end)])
        shares = [meta.measured_share for meta in metas]
        periods = [
            await _period(reading, *period, *shares[2 * place : 2 * place + 2])
            for place, period in enumerate(asked_periods)
        ]
        return SummaryAnswer(periods=periods, meta=metas[-1])


def _spans(
    reading: Reading, name: str, asked: tuple[int, int], before: tuple[int, int]
) -> tuple[str, ranges.TimeRange, ranges.TimeRange]:
    # One tier for both, so that their bounds are alike.
    tier = reading.span(before[0], before[0] + asked[1] - asked[0]).tier
    tier = max(tier, reading.span(*asked).tier, key=list(ranges.TIERS).index)
    now_span, before_span = (reading.snapped(start, max(end, start + 1), tier) for start, end in (asked, before))
    if name == "range":
        # Neighbours share no bucket.
        before_span = ranges.TimeRange(min(before_span.start, now_span.start), now_span.start, tier)
    return name, now_span, before_span


async def _period(
    reading: Reading,
    name: str,
    span: ranges.TimeRange,
    before: ranges.TimeRange,
    measured_share: float | None,
    before_measured_share: float | None,
) -> SummaryPeriod:
    now_in, now_out, now_connections = await totals(reading, span)
    before_in, before_out, before_connections = await totals(reading, before)
    return SummaryPeriod(
        name=name,
        start=span.start,
        end=span.end,
        bytes_in=now_in,
        bytes_out=now_out,
        connections=now_connections,
        before_start=before.start,
        before_end=before.end,
        before_bytes_in=before_in,
        before_bytes_out=before_out,
        before_connections=before_connections,
        measured_share=measured_share,
        before_measured_share=before_measured_share,
        tier=span.tier,
    )


async def totals(reading: Reading, span: ranges.TimeRange) -> tuple[int, int, int]:
    """Bytes in, bytes out and connections of a range."""
    counted = reading.counted(span, totals_suffice=True, sums_suffice=True)
    rows = await reading.rows("sums_by", counted, dimension="none")
    return (rows[0]["bytes_in"], rows[0]["bytes_out"], rows[0]["connections"]) if rows else (0, 0, 0)

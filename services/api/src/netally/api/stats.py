"""``GET /api/stats/bandwidth`` and ``GET /api/stats/timeline``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from netally.api import coverage, ranges
from netally.api.database import Database
from netally.api.live import HISTORY_SECONDS, WINDOW_MS, LiveTraffic, total
from netally.api.parameters import From, Hosts, Range, To
from netally.api.problems import BAD_PARAMETER, QUERY_PROBLEMS, UNAUTHORIZED, ProblemError, bad_parameter
from netally.api.reading import Clock, open_reading
from netally.contracts.queries import (
    BandwidthAnswer,
    Meta,
    TimelineAnswer,
    TimelinePoint,
    TimelineSeries,
)

Movers = Annotated[int, QueryParameter(name="limit", ge=0, le=100, description="Most movers")]
Bucket = Annotated[
    Literal["5s", "10s", "15s", "30s", "1m", "2m", "5m", "10m", "15m", "30m", "1h", "3h", "6h", "12h", "1d"] | None,
    QueryParameter(name="bucket", description="Length of a bucket; chosen when absent"),
]
Split = Annotated[
    Literal["none", "app", "domain", "host"], QueryParameter(name="split", description="One series for each")
]
Top = Annotated[
    int, QueryParameter(name="top", ge=1, le=20, description="Most series of a split; the rest is `others`")
]


@get("/api/stats/bandwidth", summary="Rates of the last five seconds", responses={**BAD_PARAMETER, **UNAUTHORIZED})
async def bandwidth(
    database: NamedDependency[Database],
    live: NamedDependency[LiveTraffic],
    clock: NamedDependency[Clock],
    host: Hosts = None,
    limit: Movers = 20,
) -> BandwidthAnswer:
    """True bytes/s per host and in total, null where not known; the last 60 seconds; the movers of the last minute.

    Rates come from the agents' live samples and need no database; without one `meta` knows only the hosts that were
    heard, and `complete_until` is null.
    """
    now = clock()
    started = time.monotonic()
    heard = live.names(now)
    try:
        # The figures are in memory: a database that answers late must not hold them up.
        async with asyncio.timeout(1), open_reading(database, clock, None) as reading:
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
    present = live.present(now)
    hosts = [live.bandwidth(name, now) for name in names]
    start, history_in, history_out = live.history(now, names)
    missing = [name for name in names if name not in present]
    measured = sum(rate is not None for rate in history_in)
    return BandwidthAnswer(
        window_seconds=WINDOW_MS // 1000,
        total=total(hosts),
        hosts=hosts,
        movers=live.movers(now, limit, names),
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
        ),
    )


@get("/api/stats/timeline", summary="Bytes over time", responses=QUERY_PROBLEMS)
async def timeline(
    database: NamedDependency[Database],
    clock: NamedDependency[Clock],
    from_: From = None,
    to: To = None,
    range_: Range = None,
    bucket: Bucket = None,
    split: Split = "none",
    top: Top = 6,
    host: Hosts = None,
) -> TimelineAnswer:
    """Bytes of each bucket, in one series or in the largest `top` and `others`; null where nothing was measured."""
    ranges.check_range(from_, to, range_)
    async with open_reading(database, clock, host) as reading:
        zone, fleet = reading.zone, reading.fleet
        start, end = ranges.asked_range(from_, to, range_, reading.now, zone)
        seconds = ranges.choose_bucket(start, end, bucket, fleet.intervals)
        tier = ranges.choose_tier(end - start, seconds * 1000)
        span = ranges.TimeRange(*ranges.snap(start, end, seconds * 1000, zone), tier)
        binning = {"bucket_seconds": seconds, "timezone": zone.key}
        rows = await reading.rows("timeline", **reading.filters(span), **binning, split=split, top=top)
        measured = await reading.rows("coverage_by_bucket", tier=span.tier, start=span.start, end=span.end, **binning)
        meta = await reading.meta(span)
    starts = ranges.bucket_starts(span.start, span.end, seconds, zone)
    return TimelineAnswer(
        bucket_seconds=seconds, series=_series(rows, measured, starts, span.end, fleet, split), meta=meta
    )


def _series(
    rows: Sequence[Mapping[str, Any]],
    measured: Sequence[Mapping[str, Any]],
    starts: Sequence[int],
    end: int,
    fleet: coverage.Fleet,
    split: str,
) -> list[TimelineSeries]:
    """One point a bucket for each band. A bucket without a measured moment is null, with one it is a real zero.

    ``measured`` has each host's milliseconds in each bucket; a series of one host looks at that host alone.
    """
    lengths = dict(zip(starts, [*starts[1:], end], strict=True))
    lengths = {at: until - at for at, until in lengths.items()}
    of_host: dict[int, dict[int, int]] = {host.id: {} for host in fleet.hosts}
    for row in measured:
        if row["host_id"] in of_host:
            of_host[row["host_id"]][row["bin"]] = row["measured_ms"]
    bands: dict[int, tuple[str, dict[int, tuple[int, int]]]] = {}
    for row in rows:
        band = bands.setdefault(row["band"], (row["name"], {}))
        band[1][row["bin"]] = (row["bytes_in"], row["bytes_out"])
    if split == "none":
        bands = {0: ("all", bands[0][1] if bands else {})}

    def points(values: Mapping[int, tuple[int, int]], hosts: Sequence[int]) -> list[TimelinePoint]:
        made = []
        for at in starts:
            known = sum(of_host[host].get(at, 0) for host in hosts)
            share = min(known / (lengths[at] * len(hosts)), 1.0) if hosts else 0.0
            bytes_in, bytes_out = values.get(at, (0, 0) if known else (None, None))
            made.append(TimelinePoint(time=at, bytes_in=bytes_in, bytes_out=bytes_out, measured=share))
        return made

    everyone = list(of_host)
    return [
        TimelineSeries(
            name="others" if number == -1 else name,
            points=points(values, [number] if split == "host" and number in of_host else everyone),
            id=None if split == "none" or number == -1 else number,
        )
        for number, (name, values) in bands.items()
    ]

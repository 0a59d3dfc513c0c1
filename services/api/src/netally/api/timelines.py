"""Bytes over time, in buckets of seconds or in days, weeks and months of a zone; the same for every endpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from netally.api import coverage, ranges
from netally.api.problems import bad_parameter
from netally.api.reading import Asking, Reading, asked_range, open_reading
from netally.contracts.queries import TimelineAnswer, TimelinePoint, TimelineSeries
from netally.store.counted import Counted
from netally.store.filters.fields import PROTOCOLS

_DAY_SECONDS: Final = 86_400
_TOTALS_SUFFICE: Final = ("none", "direction", "host", "app")
PROTOCOL_WORDS: Final = {number: word for word, number in reversed(PROTOCOLS)}


class Grid(msgspec.Struct, frozen=True):
    """The buckets of a timeline, and what they are read from."""

    span: ranges.TimeRange
    seconds: int
    edges: list[int] | None
    """Bounds of the buckets, last end included, where they differ in length."""

    @property
    def starts(self) -> list[int]:
        return self.edges[:-1] if self.edges else list(range(self.span.start, self.span.end, self.seconds * 1000))

    def binning(self) -> dict[str, Any]:
        """Arguments of the statements that put rows into the buckets."""
        middle = 0 if self.span.exact else self.span.middle_ms // 1000
        return {"bucket_seconds": self.seconds, "edges": self.edges, "middle": middle}


async def read_timeline(
    asked: Asking,
    bucket: str | None,
    split: str = "none",
    top: int = 6,
    *,
    app: int | None = None,
    domain: int | None = None,
) -> TimelineAnswer:
    """The timeline of everything, of an application or of a domain; 404 when there is none with the id."""
    async with open_reading(asked) as reading:
        if app is not None:
            await reading.named("app", app, "application")
        if domain is not None:
            await reading.named("domain", domain, "domain")
        grid = timeline_grid(reading, *asked_range(asked, reading), bucket)
        series = await read_series(reading, grid, split, top, app=app, domain=domain)
        return TimelineAnswer(bucket_seconds=grid.seconds, series=series, meta=await reading.meta(grid.span))


def timeline_grid(reading: Reading, start: int, end: int, bucket: str | None) -> Grid:
    """Buckets of the length asked for, or of one that suits the range. Raises the 400 or 422 when they are not kept."""
    seconds = ranges.choose_bucket(start, end, bucket, reading.fleet.intervals)
    if seconds < _DAY_SECONDS:
        finest = seconds * 1000
        tier = ranges.choose_tier(start, end, reading.stored, able=reading.able, finest_ms=finest)
        if tier is None and bucket is None:
            tier = ranges.choose_tier(start, end, reading.stored, able=reading.able)
            seconds = max(seconds, ranges.TIERS[tier] // 1000) if tier else seconds
        elif tier is None and ranges.choose_tier(start, end, reading.stored, finest_ms=finest) is None:
            raise bad_parameter(
                "bucket", "Figures that fine are no longer kept of this range: ask for longer buckets or a later range."
            )
        tier = reading.tier_or_refuse(tier, start, end)
        if seconds < _DAY_SECONDS:
            return Grid(
                ranges.TimeRange(*ranges.snap(start, end, seconds * 1000, reading.stored.zone), tier), seconds, None
            )
    return calendar_grid(reading, start, end, "day")


def calendar_grid(reading: Reading, start: int, end: int, period: str) -> Grid:
    """Whole days, weeks or months of the zone that was asked for."""
    edges = ranges.calendar_edges(start, end, period, reading.zone)
    tier, exact = ranges.calendar_tier(edges, reading.stored, reading.able)
    tier = reading.tier_or_refuse(tier, start, end)
    return Grid(ranges.TimeRange(edges[0], edges[-1], tier, exact), _DAY_SECONDS, edges)


async def read_series(
    reading: Reading,
    grid: Grid,
    split: str,
    top: int,
    *,
    app: int | None = None,
    domain: int | None = None,
) -> list[TimelineSeries]:
    apps, of_domains = None if app is None else [app], None if domain is None else [domain]
    domains: list[int] = []
    if split == "domain":
        everything = reading.counted(grid.span, apps=apps, domains=of_domains, sums_suffice=True)
        domains = [row["id"] for row in await reading.rows("largest_domains", everything, top=top)]
    counted = reading.counted(grid.span, apps=apps, domains=of_domains, totals_suffice=split in _TOTALS_SUFFICE)
    rows = await reading.rows("timeline", counted, **grid.binning(), split=split, top=top, domains=domains)
    measured = await Measured.read(reading, grid, counted, by_host=split == "host")
    found = series_of(rows, measured, split)
    return _directions(found[0]) if split == "direction" else found


class Measured:
    """How much of each bucket of a grid was measured, by all hosts together and, where that was read, by each.

    ``rows`` are those of statement ``coverage_by_bucket``.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]], grid: Grid, fleet: coverage.Fleet) -> None:
        starts = grid.starts
        self._lengths = {at: until - at for at, until in zip(starts, [*starts[1:], grid.span.end], strict=True)}
        self._hosts = {host.id for host in fleet.hosts}
        self._of_host: dict[int, dict[int, int]] = {}
        self._of_all: dict[int, int] = {}
        self._paused: set[tuple[int, int | None]] = set()
        """(bucket, host), and (bucket, null) of any."""
        for row in rows:
            if row["host_id"] not in {0, *self._hosts}:
                continue
            if row["paused"]:
                self._paused |= {(row["bin"], row["host_id"]), (row["bin"], None)}
            self._of_host.setdefault(row["host_id"], {})[row["bin"]] = row["measured_ms"]
            self._of_all[row["bin"]] = self._of_all.get(row["bin"], 0) + row["measured_ms"]

    @classmethod
    async def read(cls, reading: Reading, grid: Grid, counted: Counted, *, by_host: bool) -> Measured:
        rows = await reading.rows(
            "coverage_by_bucket",
            tier=grid.span.tier,
            start=counted.start,
            end=counted.end,
            hosts=[host.id for host in reading.fleet.hosts],
            by_host=by_host,
            **grid.binning(),
        )
        return cls(rows, grid, reading.fleet)

    def points(self, values: Mapping[int, tuple[int, int]], host: int | None = None) -> list[TimelinePoint]:
        """One point a bucket: null without a measured moment, with one a real zero. Of one host, by that one alone."""
        alone = host in self._hosts
        known, hosts = (self._of_host.get(host or 0, {}), 1) if alone else (self._of_all, len(self._hosts))
        made = []
        for at, length in self._lengths.items():
            share = min(known.get(at, 0) / (length * hosts), 1.0) if hosts else 0.0
            bytes_in, bytes_out = values.get(at, (0, 0) if share else (None, None))
            paused = (at, host if alone else None) in self._paused
            made.append(TimelinePoint(time=at, bytes_in=bytes_in, bytes_out=bytes_out, measured=share, paused=paused))
        return made


def series_of(rows: Sequence[Mapping[str, Any]], measured: Measured, split: str) -> list[TimelineSeries]:
    """The bands of statement ``timeline``."""
    bands: dict[int, tuple[str, dict[int, tuple[int, int]]]] = {}
    for row in rows:
        band = bands.setdefault(row["band"], (row["name"], {}))
        band[1][row["bin"]] = (row["bytes_in"], row["bytes_out"])
    if split in ("none", "direction"):
        bands = {0: ("all", bands[0][1] if bands else {})}
    found = []
    for number, (name, values) in bands.items():
        if split == "protocol" and number != -1:
            name = PROTOCOL_WORDS.get(number, str(number))
        found.append(
            TimelineSeries(
                name="others" if number == -1 else name,
                points=measured.points(values, number if split == "host" else None),
                id=None if split in ("none", "direction") or number == -1 else number,
            )
        )
    return found


def _directions(everything: TimelineSeries) -> list[TimelineSeries]:
    """Received and sent as series of their own: the other direction of each is 0 where it was measured."""

    def only(**changes: int) -> list[TimelinePoint]:
        return [
            point if point.bytes_in is None else msgspec.structs.replace(point, **changes)
            for point in everything.points
        ]

    return [TimelineSeries("in", only(bytes_out=0)), TimelineSeries("out", only(bytes_in=0))]

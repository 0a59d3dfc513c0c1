"""The way every endpoint reads: what was asked, one snapshot, the fleet, the range, the rows, the coverage of them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from litestar.di import NamedDependency

from netally.api import coverage, ranges
from netally.api.database import Database, Rows
from netally.api.parameters import FilterText, From, Hosts, Range, To, Zone
from netally.api.problems import bad_filter, bad_parameter, not_found, refused_parameter
from netally.api.visible import VisibleHosts
from netally.contracts.codes import Role, Scope
from netally.contracts.queries import Meta
from netally.store.counted import Counted
from netally.store.filters.canonical import format_filter
from netally.store.filters.compile import ROWS, answering_tiers, compile_filter
from netally.store.filters.errors import FilterError
from netally.store.filters.fields import FIELDS, FilterTier, Kind
from netally.store.filters.syntax import parse
from netally.store.filters.tree import And, Comparison, Everything, Filter, comparisons

Clock = Callable[[], int]
"""Epoch milliseconds."""


class Asking:
    """The parameters that every query has, checked as far as that needs no database."""

    # A plain class: Litestar has msgspec look into Structs and dataclasses, which cannot tell parts of a filter apart.

    def __init__(
        self,
        database: Database,
        clock: Clock,
        visible: VisibleHosts,
        *,
        from_: str | None = None,
        to: str | None = None,
        range_: str | None = None,
        timezone: ZoneInfo | None = None,
        hosts: Sequence[str] | None = None,
        filter_: Filter | None = None,
    ) -> None:
        self.database = database
        self.clock = clock
        self.visible = visible
        self.from_ = from_
        self.to = to
        self.range_ = range_
        self.timezone = timezone
        """None is the deployment's."""
        self.hosts = hosts
        self.filter = filter_ or Everything()


def asking(
    database: NamedDependency[Database],
    clock: NamedDependency[Clock],
    visible: NamedDependency[VisibleHosts],
    from_: From = None,
    to: To = None,
    range_: Range = None,
    tz: Zone = None,
    host: Hosts = None,
    filter_: FilterText = None,
) -> Asking:
    """Dependency of the handlers. Raises the 400 of what is wrong."""
    ranges.check_range(from_, to, range_)
    return Asking(
        database,
        clock,
        visible,
        from_=from_,
        to=to,
        range_=range_,
        timezone=parse_zone(tz),
        hosts=host,
        filter_=parse_filter(filter_),
    )


def parse_zone(name: str | None) -> ZoneInfo | None:
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise bad_parameter("tz", f"{name!r} is no time zone: give a name such as Europe/Berlin or UTC.") from None


def parse_filter(text: str | None) -> Filter:
    try:
        return parse(text or "")
    except FilterError as error:
        raise bad_filter(error) from None


class Reading:
    """What one request reads from."""

    def __init__(
        self,
        rows: Rows,
        stored: ranges.Stored,
        fleet: coverage.Fleet,
        host_rows: list[Any],
        now: int,
        asked: Asking,
    ) -> None:
        self.rows = rows
        self.stored = stored
        self.zone = asked.timezone or stored.zone
        self.fleet = fleet
        self.host_rows = host_rows
        self.now = now
        self.filter = asked.filter
        self.restricted = asked.visible.names is not None
        self.able = frozenset(str(tier) for tier in answering_tiers(asked.filter))
        self._started = time.monotonic()

    def span(self, start: int, end: int) -> ranges.TimeRange:
        """The range of a table: snapped to the tier that fits."""
        tier = self.tier_or_refuse(ranges.choose_tier(start, end, self.stored, able=self.able), start, end)
        return self.snapped(start, end, tier)

    def snapped(self, start: int, end: int, tier: str) -> ranges.TimeRange:
        bucket_ms = ranges.bucket_of_tier(tier, self.fleet.intervals)
        return ranges.TimeRange(*ranges.snap(start, end, bucket_ms, self.stored.zone), tier)

    def tier_or_refuse(self, tier: str | None, start: int, end: int) -> str:
        """The tier; the 422 of the filter when those that could answer it no longer hold the range."""
        if tier is not None:
            return tier
        # The reason is that of the tier that would have answered without a filter. Where that is raw, whole days, weeks
        # or months were asked for, and raw flows do not reach back to where they begin.
        unfiltered = ranges.choose_tier(start, end, self.stored)
        try:
            compile_filter(self.filter, FilterTier("1d" if unfiltered in (None, "raw") else unfiltered))
        except FilterError as error:
            raise bad_filter(error) from None
        raise bad_parameter("range", "Raw flows of this range are gone: ask for a later one.")

    def counted(
        self,
        span: ranges.TimeRange,
        *,
        apps: list[int] | None = None,
        domains: list[int] | None = None,
        totals_suffice: bool = False,
        sums_suffice: bool = False,
    ) -> Counted:
        """The rows of a range that count, by the fleet and the filter.

        With ``sums_suffice`` they are for a statement that tells no buckets apart, nor what raw flows alone keep: whole
        hours then come from the tier above.
        """
        # A bucket that is not exact counts where its middle lies.
        shift = 0 if span.exact else span.middle_ms
        return Counted(
            tier=span.tier,
            start=span.start - shift,
            end=span.end - shift,
            scopes=self.fleet.scopes,
            both_sides=self.fleet.both_sides,
            hosts=self.fleet.host_ids,
            apps=apps,
            domains=domains,
            filter=self.filter,
            totals_suffice=totals_suffice,
            pieces=self._pieces(span) if sums_suffice and span.exact else (),
        )

    def _pieces(self, span: ranges.TimeRange) -> tuple[tuple[str, int, int], ...]:
        above = ranges.ABOVE.get(span.tier, "")
        # An amount is compared with a row, and the tier above has other rows.
        if above not in self.able or self._asks_amounts():
            return ()
        inner = ranges.whole_buckets(span.start, min(span.end, self.now), above, self.stored.zone)
        if inner is None or not self.stored.holds(above, inner[0]):
            return ()
        first, last = inner
        cut = [(span.tier, span.start, first), (above, first, last), (span.tier, last, span.end)]
        return tuple(piece for piece in cut if piece[1] < piece[2])

    def _asks_amounts(self) -> bool:
        return any(FIELDS[comparison.name].kind is Kind.AMOUNT for comparison in comparisons(self.filter))

    async def named(self, statement: str, number: int, what: str) -> Any:
        """The row of a dimension with this id; the 404 when there is none, or no visible host ever used it."""
        rows = await self.rows(statement, id=number)
        if rows and self.restricted and statement != "host":
            rows = await self._used_here(statement, rows[0])
        if not rows:
            raise not_found(f"There is no {what} {number}.")
        return rows[0]

    async def _used_here(self, dimension: str, row: Any) -> list[dict[str, Any]]:
        """The row with its first use on the visible hosts, to the day."""
        everything = Counted(
            tier="1d",
            start=ranges.EARLIEST_MS,
            end=self.now + ranges.FUTURE_MS,
            scopes=[int(scope) for scope in Scope],
            both_sides=True,
            hosts=[host["id"] for host in self.host_rows],
            apps=[row["id"]] if dimension == "app" else None,
            domains=[row["id"]] if dimension == "domain" else None,
            totals_suffice=True,
        )
        found = await self.rows("first_use", everything)
        return [{**row, "first_seen": one["first_use"]} for one in found]

    async def meta(self, span: ranges.TimeRange) -> Meta:
        return (await self.metas([span]))[0]

    async def metas(self, spans: Sequence[ranges.TimeRange]) -> list[Meta]:
        """Coverage of several ranges, with one look at each tier."""
        untils = [coverage.measured_until(self.fleet, span, self.now) for span in spans]
        measured: list[dict[int, int]] = [{} for _ in spans]
        for tier in dict.fromkeys(span.tier for span in spans):
            places = [place for place, span in enumerate(spans) if span.tier == tier]
            starts, ends = [spans[place].start for place in places], [untils[place] for place in places]
            for row in await self.rows(
                "coverage_by_host",
                tier=tier,
                start=min(starts),
                end=max(ends),
                starts=starts,
                ends=ends,
                hosts=[host.id for host in self.fleet.hosts],
            ):
                measured[places[row["place"] - 1]][row["host_id"]] = row["measured_ms"]
        return [self._meta(*one) for one in zip(spans, measured, untils, strict=True)]

    def _meta(self, span: ranges.TimeRange, measured: Mapping[int, int], until: int) -> Meta:
        read_ms = int((time.monotonic() - self._started) * 1000)
        return msgspec.structs.replace(
            coverage.meta(self.fleet, span, measured, until, self.now, read_ms),
            timezone=self.zone.key,
            days_exact=span.exact,
            filter=format_filter(self.filter),
            filter_row=ROWS[FilterTier(span.tier)] if self._asks_amounts() else "",
        )


@asynccontextmanager
async def open_reading(asked: Asking) -> AsyncIterator[Reading]:
    """A snapshot and what is known of the fleet. A filter that says which hosts, or which scopes, decides as the
    parameter does: coverage is that of those hosts, and loopback counts when it is asked for.
    """
    async with asked.database.read("Ask for a shorter range, for fewer hosts, or with a filter.") as (rows, zone):
        host_rows = await visible_fleet(rows, asked.visible)
        known = [coverage.host_state(row) for row in host_rows]
        fleet = coverage.fleet_of(known, asked.hosts, hosts_named(asked.filter), everything=asked.visible.names is None)
        fleet = msgspec.structs.replace(
            fleet,
            scopes=sorted({*fleet.scopes, *scopes_named(asked.filter)}),
            both_sides=fleet.both_sides or servers_only(asked.filter),
        )
        held = {row["name"]: row["dropped_before"] for row in await rows("tiers_held")}
        yield Reading(rows, ranges.Stored(zone, held), fleet, host_rows, asked.clock(), asked)


async def visible_fleet(rows: Rows, visible: VisibleHosts) -> list[Any]:
    """Rows of statement ``fleet``: the hosts that the caller may see."""
    return await rows("fleet", visible=None if visible.names is None else sorted(visible.names))


@asynccontextmanager
async def read_table(asked: Asking) -> AsyncIterator[tuple[Reading, ranges.TimeRange]]:
    """A reading with the range and tier of a table of totals."""
    async with open_reading(asked) as reading:
        yield reading, reading.span(*asked_range(asked, reading))


def asked_range(asked: Asking, reading: Reading, default: str = ranges.DEFAULT_RANGE) -> tuple[int, int]:
    return ranges.asked_range(asked.from_, asked.to, asked.range_, reading.now, reading.zone, default)


def raw_span(asked: Asking, reading: Reading) -> ranges.TimeRange:
    """The range in raw flows, for what only they tell. Raises the 422 when they are gone."""
    start, end = asked_range(asked, reading)
    if not reading.stored.holds("raw", start):
        oldest = datetime.fromtimestamp(reading.stored.held_from["raw"] / 1000, reading.zone)
        raise refused_parameter(
            "from",
            f"Only raw flows tell this, and they are kept from {oldest.isoformat(timespec='minutes')} on: "
            "ask for a range that begins then or later.",
        )
    return reading.snapped(start, end, "raw")


def _conditions(tree: Filter) -> list[Comparison]:
    """What must hold in any case."""
    parts = tree.parts if isinstance(tree, And) else (tree,)
    return [part for part in parts if isinstance(part, Comparison)]


def hosts_named(tree: Filter) -> list[str] | None:
    """The hosts, in lower case, that a filter restricts to by their names; None when it does not."""
    for part in _conditions(tree):
        if part.name == "host" and part.operator in ("=", "in"):
            return [str(value.content).lower() for value in part.values]
    return None


def scopes_named(tree: Filter) -> set[int]:
    return {
        value.content
        for part in comparisons(tree)
        for value in part.values
        if part.name == "scope" and isinstance(value.content, int) and value.content != Scope.REPLAY
    }


def servers_only(tree: Filter) -> bool:
    """Then no flow between two agents can be counted twice."""
    return any(
        part.name == "role" and part.operator == "=" and part.values[0].content == Role.SERVER
        for part in _conditions(tree)
    )


def page_of(rows: Sequence[Any]) -> list[Any]:
    """The rows of a page; a page that is empty is one row of nulls beside the totals."""
    return [row for row in rows if row["id"] is not None]


def sums_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Totals of a table, and of what is not among its rows, which each carry the totals of all (``all_…``)."""
    count, total_in, total_out = rows[0]["all_count"], rows[0]["all_bytes_in"], rows[0]["all_bytes_out"]
    page = page_of(rows)
    return {
        "others_count": count - len(page),
        "others_bytes_in": total_in - sum(row["bytes_in"] for row in page),
        "others_bytes_out": total_out - sum(row["bytes_out"] for row in page),
        "total_bytes_in": total_in,
        "total_bytes_out": total_out,
    }

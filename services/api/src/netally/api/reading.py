"""The way every table endpoint reads: one snapshot, the fleet, the range, the rows, and the coverage of them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from zoneinfo import ZoneInfo

from netally.api import coverage, ranges
from netally.api.database import Database, Rows
from netally.contracts.queries import Meta

Clock = Callable[[], int]
"""Epoch milliseconds."""


class Reading:
    """What one request reads from."""

    def __init__(self, rows: Rows, zone: ZoneInfo, fleet: coverage.Fleet, host_rows: list[Any], now: int) -> None:
        self.rows = rows
        self.zone = zone
        self.fleet = fleet
        self.host_rows = host_rows
        self.now = now
        self._started = time.monotonic()

    def filters(self, span: ranges.TimeRange) -> dict[str, Any]:
        """Arguments that every statement on flows takes."""
        return {
            "tier": span.tier,
            "start": span.start,
            "end": span.end,
            "hosts": self.fleet.host_ids,
            "scopes": self.fleet.scopes,
            "both_sides": self.fleet.both_sides,
        }

    async def meta(self, span: ranges.TimeRange) -> Meta:
        until = coverage.measured_until(self.fleet, span, self.now)
        measured = await self.rows("coverage_by_host", tier=span.tier, start=span.start, end=until)
        return coverage.meta(
            self.fleet,
            span,
            {row["host_id"]: row["measured_ms"] for row in measured},
            until,
            self.now,
            int((time.monotonic() - self._started) * 1000),
        )


@asynccontextmanager
async def open_reading(database: Database, clock: Clock, hosts: Sequence[str] | None) -> AsyncIterator[Reading]:
    async with database.read("Ask for a shorter range or for fewer hosts.") as (rows, zone):
        host_rows = await rows("fleet")
        fleet = coverage.fleet_of([coverage.host_state(row) for row in host_rows], hosts)
        yield Reading(rows, zone, fleet, host_rows, clock())


@asynccontextmanager
async def read_table(
    database: Database,
    clock: Clock,
    from_: str | None,
    to: str | None,
    range_: str | None,
    hosts: Sequence[str] | None,
) -> AsyncIterator[tuple[Reading, ranges.TimeRange]]:
    """A reading with the range and tier of a table of totals."""
    ranges.check_range(from_, to, range_)
    async with open_reading(database, clock, hosts) as reading:
        start, end = ranges.asked_range(from_, to, range_, reading.now, reading.zone)
        yield reading, ranges.read_range(start, end, reading.fleet.intervals, reading.zone)


def sums_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Totals of a table, and of what is not among its rows, which each carry the totals of all (``all_…``)."""
    count, total_in, total_out = (
        (rows[0]["all_count"], rows[0]["all_bytes_in"], rows[0]["all_bytes_out"]) if rows else (0, 0, 0)
    )
    return {
        "others_count": count - len(rows),
        "others_bytes_in": total_in - sum(row["bytes_in"] for row in rows),
        "others_bytes_out": total_out - sum(row["bytes_out"] for row in rows),
        "total_bytes_in": total_in,
        "total_bytes_out": total_out,
    }

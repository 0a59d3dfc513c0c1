"""Refresh of the rollups, under rules that each come from a loss (docs/architecture.md, "Storage").

In: buckets that writers touched, and the clock. Out: stored buckets, each equal to the sum of the tier below.

Whoever writes rows of ``flow``, ``coverage``, ``tally`` or ``tab_activity`` calls `touch` in the same transaction. The
aggregator calls `refresh_outstanding` every few seconds, within `exclusive`.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from typing import cast
from zoneinfo import ZoneInfo

import asyncpg
import msgspec

from netally.store import backend, sql
from netally.store.tiers import ABOVE, MINUTE, NAMES, TIERS, Tier, ceiling, covering, find, floor, ranges, slices


class Refreshed(msgspec.Struct, frozen=True):
    """What a refresh really wrote."""

    tier: str
    start: int
    """The range asked for, widened to whole buckets and clipped to what may be refreshed; empty when equal to end."""
    end: int
    buckets: int
    rows: int
    """Rows the buckets have now, all relations of the tier together."""
    seconds: float


class TierState(msgspec.Struct, frozen=True):
    """How far a tier is. All times 0 when there is nothing yet."""

    watermark: int
    """Below it the tier is stored, above it computed when asked for."""
    dropped_before: int
    """Rows before it may be missing: no tier above is refreshed from there."""
    oldest: int
    """Where its data begins, at the latest."""


async def touch(connection: sql.Connection, times: Iterable[int]) -> None:
    """Note, in the writing transaction, that rows of these times (epoch ms) were added or removed."""
    buckets = sorted({time // MINUTE * MINUTE for time in times})
    if buckets:
        await sql.execute(connection, "add_touched", tier="1m", buckets=buckets)


@asynccontextmanager
async def exclusive(pool: asyncpg.Pool, *, wait: bool = False) -> AsyncIterator[asyncpg.Connection | None]:
    """A connection that alone maintains the history, over all aggregators; None when another does, unless ``wait``."""
    async with pool.acquire() as proxy:
        connection = cast("asyncpg.Connection", proxy)
        if wait:
            await sql.execute(connection, "maintenance_lock")
        elif not await sql.fetch_value(connection, "try_maintenance_lock"):
            yield None
            return
        try:
            yield connection
        finally:
            if not connection.is_closed():
                await sql.execute(connection, "maintenance_unlock")


async def tier_states(connection: asyncpg.Connection, now: int) -> dict[str, TierState]:
    """State of every tier by name. Parts that vanished without retention count as dropped from here on."""
    states = {}
    kind = await backend.find(connection)
    for row in await sql.fetch(connection, "tiers"):
        name, seen, oldest, dropped = row["name"], row["oldest_part"], row["oldest"], row["dropped_before"]
        # On plain PostgreSQL only raw has parts; the first row of a rollup may rightly be purged.
        if name == "raw" or kind == "timescaledb":
            if seen is not None and (oldest is None or oldest > seen):
                dropped = max(dropped, now if oldest is None else oldest)
                await sql.execute(connection, "set_dropped_before", tier=name, before=dropped)
            if seen != oldest:
                await sql.execute(connection, "set_oldest_part", tier=name, oldest=oldest)
        states[name] = TierState(watermark=row["watermark"], dropped_before=dropped, oldest=oldest or 0)
    return states


def window(tier: Tier, start: int, end: int, now: int, states: dict[str, TierState], zone: ZoneInfo) -> tuple[int, int]:
    """The part of ``[start, end)`` that may be refreshed, in whole buckets; empty when both are equal.

    Never from where the tier below may be incomplete (what is stored would be replaced by less), never the present
    bucket (its later rows would be invisible), never past a hole above the watermark (its rows would be, too).
    """
    below, own = states[tier.below], states[tier.name]
    upper = min(ceiling(end, tier.name, zone), floor(now, tier.name, zone))
    if tier.below != "raw":
        upper = min(upper, floor(below.watermark, tier.name, zone))
    lower = floor(start, tier.name, zone)
    if upper > own.watermark:
        lower = min(lower, own.watermark)
    lower = max(lower, lowest(tier, states, zone))
    return (lower, upper) if lower < upper and below.oldest else (upper, upper)


def lowest(tier: Tier, states: dict[str, TierState], zone: ZoneInfo) -> int:
    """Start of the first bucket that may be refreshed: wholly after what was dropped, and not before all data."""
    below, own = states[tier.below], states[tier.name]
    return max(
        ceiling(below.dropped_before, tier.name, zone),
        ceiling(own.dropped_before, tier.name, zone),
        floor(below.oldest, tier.name, zone),
    )


async def refresh(
    connection: asyncpg.Connection, tier_name: str, start: int, end: int, now: int, zone: ZoneInfo
) -> Refreshed:
    """Make the tier's buckets of ``[start, end)`` anew from the tier below, as far as that is allowed.

    The connection is one of `exclusive`, outside a transaction. Raises ValueError for an unknown tier.
    """
    tier = find(tier_name)
    kind, states = await backend.find(connection), await tier_states(connection, now)
    return await _refresh(connection, kind, tier, start, end, now, states, zone)


async def _refresh(
    connection: asyncpg.Connection,
    kind: str,
    tier: Tier,
    start: int,
    end: int,
    now: int,
    states: dict[str, TierState],
    zone: ZoneInfo,
) -> Refreshed:
    began = time.monotonic()
    lower, upper = window(tier, start, end, now, states, zone)
    buckets = rows = 0
    for slice_start, slice_end in slices(lower, upper, tier, zone):
        rows += await _refresh_slice(connection, kind, tier, slice_start, slice_end, zone)
        buckets += len(covering(slice_start, slice_end, tier.name, zone))
    return Refreshed(tier.name, lower, upper, buckets, rows, time.monotonic() - began)


async def refresh_outstanding(
    connection: asyncpg.Connection,
    now: int,
    zone: ZoneInfo,
    tiers: Collection[str] = NAMES,
    within: tuple[int, int] | None = None,
) -> list[Refreshed]:
    """Refresh what was touched below the watermarks, and move these on to what has settled; lowest tier first.

    ``within`` leaves out what lies outside of a range.
    """
    done = []
    kind = await backend.find(connection)
    for tier in TIERS:
        if tier.name not in tiers:
            continue
        # Before the states, so that these know every row that a note is about.
        touched = {row["bucket"]: row["ids"] for row in await sql.fetch(connection, "touched", tier=tier.name)}
        states = await tier_states(connection, now)
        watermark = states[tier.name].watermark
        settled = floor(now - tier.settle, tier.name, zone)
        wanted = list(ranges((bucket for bucket in touched if bucket < watermark), tier.name, zone))
        if settled > watermark:
            wanted.append((watermark, settled))
        if within is not None:
            first, last = floor(within[0], tier.name, zone), ceiling(within[1], tier.name, zone)
            wanted = [(max(start, first), min(end, last)) for start, end in wanted if start < last and end > first]
        # What is below the watermark comes first and does not move it, so the states hold for all of them: to read them
        # cost more than to make a minute anew, and a year that is filled in has thousands of minutes far apart.
        for start, end in wanted:
            done.append(await _refresh(connection, kind, tier, start, end, now, states, zone))
        # What no refresh can make any more, or what has no rows below, would otherwise stay outstanding for ever.
        first = lowest(tier, states, zone)
        if unreachable := [note for bucket, notes in touched.items() if bucket < first for note in notes]:
            await sql.execute(connection, "remove_touched", ids=unreachable)
    return [part for part in done if part.buckets]


async def outstanding(connection: sql.Connection) -> dict[str, int]:
    """Stored buckets that wait to be made anew, by tier."""
    return {row["name"]: row["buckets"] for row in await sql.fetch(connection, "outstanding")}


async def _refresh_slice(
    connection: asyncpg.Connection, kind: str, tier: Tier, start: int, end: int, zone: ZoneInfo
) -> int:
    above = ABOVE.get(tier.name)
    async with backend.one_state(connection, kind):
        # Only what was noted before: rows that come meanwhile bring a note of their own.
        ids = [row["id"] for row in await sql.fetch(connection, "touched_ids", tier=tier.name, start=start, end=end)]
        rows = await backend.rewrite(connection, kind, tier, start, end)
        async with connection.transaction():
            await sql.execute(connection, "remove_touched", ids=ids)
            if above is not None:
                buckets = covering(start, end, above.name, zone)
                await sql.execute(connection, "add_touched", tier=above.name, buckets=buckets)
    return rows

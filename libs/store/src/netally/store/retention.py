"""How long each tier is kept: applied, previewed, derived from a size; and the removal of one host, app or domain.

In: ages in days, the clock. Out: dropped partitions, chunks and rows, and a count of what went. Nothing is dropped
before the tier above holds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from zoneinfo import ZoneInfo

import asyncpg
import msgspec

from netally.store import backend, sql
from netally.store.rollups import tier_states
from netally.store.tiers import ABOVE, DAY, HOUR, NAMES, floor, ranges

GIGABYTE = 10**9
YEAR = 365
FOR_EVER_DAYS = 10 * YEAR
"""What "for ever" counts as where a size is asked for."""
LEAST_RAW_DAYS = 2
LOCK_WAIT_MS = "2000"
"""Longest that dropping a part waits for those who read the relation: ingest and every other query wait behind it."""
COUNTED_BYTES = 200 * 10**6
"""Smaller tiers are counted row by row where larger ones are estimated."""
WRITERS_WAIT_MS = "30000"
"""Longest that a purge waits for the groups of batches that are being written, which others wait behind."""
WEEKS_AT_ONCE = 28 * DAY
"""Of raw, dropped in one transaction."""
SPOOL_DAYS = 5
"""How long an agent keeps what it could not send, unless it is told otherwise."""


class Ages(msgspec.Struct, frozen=True):
    """Days each tier is kept."""

    raw: int = 7
    minutes: int = 30
    hours: int = YEAR
    days: int | None = None
    """None is for ever."""

    def of(self, tier: str) -> int | None:
        return {"raw": self.raw, "1m": self.minutes, "1h": self.hours, "1d": self.days}[tier]


class Dropped(msgspec.Struct, frozen=True):
    """What went of one tier, or would go."""

    tier: str
    rows: int
    bytes: int
    """On disk; an estimate for the rollups of plain PostgreSQL."""
    before: int | None
    """All before this time (epoch ms) went; None when nothing did."""
    oldest: int | None
    """Of a preview the oldest row that would go, else the oldest row left; None when there is none."""


class Cost(msgspec.Struct, frozen=True):
    """What a tier takes at the rate of the last day."""

    tier: str
    bytes_per_day: int
    days: int | None
    bytes: int
    """When the tier has its full age; for ever counts as ten years."""


class Preview(msgspec.Struct, frozen=True):
    drops: list[Dropped]
    costs: list[Cost]


def check(ages: Ages, spool_days: float) -> None:
    """Raises ValueError, saying why, when the ages contradict each other, the refreshes or the agents' spools.

    ``spool_days`` is how long an agent keeps what it could not send.
    """
    if ages.raw < LEAST_RAW_DAYS:
        raise ValueError(
            f"raw must be kept for at least {LEAST_RAW_DAYS} days, not {ages.raw}: rows older than one day less are "
            "refused, and a refresh needs the whole of a day"
        )
    if ages.raw - 1 <= spool_days:
        raise ValueError(
            f"agents keep what they could not send for {spool_days:g} days; rows older than {ages.raw - 1} days would "
            f"be refused, so such an agent would lose them: keep raw for more than {spool_days + 1:g} days"
        )
    if ages.minutes < ages.raw:
        raise ValueError(
            f"1m must be kept at least as long as raw ({ages.raw} days), not {ages.minutes}: late rows change minutes "
            "of that age, and the hours are made from the minutes"
        )
    if ages.hours < max(ages.minutes, ages.raw + 2):
        raise ValueError(
            f"1h must be kept for at least {max(ages.minutes, ages.raw + 2)} days, not {ages.hours}: longer than 1m, "
            "and long enough that every day that late rows can change still has all its hours"
        )
    if ages.days is not None and ages.days < ages.hours:
        raise ValueError(f"1d must be kept at least as long as 1h ({ages.hours} days), not {ages.days}")


def oldest_accepted(ages: Ages, now: int) -> int:
    """Rows before this time are refused at ingest and counted as lost: a day before raw is dropped, so that a late
    batch never makes a bucket from a part of its rows.
    """
    return now - (ages.raw - 1) * DAY


async def apply(connection: asyncpg.Connection, ages: Ages, now: int, zone: ZoneInfo) -> list[Dropped]:
    """Drop what is older than its age, and tell what went, counted in the same transaction. The connection is one of
    `netally.store.rollups.exclusive`. Raises asyncpg.LockNotAvailableError when a long query is in the way.
    """
    dropped = []
    for tier in NAMES:
        age = ages.of(tier)
        if age is None:
            continue
        parts = [
            await _drop(connection, tier, before, now, zone)
            for before in await _bounds(connection, tier, now - age * DAY, now)
        ]
        rows, size = sum(part.rows for part in parts), sum(part.bytes for part in parts)
        bounds = [part.before for part in parts if part.before is not None]
        dropped.append(Dropped(tier, rows, size, bounds[-1] if bounds else None, parts[-1].oldest))
    return dropped


async def _bounds(connection: asyncpg.Connection, tier: str, before: int, now: int) -> list[int]:
    """``before``, after steps on the way there for raw: each of its partitions that is dropped takes locks until the
    end of the transaction, and the server has room for those of some weeks (a year at once was refused: 53200).
    """
    oldest = (await tier_states(connection, now))[tier].oldest
    if tier != "raw" or oldest is None:
        return [before]
    return [*range(oldest + WEEKS_AT_ONCE, before, WEEKS_AT_ONCE), before]


async def _drop(connection: asyncpg.Connection, tier: str, before: int, now: int, zone: ZoneInfo) -> Dropped:
    async with connection.transaction():
        part = await _droppable(connection, tier, before, now, zone)
        if part.before is not None:
            await sql.execute(connection, "limit_lock_wait", milliseconds=LOCK_WAIT_MS)
            await sql.fetch_value(connection, "drop_tier", tier=tier, before=part.before)
            await sql.execute(connection, "set_dropped_before", tier=tier, before=part.before)
            # What was just dropped must not look as if somebody had done so by hand.
            await sql.execute(connection, "set_oldest_part", tier=tier, oldest=None)
        left = await sql.fetch_value(connection, "tier_oldest", tier=tier) if part.before else None
    return msgspec.structs.replace(part, oldest=left)


async def preview(connection: asyncpg.Connection, ages: Ages, now: int, zone: ZoneInfo) -> Preview:
    """What `apply` would drop with these ages, and what they cost."""
    drops = []
    for tier in NAMES:
        age = ages.of(tier)
        drops.append(
            Dropped(tier, 0, 0, None, None)
            if age is None
            else await _droppable(connection, tier, now - age * DAY, now, zone)
        )
    rates = await daily_bytes(connection, now)
    return Preview(drops, costs(ages, rates))


async def _droppable(connection: asyncpg.Connection, tier: str, before: int, now: int, zone: ZoneInfo) -> Dropped:
    """What of the tier lies before a time and is no longer needed by the tier above."""
    states = await tier_states(connection, now)
    above = ABOVE.get(tier)
    if above is not None:
        needed = [states[above.name].watermark]
        touched = await sql.fetch_value(connection, "oldest_touched", tier=above.name)
        if touched is not None:
            needed.append(touched)
        before = min(before, *needed)
    # Whole days, so that a bucket of the tier above never loses a part of what it is made from.
    before = floor(before, "1d", zone) if tier == "1d" else before // DAY * DAY
    row = await sql.fetch_row(connection, "tier_droppable", tier=tier, before=before)
    if row["bound"] is None:
        return Dropped(tier, 0, 0, None, None)
    rows = await sql.fetch_value(connection, "tier_rows", tier=tier, start=0, end=row["bound"])
    oldest = await sql.fetch_value(connection, "tier_oldest", tier=tier)
    return Dropped(tier, rows, row["bytes"] or 0, row["bound"], oldest)


async def daily_bytes(connection: asyncpg.Connection, now: int) -> dict[str, int]:
    """Bytes a day that each tier grows by, at the rate of the last day; 0 while that is not known."""
    sizes = {row["tier"]: row for row in await sql.fetch(connection, "tier_sizes")}
    states = await tier_states(connection, now)
    rates = {}
    for tier in NAMES:
        size = sizes.get(tier)
        if size is None or not size["bytes"]:
            rates[tier] = 0
            continue
        # Of the daily tier the last whole day; a row of it stands for the day that begins then.
        end = now - DAY if tier == "1d" else now
        rows = await sql.fetch_value(connection, "tier_rows", tier=tier, start=end - DAY, end=end)
        if not rows and tier == "1d":
            rows = await sql.fetch_value(connection, "tier_rows", tier=tier, start=now - DAY, end=now)
        stored = max(size["rows"], rows, 1)
        if size["bytes"] < COUNTED_BYTES:
            # The planner knows little of small and of new relations.
            stored = max(await sql.fetch_value(connection, "tier_rows", tier=tier, start=0, end=now + DAY), 1)
        age = max(now - states[tier].oldest, HOUR) if states[tier].oldest else DAY
        share = 1.0 if tier == "1d" else max(1.0, DAY / age)
        rates[tier] = int(size["bytes"] * rows / stored * share)
    return rates


def costs(ages: Ages, rates: dict[str, int]) -> list[Cost]:
    """What each tier takes with these ages, from its bytes a day."""
    return [Cost(tier, rates[tier], ages.of(tier), rates[tier] * (ages.of(tier) or FOR_EVER_DAYS)) for tier in NAMES]


def ages_within(budget: int, rates: dict[str, int], spool_days: float) -> Ages:
    """The longest ages, in the proportions of the defaults, that take at most ``budget`` bytes.

    The daily tier stays for ever (counted as ten years). Raises ValueError when even the shortest do not fit.
    """

    def scaled(percent: int) -> Ages:
        raw = max(LEAST_RAW_DAYS, int(spool_days) + 2, 7 * percent // 100)
        minutes = max(raw, 30 * percent // 100)
        return Ages(raw, minutes, max(minutes, raw + 2, YEAR * percent // 100))

    def size(ages: Ages) -> int:
        return sum(cost.bytes for cost in costs(ages, rates))

    fitting, too_much = 0, 1001  # Percent of the defaults; ten times them is enough for anyone.
    if size(scaled(0)) > budget:
        raise ValueError(
            f"{budget / GIGABYTE:.1f} GB do not hold even the shortest history, which takes "
            f"{size(scaled(0)) / GIGABYTE:.1f} GB at today's rate: give more, or have less traffic recorded"
        )
    while too_much - fitting > 1:
        middle = (fitting + too_much) // 2
        fitting, too_much = (middle, too_much) if size(scaled(middle)) <= budget else (fitting, middle)
    return scaled(fitting)


async def preview_purge(connection: asyncpg.Connection, dimension: str, gone: int) -> dict[str, int]:
    """Rows that `purge` would remove, by relation: removed in a transaction that is not committed."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        return {
            row["relation"]: row["rows"]
            for row in await sql.fetch(connection, "purge_rows", dimension=dimension, gone=gone)
        }
    finally:
        await transaction.rollback()


async def retire(connection: asyncpg.Connection, dimension: str, ids: Sequence[int], now: int) -> None:
    """Let no writer use these ids of ``host``, ``app`` or ``domain`` any more: what comes under their names from now on
    has new ones. Who writes just now is waited for. Raises asyncpg.LockNotAvailableError when that takes too long, and
    ValueError for id 0, which is "unknown", and a wrong dimension.
    """
    if dimension not in ("host", "app", "domain"):
        raise ValueError(f"only a host, an app or a domain can be purged, not a {dimension!r}")
    if 0 in ids:
        raise ValueError(f"{dimension} 0 stands for what is not known and cannot be purged")
    if not await sql.fetch(connection, f"living_{dimension}s", ids=ids):
        return
    async with connection.transaction():
        await sql.execute(connection, "limit_lock_wait", milliseconds=WRITERS_WAIT_MS)
        await sql.execute(connection, "hold_off_writers")
        await sql.execute(connection, "count_purge")
        await sql.execute(connection, f"retire_{dimension}s", ids=ids, now=now)


async def purge(connection: asyncpg.Connection, dimension: str, gone: int, now: int, zone: ZoneInfo) -> dict[str, int]:
    """Remove one ``host``, ``app`` or ``domain`` (by id) from every tier; rows removed by relation.

    Its name is emptied and its id never used again. A domain is taken out of the traffic totals as well. The connection
    is one of `netally.store.rollups.exclusive`. Interrupted, it is to be done again, for which the name is kept until
    the rows are gone. Raises what `retire` raises.
    """
    await retire(connection, dimension, [gone], now)
    async with connection.transaction():
        if dimension == "domain":
            await sql.execute(connection, "note_stale_totals", gone=gone)
        removed = {
            row["relation"]: row["rows"]
            for row in await sql.fetch(connection, "purge_rows", dimension=dimension, gone=gone)
        }
        if dimension == "host":
            for statement in ("forget_agent", "forget_ledger", "forget_refused"):
                await sql.execute(connection, statement, gone=gone)
        await sql.execute(connection, f"forget_{dimension}", gone=gone)
    await correct_totals(connection, now, zone)
    return removed


async def correct_totals(connection: asyncpg.Connection, now: int, zone: ZoneInfo) -> None:
    """Make the traffic totals anew that still count a purged domain. The connection is one of
    `netally.store.rollups.exclusive`.
    """
    stale = await sql.fetch(connection, "stale_totals")
    if not stale:
        return
    kind = await backend.find(connection)
    states = await tier_states(connection, now)
    for name in ("1h", "1d"):
        buckets = [row["bucket"] for row in stale if row["tier"] == name]
        for start, end in ranges((bucket for bucket in buckets if bucket < states[name].watermark), name, zone):
            async with backend.one_state(connection, kind):
                await backend.rewrite_relation(connection, kind, f"traffic_{name}", start, end)
        # Those above the watermark are computed when asked for.
        await sql.execute(connection, "remove_stale_totals", tier=name, buckets=buckets)

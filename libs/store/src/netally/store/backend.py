"""The one place that knows what PostgreSQL and TimescaleDB do differently. Their relations and functions have the same
names; only a refresh and the columnstore cannot be hidden there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from netally.store import sql
from netally.store.tiers import DAY, Tier

COMPRESS_AFTER = {"raw": DAY, "1m": 2 * DAY, "1h": 2 * DAY, "1d": 14 * DAY}
"""How long after its end a chunk goes into the columnstore: when late rows are rare."""


async def find(connection: asyncpg.Connection) -> str:
    """``postgresql`` or ``timescaledb``: as it was pinned by the first migration."""
    row = await sql.fetch_row(connection, "deployment")
    if row is None:
        raise RuntimeError("the database has no deployment row: migrate it, or restore it from a backup")
    return str(row["backend"])


async def timezone(connection: asyncpg.Connection) -> str:
    """Name of the time zone in which the daily tier's days begin, fixed by the first migration."""
    return str((await sql.fetch_row(connection, "deployment"))["timezone"])


async def rewrite(connection: asyncpg.Connection, backend: str, tier: Tier, start: int, end: int) -> int:
    """Replace the tier's buckets of ``[start, end)`` by what the tier below holds, and move its watermark up to the
    end; rows the buckets have now.

    On plain PostgreSQL to be called within a transaction (`one_state`), on TimescaleDB outside of one.
    """
    written = 0
    if backend == "postgresql":
        # First, as the totals of a tier are read from its flow, where what is stored must not be computed as well.
        await sql.execute(connection, "set_watermark", tier=tier.name, watermark=end)
    for relation in tier.relations:
        written += await rewrite_relation(connection, backend, relation, start, end)
    if backend == "timescaledb":
        written = await sql.fetch_value(connection, "tier_rows", tier=tier.name, start=start, end=end)
        await sql.execute(connection, "set_watermark", tier=tier.name, watermark=end)
    return written


async def rewrite_relation(connection: asyncpg.Connection, backend: str, relation: str, start: int, end: int) -> int:
    """The same for one relation; the rows written are known on plain PostgreSQL only, elsewhere 0."""
    if backend == "timescaledb":
        await sql.execute(connection, "refresh_continuous_aggregate", relation=relation, start=start, end=end)
        return 0
    return int(await sql.fetch_value(connection, "refresh_rollup", relation=relation, start=start, end=end))


@asynccontextmanager
async def one_state(connection: asyncpg.Connection, backend: str) -> AsyncIterator[None]:
    """Around `rewrite` and what belongs to it: PostgreSQL does both in one transaction that sees one state. TimescaleDB
    cannot; there the caller's bookkeeping comes after the refresh, so that a crash between repeats the refresh.
    """
    if backend == "timescaledb":
        yield
    else:
        async with connection.transaction(isolation="repeatable_read"):
            yield


async def compress(connection: asyncpg.Connection, backend: str, now: int, limit: int = 4) -> int:
    """Move chunks that have settled into the columnstore, oldest first, at most ``limit``; how many were moved."""
    if backend != "timescaledb":
        return 0
    found = await sql.fetch(
        connection,
        "compressible",
        tiers=list(COMPRESS_AFTER),
        befores=[now - age for age in COMPRESS_AFTER.values()],
        limit=limit,
    )
    for row in found:
        await sql.execute(connection, "compress", part=row["part"])
    return len(found)

"""Keeps the history in order: refreshes the rollups, drops what is too old, compresses, makes partitions ahead.

In: what writers touched, and the clock. Out: stored buckets and dropped parts. Of several aggregators one does it at a
time. It has a pool of its own, whose statements may take long.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from zoneinfo import ZoneInfo

import asyncpg
import structlog

from netally.aggregator.metrics import (
    DROPPED_BYTES,
    DROPPED_ROWS,
    MAINTAINING,
    OUTSTANDING,
    REFRESH_SECONDS,
    REFRESHED_BUCKETS,
    REFRESHED_ROWS,
    TIER_LAG,
)
from netally.store import backend, database, partitions, retention, rollups
from netally.store.retention import Ages
from netally.store.tiers import DAY, MINUTE, SECOND, TIERS

log = structlog.get_logger()

NAME = "netally-maintenance"
TURN_SECONDS = 2.0
AWAY_SECONDS = 5.0
HOURLY = 60 * MINUTE
EVERY = {"1m": 2 * SECOND, "1h": 30 * SECOND, "1d": 5 * MINUTE}
"""How often each tier is refreshed. Late rows make a whole bucket anew, so long buckets wait for more of them."""

Clock = Callable[[], int]


class Maintenance:
    """What is due when, and doing it. One turn at a time."""

    def __init__(self, ages: Callable[[], Ages], clock: Clock) -> None:
        self._ages = ages
        self._clock = clock
        self._due: dict[str, int] = {}

    def _is_due(self, work: str, every: int, now: int) -> bool:
        if now < self._due.get(work, 0):
            return False
        self._due[work] = now + every
        return True

    async def turn(self, pool: asyncpg.Pool) -> bool:
        """Do what is due; False when another aggregator does. Raises what the database raises: what was due then is
        done by the next turn.
        """
        now = self._clock()
        async with rollups.exclusive(pool) as connection:
            MAINTAINING.set(connection is not None)
            if connection is None:
                return False
            try:
                await self._do(pool, connection, now)
            except BaseException:
                self._due.clear()
                raise
        return True

    async def _do(self, pool: asyncpg.Pool, connection: asyncpg.Connection, now: int) -> None:
        kind = await backend.find(connection)
        zone = ZoneInfo(await backend.timezone(connection))
        await retention.correct_totals(connection, now, zone)
        due = [tier.name for tier in TIERS if self._is_due(tier.name, EVERY[tier.name], now)]
        for done in await rollups.refresh_outstanding(connection, now, zone, due):
            REFRESHED_BUCKETS.labels(done.tier).inc(done.buckets)
            REFRESHED_ROWS.labels(done.tier).inc(done.rows)
            REFRESH_SECONDS.labels(done.tier).inc(done.seconds)
        for tier, count in (await rollups.outstanding(connection)).items():
            OUTSTANDING.labels(tier).set(count)
        for tier, state in (await rollups.tier_states(connection, now)).items():
            if tier != "raw":
                TIER_LAG.labels(tier).set((now - state.watermark) / SECOND if state.watermark else 0)
        if self._is_due("hourly", HOURLY, now):
            await partitions.DayPartitions(pool, kind).ensure(partitions.days_of((now, now + DAY)))
            await self._drop(connection, now, zone)
        if self._is_due("compress", MINUTE, now):
            await backend.compress(connection, kind, now, limit=1)

    async def _drop(self, connection: asyncpg.Connection, now: int, zone: ZoneInfo) -> None:
        try:
            dropped = await retention.apply(connection, self._ages(), now, zone)
        except asyncpg.LockNotAvailableError:
            log.info("a long query is in the way of dropping old rows, trying again in a minute")
            self._due["hourly"] = now + MINUTE
            return
        for part in dropped:
            DROPPED_ROWS.labels(part.tier).inc(part.rows)
            DROPPED_BYTES.labels(part.tier).inc(part.bytes)
            if part.rows:
                log.info("dropped old rows", tier=part.tier, rows=part.rows, bytes=part.bytes)


async def run(settings: database.DatabaseSettings, ages: Callable[[], Ages], stop: asyncio.Event) -> None:
    """Maintain the history until ``stop`` is set, waiting while the database is away."""
    maintenance = Maintenance(ages, lambda: time.time_ns() // 1_000_000)
    # One connection holds the lock, the other makes partitions.
    pool = await database.connect_unless_stopped(settings, NAME, 2, stop)
    if pool is None:
        return
    try:
        while not stop.is_set():
            pause = TURN_SECONDS
            try:
                await maintenance.turn(pool)
            except database.AWAY as error:
                log.warning("cannot maintain the history", reason=database.plain_words(error, settings.database_url))
                pause = AWAY_SECONDS
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause)
    finally:
        pool.terminate()


def ages_with_raw(days: int) -> Ages:
    """The default ages with this one of raw; the others are longer where they must be."""
    least = Ages()
    ages = Ages(raw=days, minutes=max(least.minutes, days), hours=max(least.hours, days + 2))
    try:
        retention.check(ages, retention.SPOOL_DAYS)
    except ValueError as error:
        log.warning("retention and the agents' spools contradict each other", reason=str(error))
    return ages

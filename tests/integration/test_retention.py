"""Retention on real databases: what is said beforehand is what goes, and nothing else."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import asyncpg
import msgspec
import pytest

from netally.aggregator.maintenance import Maintenance
from netally.store import retention
from netally.store.partitions import DayPartitions
from netally.store.retention import Ages
from netally.store.rollups import exclusive, outstanding, refresh_outstanding
from netally.store.tiers import DAY, HOUR, MINUTE, SECOND
from tests.history_model import CoverageRow, FlowRow, History, TabRow, TallyRow, differences
from tests.services import eventually
from tests.timescale.fixtures import ZONE, HistoryDatabases

pytestmark = pytest.mark.timeout(240)

NOW = int(datetime(2026, 11, 22, 10, 30, tzinfo=UTC).timestamp()) * SECOND
AGES = Ages(raw=2, minutes=3, hours=4)


def week() -> History:
    """A row of each kind every three hours of the week before NOW."""
    history = History(ZONE)
    times = range(NOW - 7 * DAY, NOW, 3 * HOUR)
    history.flows = [FlowRow(at, domain_id=n % 5) for n, at in enumerate(times)]
    history.coverage = [CoverageRow(at) for at in times]
    history.tally = [TallyRow(at) for at in times]
    history.tabs = [TabRow(at, site_id=n % 5) for n, at in enumerate(times)]
    return history


async def fill(pool: asyncpg.Pool, backend: str) -> None:
    rows = week()
    await History(ZONE).write(pool, backend, rows.flows, rows.coverage, rows.tally, rows.tabs)
    async with exclusive(pool) as connection:
        assert connection is not None
        await refresh_outstanding(connection, NOW, ZONE)


async def test_a_preview_says_what_goes(history_databases: HistoryDatabases) -> None:
    history = week()
    async with history_databases.pool(fill) as pool, exclusive(pool) as connection:
        assert connection is not None
        before = await retention.preview(connection, AGES, NOW, ZONE)
        again = await retention.preview(connection, AGES, NOW, ZONE)
        dropped = await retention.apply(connection, AGES, NOW, ZONE)
        left = {tier: await connection.fetchval("SELECT tier_oldest($1)", tier) for tier in ("raw", "1m", "1h", "1d")}
        assert await differences(connection, history) == {}
    # To look changes nothing.
    assert [part.rows for part in before.drops] == [part.rows for part in again.drops]
    said = {part.tier: part for part in before.drops}
    assert said["1d"].rows == 0
    assert said["raw"].rows > 0
    assert said["raw"].bytes > 0
    assert said["raw"].oldest == NOW - 7 * DAY
    for part in dropped:
        assert (part.rows, part.before) == (said[part.tier].rows, said[part.tier].before)
        if part.before is not None:
            assert part.oldest == left[part.tier]
            assert part.oldest is not None
            assert part.oldest >= part.before
            # Whole days, and whole chunks where there are any.
            assert part.before <= NOW - (AGES.of(part.tier) or 0) * DAY
    counted = {part.tier: part.rows for part in dropped}
    cut = said["raw"].before or 0
    assert counted["raw"] == 4 * len([row for row in history.flows if row.time < cut])


async def test_what_goes_in_several_steps_is_what_was_said(
    history_databases: HistoryDatabases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "WEEKS_AT_ONCE", DAY)
    history = week()
    async with history_databases.pool(fill) as pool, exclusive(pool) as connection:
        assert connection is not None
        said = (await retention.preview(connection, AGES, NOW, ZONE)).drops
        dropped = await retention.apply(connection, AGES, NOW, ZONE)
        assert await differences(connection, history) == {}
    # All but the days, which are kept for ever.
    assert [(part.rows, part.before) for part in dropped] == [(part.rows, part.before) for part in said[:-1]]


async def test_a_second_run_drops_nothing_more(history_databases: HistoryDatabases) -> None:
    async with history_databases.pool(fill) as pool, exclusive(pool) as connection:
        assert connection is not None
        await retention.apply(connection, AGES, NOW, ZONE)
        assert not any(part.rows for part in await retention.apply(connection, AGES, NOW, ZONE))


async def test_shorter_ages_take_effect_at_once_and_longer_ones_bring_nothing_back(
    history_databases: HistoryDatabases,
) -> None:
    async with history_databases.pool(fill) as pool, exclusive(pool) as connection:
        assert connection is not None
        assert not any(part.rows for part in await retention.apply(connection, Ages(), NOW, ZONE))
        shorter = await retention.apply(connection, AGES, NOW, ZONE)
        assert {part.tier for part in shorter if part.rows} >= {"raw", "1m"}
        assert not any(part.rows for part in await retention.apply(connection, Ages(), NOW, ZONE))
        assert await differences(connection, week()) == {}


async def test_costs_follow_the_traffic_of_the_last_day(history_databases: HistoryDatabases) -> None:
    async with history_databases.pool(fill) as pool, exclusive(pool) as connection:
        assert connection is not None
        rates = await retention.daily_bytes(connection, NOW)
        preview = await retention.preview(connection, Ages(), NOW, ZONE)
        sizes = {row["tier"]: row["bytes"] for row in await connection.fetch("SELECT tier, bytes FROM tier_size")}
    assert all(rates[tier] > 0 for tier in ("raw", "1m", "1h", "1d"))
    # A seventh of what a week takes, as every day was like the last.
    assert 0.5 < rates["1m"] * 7 / sizes["1m"] < 2
    assert {cost.tier: cost.bytes_per_day for cost in preview.costs} == rates
    ages = retention.ages_within(10**12, rates, spool_days=5)
    assert ages.raw > 7


async def test_a_turn_does_all_that_is_due(history_databases: HistoryDatabases) -> None:
    history = week()
    clock = NOW
    maintenance = Maintenance(lambda: AGES, lambda: clock)
    async with history_databases.pool(fill) as pool:
        late = [FlowRow(NOW - 30 * HOUR, app_id=9), FlowRow(NOW)]
        await history.write(pool, history_databases.backend, late)
        assert await maintenance.turn(pool)
        async with pool.acquire() as connection:
            assert await differences(connection, history) == {}
            dropped = await connection.fetchval("SELECT dropped_before FROM tier WHERE name = 'raw'")
            assert NOW - 4 * DAY < dropped <= NOW - 2 * DAY
            if history_databases.backend == "postgresql":
                # Tomorrow's partitions are there before tomorrow is.
                assert await connection.fetchval("SELECT to_regclass('flow_20261123') IS NOT NULL")
            assert await outstanding(connection) == {"1m": 0, "1h": 0, "1d": 0}
        clock += 3 * MINUTE
        await history.write(pool, history_databases.backend, [FlowRow(NOW + MINUTE)])
        assert await maintenance.turn(pool)
        async with pool.acquire() as connection:
            watermark = await connection.fetchval("SELECT watermark FROM tier WHERE name = '1m'")
            assert watermark == NOW + 2 * MINUTE
            assert await differences(connection, history) == {}


async def test_while_another_aggregator_maintains_a_turn_does_nothing(postgres_databases: HistoryDatabases) -> None:
    maintenance = Maintenance(Ages, lambda: NOW)
    async with postgres_databases.pool(fill) as pool:
        async with exclusive(pool):
            assert not await maintenance.turn(pool)
        assert await maintenance.turn(pool)


async def test_the_newest_minute_is_seen_within_five_seconds(postgres_databases: HistoryDatabases) -> None:
    maintenance = Maintenance(Ages, lambda: time.time_ns() // 1_000_000)
    now = time.time_ns() // 1_000_000
    async with postgres_databases.pool() as pool:
        await maintenance.turn(pool)
        # The minute just ended, and one that is stored already.
        for at in (now - now % MINUTE - 5 * SECOND, now - 10 * MINUTE):
            await History(ZONE).write(pool, "postgresql", [FlowRow(at, bytes_in=at)])
            committed = time.monotonic()
            await maintenance.turn(pool)
            async with pool.acquire() as connection:
                seen = await connection.fetchval("SELECT sum(bytes_in)::bigint FROM flow_1m WHERE bytes_in = $1", at)
            assert seen == at
            assert time.monotonic() - committed < 5


def test_ages_are_plain_data() -> None:
    assert msgspec.json.decode(msgspec.json.encode(AGES), type=Ages) == AGES


async def test_dropping_does_not_hold_up_ingest_behind_a_long_query(postgres_databases: HistoryDatabases) -> None:
    history = week()
    clock = NOW
    async with postgres_databases.pool(fill) as pool:
        maintenance = Maintenance(lambda: AGES, lambda: clock)
        async with pool.acquire() as reader, reader.transaction():
            await reader.fetchval("SELECT count(*) FROM flow")
            turn = asyncio.create_task(maintenance.turn(pool))

            async def waits() -> int:
                return int(
                    await reader.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'relation'")
                )

            await eventually(waits, every=0.01)
            # Behind the one who waits, as ingest is; it goes on while the reader is still there.
            await asyncio.wait_for(pool.execute("INSERT INTO flow SELECT * FROM flow LIMIT 0"), 10)
            assert await turn
            assert await reader.fetchval("SELECT count(*) FROM flow WHERE time < now() - interval '4 days'") > 0
        clock += MINUTE
        assert await maintenance.turn(pool)
        assert await pool.fetchval("SELECT tier_oldest('raw')") > NOW - 4 * DAY
        assert await differences(pool, history) == {}


@pytest.mark.parametrize("hidden", ["nestloop", "hashjoin", "mergejoin", "indexscan", "none"])
async def test_parts_are_found_by_whatever_plan(postgres_databases: HistoryDatabases, hidden: str) -> None:
    """Indexes of partitions are in the same catalogue, and their names hold no date."""
    async with postgres_databases.pool() as pool:
        days = DayPartitions(pool, "postgresql")
        await days.ensure({NOW // DAY - 2, NOW // DAY})
        async with pool.acquire() as connection, connection.transaction():
            if hidden != "none":
                await connection.execute(f"SET LOCAL enable_{hidden} = off; SET LOCAL join_collapse_limit = 1")
            found = await connection.fetch("SELECT relation FROM tier_part WHERE upper <= $1", NOW - DAY)
            assert {row["relation"] for row in found} >= {"flow"}

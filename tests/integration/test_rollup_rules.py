"""The rules of the store, each from a loss that was seen: every test here fails without its rule. On both databases."""

from __future__ import annotations

import asyncio
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import msgspec
import pytest

import netally.store
from netally.store import backend, migrate, partitions, retention, sql, tables
from netally.store.database import DatabaseSettings, open_pool
from netally.store.retention import Ages
from netally.store.rollups import Refreshed, exclusive, refresh, refresh_outstanding
from netally.store.tiers import DAY, HOUR, MINUTE, SECOND, TIERS, floor
from tests.history_model import CoverageRow, FlowRow, History, TabRow, TallyRow, differences, stored
from tests.services import eventually
from tests.timescale.fixtures import ZONE, HistoryDatabases

pytestmark = pytest.mark.timeout(240)

NOW = int(datetime(2026, 11, 22, 10, 30, tzinfo=UTC).timestamp()) * SECOND
AGES = Ages(raw=2, minutes=4, hours=5)


async def catch_up(pool: asyncpg.Pool, now: int) -> list[Refreshed]:
    async with exclusive(pool, wait=True) as connection:
        assert connection is not None
        return await refresh_outstanding(connection, now, ZONE)


async def drop_old(pool: asyncpg.Pool, now: int) -> list[retention.Dropped]:
    async with exclusive(pool, wait=True) as connection:
        assert connection is not None
        return await retention.apply(connection, AGES, now, ZONE)


async def remake(pool: asyncpg.Pool, tier: str, start: int, end: int, now: int) -> Refreshed:
    async with exclusive(pool, wait=True) as connection:
        assert connection is not None
        return await refresh(connection, tier, start, end, now, ZONE)


async def wrong(pool: asyncpg.Pool, history: History) -> dict[str, object]:
    async with pool.acquire() as connection:
        return dict(await differences(connection, history))


def week() -> History:
    """A week of rows until NOW, one every hour: the days of `ZONE` begin in the middle of days of UTC."""
    history = History(ZONE)
    for n, time in enumerate(range(NOW - 7 * DAY, NOW, HOUR)):
        host = 1 + n % 2
        history.flows.append(FlowRow(time, host_id=host, domain_id=n % 3, retrans=n))
        history.coverage.append(CoverageRow(time, host_id=host))
        history.tally.append(TallyRow(time))
        history.tabs.append(TabRow(time, host_id=host, site_id=n % 3, seconds=1 + n))
    return history


async def fill_week(pool: asyncpg.Pool, backend_name: str) -> None:
    """All of `week`, stored in every tier."""
    rows = week()
    await History(ZONE).write(pool, backend_name, rows.flows, rows.coverage, rows.tally, rows.tabs)
    await catch_up(pool, NOW)


async def test_a_refresh_after_retention_keeps_what_raw_no_longer_has(history_databases: HistoryDatabases) -> None:
    history = week()
    async with history_databases.pool(fill_week) as pool:
        dropped = await drop_old(pool, NOW)
        assert next(part for part in dropped if part.tier == "raw").rows > 0
        for tier in TIERS:
            await remake(pool, tier.name, 0, NOW, NOW)
        assert await wrong(pool, history) == {}


async def test_a_refresh_after_somebody_dropped_raw_by_hand_keeps_it_too(history_databases: HistoryDatabases) -> None:
    history = week()
    async with history_databases.pool(fill_week) as pool:
        await catch_up(pool, NOW)
        async with pool.acquire() as connection:
            await sql.fetch_value(connection, "drop_tier", tier="raw", before=(NOW - 4 * DAY) // DAY * DAY)
        await catch_up(pool, NOW)
        # Accepted by its age, but all that was in its buckets is gone: it must not stand for it.
        late = NOW - 5 * DAY
        await History(ZONE).write(pool, history_databases.backend, [FlowRow(late)], [CoverageRow(late)])
        for tier in TIERS:
            await remake(pool, tier.name, 0, NOW, NOW)
        assert await wrong(pool, history) == {}


async def test_raw_is_not_dropped_before_it_is_stored(
    history_databases: HistoryDatabases, history_database: asyncpg.Pool
) -> None:
    history = History(ZONE)
    old = NOW - 9 * DAY
    await history.write(history_database, history_databases.backend, [FlowRow(old)], [CoverageRow(old)])
    dropped = await drop_old(history_database, NOW)
    assert not any(part.rows for part in dropped)
    await catch_up(history_database, NOW)
    assert await wrong(history_database, history) == {}
    # Now it may go, though minutes go only once they are in hours, and so on: a run later each at the latest.
    assert (await drop_old(history_database, NOW))[0].rows == 2
    assert await wrong(history_database, history) == {}


async def test_rows_of_a_time_that_retention_dropped_do_not_replace_a_full_bucket(
    history_databases: HistoryDatabases,
) -> None:
    history = week()
    async with history_databases.pool(fill_week) as pool:
        await drop_old(pool, NOW)
        full = history.expected("flow_1h", NOW - 4 * DAY)
        # Ingest refuses these; somebody else's INSERT may bring them.
        late = NOW - 3 * DAY
        assert late < retention.oldest_accepted(AGES, NOW)
        await history.write(pool, history_databases.backend, [FlowRow(late, app_id=77)])
        await catch_up(pool, NOW)
        await remake(pool, "1h", late, late + HOUR, NOW)
        async with pool.acquire() as connection:
            there = await stored(connection, "flow_1h")
        assert {key: there.get(key) for key in full} == full


async def test_the_oldest_accepted_row_reaches_every_tier(history_databases: HistoryDatabases) -> None:
    history = week()
    async with history_databases.pool(fill_week) as pool:
        await drop_old(pool, NOW)
        oldest = retention.oldest_accepted(AGES, NOW)
        await history.write(pool, history_databases.backend, [FlowRow(oldest)], [CoverageRow(oldest)])
        await catch_up(pool, NOW)
        assert await wrong(pool, history) == {}


async def test_the_present_bucket_stays_open(
    history_databases: HistoryDatabases, history_database: asyncpg.Pool
) -> None:
    history = History(ZONE)
    now = NOW + 20 * SECOND
    await history.write(history_database, history_databases.backend, [FlowRow(NOW), FlowRow(NOW - MINUTE)])
    for tier in TIERS:
        done = await remake(history_database, tier.name, 0, now + 10 * DAY, now)
        assert done.end <= floor(now, tier.name, ZONE)
    # Seen at once, without any refresh.
    await history.write(history_database, history_databases.backend, [FlowRow(NOW + 5 * SECOND)])
    assert await wrong(history_database, history) == {}


async def test_a_row_for_a_stored_bucket_is_there_after_the_next_run(
    history_databases: HistoryDatabases, history_database: asyncpg.Pool
) -> None:
    history = History(ZONE)
    await history.write(history_database, history_databases.backend, [FlowRow(NOW - 2 * HOUR)])
    await catch_up(history_database, NOW)
    await history.write(history_database, history_databases.backend, [FlowRow(NOW - 2 * HOUR), FlowRow(NOW - DAY)])
    done = await catch_up(history_database, NOW)
    assert {part.tier for part in done} == {"1m", "1h", "1d"}
    assert await wrong(history_database, history) == {}
    assert await catch_up(history_database, NOW) == []


async def test_a_window_is_widened_to_whole_buckets(
    history_databases: HistoryDatabases, history_database: asyncpg.Pool
) -> None:
    history = History(ZONE)
    day = floor(NOW - 2 * DAY, "1d", ZONE)
    await history.write(
        history_database, history_databases.backend, [FlowRow(day + hour * HOUR) for hour in (0, 11, 23)]
    )
    await catch_up(history_database, NOW)
    done = await remake(history_database, "1d", day + 11 * HOUR, day + 12 * HOUR, NOW)
    assert (done.start, done.end, done.buckets) == (day, day + DAY, 1)
    assert await wrong(history_database, history) == {}


def test_aggregates_are_over_bare_columns() -> None:
    folder = Path(netally.store.__file__).parent / "migrations"
    sums = [found for path in folder.rglob("*rollups.sql") for found in re.findall(r"sum\(([^)]*)\)", path.read_text())]
    assert sums
    assert not [inside for inside in sums if re.search(r"[-+*/|]", inside)]


async def test_columnstore_settings_are_explicit(timescale_databases: HistoryDatabases) -> None:
    async with timescale_databases.pool() as pool, pool.acquire() as connection:
        found = await connection.fetch(
            "SELECT coalesce(cagg.view_name::text, settings.hypertable::text) AS relation, segmentby, orderby"
            " FROM timescaledb_information.hypertable_columnstore_settings AS settings"
            " LEFT JOIN timescaledb_information.continuous_aggregates AS cagg ON settings.hypertable ="
            " format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)::regclass"
        )
        wanted = {
            row["relation"]
            for tier in ("raw", *(tier.name for tier in TIERS))
            for row in await connection.fetch("SELECT unnest(tier_relations($1)) AS relation", tier)
        }
    assert {row["relation"] for row in found} == wanted
    assert all(row["orderby"] and row["segmentby"] == "" for row in found)


async def test_a_refresh_that_has_nothing_to_do_does_not_read_raw(timescale_databases: HistoryDatabases) -> None:
    async with timescale_databases.pool(fill_week) as pool, pool.acquire() as connection:
        for relation in ("flow", "tally", "coverage", "tab_activity"):
            # TimescaleDB asks this before each refresh.
            plan = await connection.fetch(f"EXPLAIN SELECT max(time) FROM {relation}")
            assert not [row[0] for row in plan if "Seq Scan" in row[0]]


async def test_compressed_history_can_still_be_refreshed_and_purged(timescale_databases: HistoryDatabases) -> None:
    history = week()
    async with timescale_databases.pool(fill_week) as pool:
        async with exclusive(pool) as connection:
            assert connection is not None
            assert await backend.compress(connection, "timescaledb", NOW, limit=100) > 0
            assert await differences(connection, history) == {}
            # A limit that the purge would exceed, as the default is by that of a busy host.
            limit = "timescaledb.max_tuples_decompressed_per_dml_transaction"
            await connection.execute(f"SET {limit} = 1")
            removed = await retention.purge(connection, "host", 2, NOW, ZONE)
            history.flows = [row for row in history.flows if row.host_id != 2]
            history.coverage = [row for row in history.coverage if row.host_id != 2]
            history.tabs = [row for row in history.tabs if row.host_id != 2]
            for relation in ("flow", "flow_1d", "tab_activity", "tab_activity_1h"):
                assert removed[relation] > 0, relation
            assert await connection.fetchval(f"SHOW {limit}") == "1"
            assert await differences(connection, history) == {}
        late = NOW - 2 * DAY
        await history.write(pool, "timescaledb", [FlowRow(late), FlowRow(late + HOUR)])
        await catch_up(pool, NOW)
        assert await wrong(pool, history) == {}
        async with exclusive(pool) as connection:
            assert connection is not None
            # Chunks that late rows opened again are closed again.
            assert await backend.compress(connection, "timescaledb", NOW, limit=100) > 0
            assert await backend.compress(connection, "timescaledb", NOW, limit=100) == 0
            assert await differences(connection, history) == {}


async def test_purge_takes_a_domain_out_of_every_tier_and_of_the_totals(history_databases: HistoryDatabases) -> None:
    history = week()
    async with history_databases.pool(fill_week) as pool:
        await drop_old(pool, NOW)
        async with exclusive(pool) as connection:
            assert connection is not None
            await retention.purge(connection, "domain", 1, NOW, ZONE)
        history.purge(lambda row: row.domain_id != 1)
        history.tabs = [row for row in history.tabs if row.site_id != 1]
        assert await wrong(pool, history) == {}
        for tier in TIERS:
            await remake(pool, tier.name, 0, NOW, NOW)
        assert await wrong(pool, history) == {}


@pytest.mark.parametrize(("dimension", "gone"), [("host", 0), ("planet", 1)])
async def test_what_cannot_be_purged_is_refused(
    postgres_databases: HistoryDatabases, dimension: str, gone: int
) -> None:
    async with postgres_databases.pool() as pool, exclusive(pool) as connection:
        assert connection is not None
        with pytest.raises(ValueError, match="purged"):
            await retention.purge(connection, dimension, gone, NOW, ZONE)


async def test_an_agent_that_was_offline_for_two_days_lands_in_the_right_buckets(
    history_databases: HistoryDatabases, history_database: asyncpg.Pool
) -> None:
    history = History(ZONE)
    for at in range(NOW - 3 * DAY, NOW, 6 * HOUR):
        await history.write(history_database, history_databases.backend, [FlowRow(at)], [CoverageRow(at)])
        await catch_up(history_database, at + MINUTE)
    spool = list(range(NOW - 2 * DAY, NOW, 90 * MINUTE))
    for at in spool:
        await history.write(
            history_database, history_databases.backend, [FlowRow(at, host_id=2)], [CoverageRow(at, host_id=2)]
        )
    await catch_up(history_database, NOW)
    assert await wrong(history_database, history) == {}


async def test_gaps_stay_gaps_through_every_tier_after_raw_is_gone(
    history_databases: HistoryDatabases, history_database: asyncpg.Pool
) -> None:
    history = History(ZONE)
    begin = floor(NOW - 4 * DAY, "1d", ZONE)
    present = range(begin, begin + 3 * HOUR, 20 * MINUTE)
    # Host 1 measures three hours and is then absent for the day; host 2 is paused; nothing at all the day after.
    await history.write(
        history_database,
        history_databases.backend,
        [FlowRow(at) for at in present],
        [
            *(CoverageRow(at) for at in present),
            *(CoverageRow(at, host_id=2, measured_ms=0, paused=True) for at in present),
        ],
    )
    await history.write(history_database, history_databases.backend, [FlowRow(NOW)], [CoverageRow(NOW)])
    await catch_up(history_database, NOW + HOUR)
    await drop_old(history_database, NOW + HOUR)
    async with history_database.acquire() as connection:
        raw = await connection.fetchval("SELECT count(*) FROM coverage WHERE time < $1", begin + DAY)
        hours = await stored(connection, "coverage_1h")
        days = await stored(connection, "coverage_1d")
    assert raw == 0
    assert hours[begin, 1] == (15, 15_000, 2, False)
    assert hours[begin, 2] == (15, 0, 2, True)
    assert (begin + 3 * HOUR, 1) not in hours
    assert days[begin, 1] == (45, 45_000, 2, False)
    assert days[begin, 2] == (45, 0, 2, True)
    assert not [key for key in days if begin < key[0] < floor(NOW, "1d", ZONE)]


async def test_writers_and_refreshes_at_the_same_time_lose_nothing(postgres_databases: HistoryDatabases) -> None:
    history = History(ZONE)
    start = NOW - 2 * HOUR
    async with postgres_databases.pool() as pool:
        clock = start

        async def write(host: int) -> None:
            nonlocal clock
            for n in range(40):
                clock = max(clock, start + n * 3 * MINUTE)
                await history.write(pool, "postgresql", [FlowRow(clock - lag * 7 * MINUTE, host) for lag in range(4)])

        async def keep_refreshing(writers: asyncio.Task[None]) -> None:
            while not writers.done():
                await catch_up(pool, clock)

        async def write_all() -> None:
            await asyncio.gather(*(write(host) for host in (1, 2)))

        writers = asyncio.create_task(write_all())
        await keep_refreshing(writers)
        await writers
        await catch_up(pool, NOW)
        assert await wrong(pool, history) == {}


async def test_a_refresh_that_is_killed_is_done_by_the_next(postgres_databases: HistoryDatabases) -> None:
    history = History(ZONE)
    async with postgres_databases.pool() as pool:
        rows = [FlowRow(NOW - n * 5 * SECOND, domain_id=n % 50) for n in range(20_000)]
        await history.write(pool, "postgresql", rows)

        async def killed() -> None:
            async with pool.acquire() as killer:

                async def found() -> int:
                    return int(
                        await killer.fetchval(
                            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                            " WHERE datname = current_database() AND query LIKE '%refresh_rollup%'"
                            " AND state = 'active' AND pid <> pg_backend_pid()"
                        )
                    )

                await eventually(found, every=0.001)

        attempt = asyncio.create_task(catch_up(pool, NOW))
        await killed()
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError)):
            await attempt
        assert await wrong(pool, history) == {}
        await catch_up(pool, NOW)
        assert await wrong(pool, history) == {}


async def test_a_refresh_stores_one_state_of_all_relations(
    postgres_databases: HistoryDatabases, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History(ZONE)
    at = NOW - 10 * MINUTE
    rewrite_relation = backend.rewrite_relation
    async with postgres_databases.pool() as pool:
        await history.write(pool, "postgresql", [FlowRow(at)], [CoverageRow(at)], [TallyRow(at)])

        async def meanwhile_a_batch(
            connection: asyncpg.Connection, kind: str, relation: str, start: int, end: int
        ) -> int:
            written = await rewrite_relation(connection, kind, relation, start, end)
            if relation == "flow_1m" and start <= at < end:
                later = at + 5 * SECOND
                await history.write(pool, "postgresql", [FlowRow(later)], [CoverageRow(later)], [TallyRow(later)])
            return written

        with monkeypatch.context() as patch:
            patch.setattr(backend, "rewrite_relation", meanwhile_a_batch)
            await remake(pool, "1m", at, at + MINUTE, NOW)
        # All of them without the batch that came between: else bytes and their causes would not add up until the next.
        for relation in ("flow_1m", "tally_1m"):
            assert await pool.fetchval(f"SELECT sum(bytes_in) FROM {relation}") == 1_500, relation
        assert await pool.fetchval("SELECT sum(measured_ms) FROM coverage_1m") == 5_000
        await catch_up(pool, NOW)
        assert await wrong(pool, history) == {}


async def test_every_rollup_is_read_in_parallel(postgres_databases: HistoryDatabases) -> None:
    async with postgres_databases.pool() as pool, pool.acquire() as connection:
        for name in ("parallel_setup_cost", "parallel_tuple_cost", "min_parallel_table_scan_size"):
            await connection.execute(f"SET {name} = 0")
        for tier in TIERS:
            for relation in tier.relations:
                plan = await connection.fetch(f"EXPLAIN SELECT count(*) FROM {relation}")
                assert any("Parallel Append" in row[0] for row in plan), relation


async def test_one_maintains_the_history_at_a_time(postgres_databases: HistoryDatabases) -> None:
    async with postgres_databases.pool() as pool:
        async with exclusive(pool) as first, exclusive(pool) as second:
            assert first is not None
            assert second is None
        async with exclusive(pool) as again:
            assert again is not None


async def test_a_database_from_before_the_rollups_goes_on_with_its_data(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    history = week()
    settings = DatabaseSettings(empty_database_url)
    before = tmp_path / "migrations"
    shutil.copytree(migrate.MIGRATIONS, before)
    for path in before.rglob("*.sql"):
        if path.name > "20261122000004":
            path.unlink()
    with monkeypatch.context() as old:
        old.setattr(migrate, "MIGRATIONS", before)
        await migrate.migrate(settings, ZONE.key)
    pool = await open_pool(settings, "tests")
    try:
        rows = week()
        await partitions.DayPartitions(pool, "postgresql").ensure(partitions.days_of(row.time for row in rows.flows))
        async with pool.acquire() as connection:
            for table, made in (
                (tables.FLOW, rows.flows),
                (tables.COVERAGE, rows.coverage),
                (tables.TALLY, rows.tally),
                (tables.TAB_ACTIVITY, rows.tabs),
            ):
                await tables.copy(connection, table, [msgspec.structs.astuple(row) for row in made])
        await migrate.migrate(settings)
        await pool.expire_connections()
        assert await wrong(pool, history) == {}
        await catch_up(pool, NOW)
        assert await wrong(pool, history) == {}
        async with pool.acquire() as connection:
            assert await connection.fetchval("SELECT count(*) FROM flow_1d_rollup") > 0
    finally:
        await pool.close()

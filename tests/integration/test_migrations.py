"""The schema is made by SQL files, once, by several at a time, and says what it was made as."""

from __future__ import annotations

import asyncio
import datetime
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from netally.store import migrate, sql
from netally.store.counted import Counted, condition
from netally.store.database import DatabaseSettings, open_pool
from netally.store.migrate import Deployment, MigrationError
from tests.builders import packed
from tests.services import PostgresServer

RELATIONS = {
    *("deployment", "host", "app", "domain", "agent", "ledger", "ledger_ahead", "refused"),
    *("command", "command_event", "token", "saved_view"),
    *("flow", "tally", "coverage", "tab_activity", "flow_1m", "flow_1h", "flow_1d"),
}


@pytest.fixture
def settings(empty_database_url: str) -> DatabaseSettings:
    return DatabaseSettings(empty_database_url)


async def relations(url: str) -> set[str]:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")
    finally:
        await connection.close()
    return {row["relname"] for row in rows}


async def test_a_new_database_gets_every_relation(settings: DatabaseSettings) -> None:
    assert await migrate.migrate(settings, "Europe/Vienna") == Deployment("postgresql", "Europe/Vienna")
    assert await relations(settings.database_url) >= RELATIONS


async def test_several_at_once_make_it_once_and_agree(settings: DatabaseSettings) -> None:
    zones = ["Europe/Vienna", "America/Lima", "UTC", "Asia/Kathmandu"]
    made = await asyncio.gather(*(migrate.migrate(settings, zone) for zone in zones))
    assert len(set(made)) == 1
    assert made[0].timezone in zones


async def test_what_it_was_made_as_stays(settings: DatabaseSettings) -> None:
    first = await migrate.migrate(settings, "Europe/Vienna")
    assert await migrate.migrate(settings, "UTC") == first
    assert await migrate.migrate(settings) == first


@pytest.mark.parametrize("zone", ["Nowhere/City", "'; DROP TABLE host; --"])
async def test_a_time_zone_the_server_does_not_know_is_refused(settings: DatabaseSettings, zone: str) -> None:
    with pytest.raises(MigrationError, match="NETALLY_TIMEZONE"):
        await migrate.migrate(settings, zone)
    assert await relations(settings.database_url) == set()


async def test_a_machine_with_an_unknown_zone_counts_in_utc(
    settings: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Nowhere/City")
    assert (await migrate.migrate(settings)).timezone == "UTC"


async def test_a_database_of_a_newer_version_is_left_alone(settings: DatabaseSettings) -> None:
    await migrate.migrate(settings)
    connection = await asyncpg.connect(settings.database_url)
    await connection.execute("INSERT INTO schema_migrations VALUES ('29991231000000')")
    await connection.close()
    with pytest.raises(MigrationError, match=r"29991231000000.*newer"):
        await migrate.migrate(settings)


async def test_a_migration_that_fails_says_why_and_leaves_nothing(
    settings: DatabaseSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(migrate.MIGRATIONS, tmp_path / "migrations")
    (tmp_path / "migrations/shared/29990101000000_broken.sql").write_text(
        "-- migrate:up\nCREATE TABLE half (id integer);\nSELECT no_such_function();\n-- migrate:down\n"
    )
    monkeypatch.setattr(migrate, "MIGRATIONS", tmp_path / "migrations")
    with pytest.raises(MigrationError, match="no_such_function"):
        await migrate.migrate(settings)
    assert "half" not in await relations(settings.database_url)


def complete_texts(statement: sql.Statement) -> list[str]:
    """What is sent to the database: a statement that counts rows gets them from any of the tiers."""
    place = re.compile(r"\bFROM counted\b")
    if not place.search(statement.text):
        return [statement.text]
    first = len(statement.parameters) + 1
    rows = [condition(Counted(tier=tier, start=0, end=1, scopes=[1]), first).sql for tier in ("raw", "1m", "1h", "1d")]
    return [place.sub(f"FROM ({one}) AS counted", statement.text) for one in rows]


async def test_every_statement_fits_the_schema(settings: DatabaseSettings) -> None:
    await migrate.migrate(settings)
    only_timescaledb = re.findall(r"-- name: (\w+)", (sql.QUERIES / "backend_timescaledb.sql").read_text("utf-8"))
    pool = await open_pool(settings, "test")
    try:
        async with pool.acquire() as connection:
            for name, statement in sql.statements().items():
                if name in only_timescaledb:
                    continue
                for text in complete_texts(statement):
                    try:
                        await connection.prepare(text)
                    except asyncpg.PostgresError as error:
                        pytest.fail(f"{name}: {error}")
    finally:
        await pool.close()


async def test_addresses_are_packed_and_times_milliseconds_both_ways(settings: DatabaseSettings) -> None:
    pool = await open_pool(settings, "test")
    try:
        for address in ("203.0.113.7", "2001:db8::1"):
            row = await pool.fetchrow("SELECT $1::inet AS address, host($1) AS text", packed(address))
            assert row is not None
            assert (row["address"], row["text"]) == (packed(address), address)
        row = await pool.fetchrow(
            "SELECT $1::timestamptz AS time, extract(epoch FROM $1)::text AS text", 1_795_305_600_123
        )
        assert row is not None
        assert (row["time"], row["text"]) == (1_795_305_600_123, "1795305600.123000")
    finally:
        await pool.close()


async def test_it_works_without_prepared_statements(empty_database_url: str) -> None:
    pool = await open_pool(DatabaseSettings(empty_database_url, database_statement_cache=0), "test")
    try:
        assert await pool.fetchval("SELECT $1::timestamptz", 5_000) == 5_000
    finally:
        await pool.close()


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/St_Johns"])
async def test_a_bucket_does_not_depend_on_who_asks(settings: DatabaseSettings, zone: str) -> None:
    await migrate.migrate(settings, "Europe/Vienna")
    connection = await asyncpg.connect(settings.database_url, server_settings={"timezone": zone})
    try:
        await connection.execute("SELECT make_day_partitions('2026-11-22')")
        await connection.execute(
            """INSERT INTO flow SELECT '2026-11-22 23:47:35+00', 1, 1, 1, 0, 1, 6, 443, 1, '203.0.113.7',
                                       10, 1, 1, 1, NULL, 1, 2, 2, now()"""
        )
        buckets = [
            await connection.fetchval(f"SELECT bucket AT TIME ZONE 'UTC' FROM {tier}")
            for tier in ("flow_1m", "flow_1h", "flow_1d")
        ]
    finally:
        await connection.close()
    # The day is Vienna's 23 November, which began at 23:00 UTC.
    assert buckets == [
        datetime.datetime(2026, 11, 22, 23, 47),  # noqa: DTZ001
        datetime.datetime(2026, 11, 22, 23, 0),  # noqa: DTZ001
        datetime.datetime(2026, 11, 22, 23, 0),  # noqa: DTZ001
    ]


async def test_day_partitions_are_made_once_by_several(settings: DatabaseSettings) -> None:
    await migrate.migrate(settings)
    pool = await open_pool(settings, "test")
    try:
        await asyncio.gather(
            *(sql.execute(pool, "make_day_partitions", day=datetime.date(2026, 11, day)) for day in (22, 23) * 4)
        )
        names = {name for name in await relations(settings.database_url) if name.startswith("flow_2026")}
    finally:
        await pool.close()
    assert {name for name in names if "_time" not in name} == {"flow_20261122", "flow_20261123"}


async def test_the_password_shows_neither_in_the_process_list_nor_in_errors(
    own_postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await own_postgres_server.create_database()
    secret = "s3cr3t-and-long"
    with_password = DatabaseSettings(url.replace("postgres@", f"postgres:{secret}@"))
    seen: list[str] = []
    real = asyncio.create_subprocess_exec

    async def watched(*arguments: object, **options: object) -> object:
        seen.extend(str(argument) for argument in arguments)
        return await real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", watched)
    await migrate.migrate(with_password)
    assert seen
    assert not any(secret in argument for argument in seen)


SYSTEM_SERVERS = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))


@pytest.fixture
def oldest_server() -> Iterator[PostgresServer]:
    """The oldest PostgreSQL of this machine besides the one the lock brings; that one when there is none."""
    directory = Path(tempfile.mkdtemp(prefix="netally-postgres-"))
    directory.chmod(0o755)
    server = PostgresServer(directory)
    if SYSTEM_SERVERS:
        server._bin = SYSTEM_SERVERS[0].parent
    server.start()
    yield server
    server.stop()
    shutil.rmtree(directory, ignore_errors=True)


async def test_the_oldest_server_at_hand_takes_the_schema(oldest_server: PostgresServer) -> None:
    settings = DatabaseSettings(await oldest_server.create_database())
    assert (await migrate.migrate(settings, "UTC")).backend == "postgresql"
    assert await relations(settings.database_url) >= RELATIONS

"""The TimescaleDB fixture itself: which one is chosen, and that the bridge keeps PostgreSQL's rules."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from tests.npm_package import integrity, pinned
from tests.timescale.engine import FOLDER
from tests.timescale.server import choose

START = datetime(2026, 11, 22, tzinfo=UTC)


def never() -> bool:
    raise AssertionError("asked Docker although a server was named")


def test_a_named_server_comes_first() -> None:
    assert choose({"NETALLY_TEST_TIMESCALE_URL": "postgresql://db.example.org/x"}, never) == "url"


def test_docker_comes_before_the_engine() -> None:
    assert choose({}, lambda: True) == "docker"


@pytest.mark.parametrize("environment", [{}, {"NETALLY_TEST_TIMESCALE_URL": ""}])
def test_without_both_the_engine_is_used(environment: dict[str, str]) -> None:
    assert choose(environment, lambda: False) == "engine"


def test_a_changed_package_is_noticed(tmp_path: Path) -> None:
    archive = tmp_path / "x.tgz"
    archive.write_bytes(b"something else")
    assert integrity(archive).startswith("sha512-")
    assert integrity(archive) != pinned(FOLDER / "engine.json").integrity


async def test_a_hypertable_a_copy_and_an_aggregate(timescale_url: str) -> None:
    connection = await asyncpg.connect(timescale_url, statement_cache_size=0)
    await connection.execute("CREATE TABLE seen (time timestamptz NOT NULL, bytes bigint)")
    await connection.execute("SELECT create_hypertable('seen', by_range('time', INTERVAL '1 day'))")
    rows = [(START + timedelta(seconds=n), n) for n in range(7200)]
    await connection.copy_records_to_table("seen", records=rows)
    await connection.execute(
        "CREATE MATERIALIZED VIEW seen_1h WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS"
        " SELECT time_bucket('1 hour', time) AS bucket, sum(bytes)::bigint AS bytes FROM seen GROUP BY 1 WITH NO DATA"
    )
    await connection.execute("CALL refresh_continuous_aggregate('seen_1h', NULL, NULL)")
    found = await connection.fetch("SELECT bytes FROM seen_1h ORDER BY bucket")
    assert [row["bytes"] for row in found] == [sum(range(3600)), sum(range(3600, 7200))]
    await connection.close()


async def test_an_error_leaves_the_connection_usable(timescale_url: str) -> None:
    connection = await asyncpg.connect(timescale_url, statement_cache_size=0)
    with pytest.raises(asyncpg.DivisionByZeroError):
        await connection.fetchval("SELECT 1 / $1::int", 0)
    await connection.execute("CREATE TABLE narrow (n smallint)")
    with pytest.raises(asyncpg.UndefinedTableError):
        await connection.copy_records_to_table("absent", records=[(1,)])
    assert await connection.fetchval("SELECT count(*) FROM narrow") == 0
    await connection.close()


async def test_a_transaction_has_the_session_to_itself(timescale_url: str) -> None:
    first, second = [await asyncpg.connect(timescale_url, statement_cache_size=0) for _ in range(2)]
    await first.execute("CREATE TABLE held (n integer)")
    transaction = first.transaction()
    await transaction.start()
    await first.execute("INSERT INTO held VALUES (1)")
    waiting = asyncio.create_task(second.fetchval("SELECT count(*) FROM held"))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await first.execute("INSERT INTO held VALUES (2)")
    await transaction.commit()
    assert await waiting == 2
    await first.close()
    await second.close()


async def test_a_client_that_goes_away_is_rolled_back(timescale_url: str) -> None:
    first, second = [await asyncpg.connect(timescale_url, statement_cache_size=0) for _ in range(2)]
    await first.execute("CREATE TABLE dropped (n integer)")
    await first.transaction().start()
    await first.execute("INSERT INTO dropped VALUES (1)")
    first.terminate()
    assert await second.fetchval("SELECT count(*) FROM dropped") == 0
    await second.close()

"""A database that an older version made and filled is brought to this version's schema without a figure changing."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from netally.store import migrate
from netally.store.database import DatabaseSettings, open_pool
from netally.store.migrate import MIGRATIONS
from netally.store.rollups import exclusive, refresh_outstanding
from netally.store.tiers import DAY, HOUR, MINUTE, SECOND
from tests.history_model import RELATIONS, CoverageRow, FlowRow, History, TabRow, TallyRow, differences, stored
from tests.services import PostgresServer
from tests.timescale.fixtures import ZONE
from tests.timescale.server import TimescaleServer


def versions() -> list[str]:
    """Of every migration that changes the schema after the first complete one, the version before it."""
    known = sorted({path.name.partition("_")[0] for path in MIGRATIONS.glob("*/*.sql")})
    return known[known.index(COMPLETE) : -1]


COMPLETE = "20261122000006"
"""With it the tables of the history are all there."""


def only_until(version: str, folder: Path) -> Path:
    shutil.copytree(MIGRATIONS, folder)
    for path in folder.glob("*/*.sql"):
        if path.name.partition("_")[0] > version:
            path.unlink()
    return folder


async def bring_forward(url: str, version: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = DatabaseSettings(url, database_connections=4, database_statement_cache=0)
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "MIGRATIONS", only_until(version, folder))
        made = await migrate.migrate(settings, ZONE.key)
    now = int(time.time() * 1000)
    history = History(ZONE)
    pool = await open_pool(settings, "tests")
    try:
        await pool.execute("INSERT INTO host (name) VALUES ('a')")
        await pool.execute(
            """INSERT INTO agent (host_id, reported_at, received_at, started_at, version, mode, mode_reason,
                   interval_seconds, paused, epoch, sequence, spool_batches, spool_bytes, lost_batches, ring_drops,
                   settings_version, interfaces)
               VALUES (1, now(), now(), now(), '0.1.0', 'packets', '', 5, false, repeat('0', 32), 7, 0, 0, 3, 0, 0,
                       '[]')"""
        )
        times = [now // MINUTE * MINUTE - back for back in (0, 7 * MINUTE, 5 * HOUR, DAY + HOUR)]
        await history.write(
            pool,
            made.backend,
            [FlowRow(at, app_id=app, bytes_in=at // SECOND) for at in times for app in (0, 1)],
            [CoverageRow(at) for at in times],
            [TallyRow(at) for at in times],
            [TabRow(at) for at in times],
        )
        async with exclusive(pool) as connection:
            assert connection is not None
            await refresh_outstanding(connection, now, ZONE)
        before = {relation: await stored(pool, relation) for relation in RELATIONS}
        agents = await pool.fetchrow("SELECT * FROM agent")
    finally:
        await pool.close()

    assert await migrate.migrate(settings) == made
    pool = await open_pool(settings, "tests")
    try:
        assert {relation: await stored(pool, relation) for relation in RELATIONS} == before
        assert await differences(pool, history) == {}
        after = await pool.fetchrow("SELECT * FROM agent")
        assert agents is not None
        assert after is not None
        assert {name: after[name] for name in dict(agents)} == dict(agents)
        # And it goes on from there.
        await history.write(pool, made.backend, [FlowRow(times[1])], [CoverageRow(times[1])])
        async with exclusive(pool) as connection:
            assert connection is not None
            await refresh_outstanding(connection, now + HOUR, ZONE)
        assert await differences(pool, history) == {}
    finally:
        await pool.close()


@pytest.mark.parametrize("version", versions())
async def test_a_filled_database_of_an_older_version_on_postgresql(
    postgres_server: PostgresServer, version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await postgres_server.create_database()
    await bring_forward(url, version, tmp_path / "migrations", monkeypatch)
    await postgres_server.drop_database(url)


@pytest.mark.slow
async def test_a_filled_database_of_the_version_before_on_timescaledb(
    timescale_server: TimescaleServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await timescale_server.create_database()
    await bring_forward(url, versions()[-1], tmp_path / "migrations", monkeypatch)
    await timescale_server.drop_database(url)

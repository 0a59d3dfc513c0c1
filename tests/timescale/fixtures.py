"""Fixtures: TimescaleDB, and a migrated database on each backend. Named in ``tests/conftest.py``."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from netally.store.database import DatabaseSettings, open_pool
from netally.store.migrate import migrate
from tests.services import PostgresServer
from tests.timescale.server import NativeServer, TimescaleServer, choose, docker_answers, docker_server, engine_server

ZONE = ZoneInfo("Europe/Berlin")
"""Time zone of the daily tier in `HistoryDatabases`: one with summer time."""


@pytest.fixture(scope="session")
def timescale_server() -> Iterator[TimescaleServer]:
    """The TimescaleDB server of the whole run."""
    source = choose(os.environ, docker_answers)
    if source == "url":
        yield NativeServer(os.environ["NETALLY_TEST_TIMESCALE_URL"])
        return
    with docker_server() if source == "docker" else engine_server() as server:
        yield server


@pytest.fixture
async def timescale_url(timescale_server: TimescaleServer) -> AsyncIterator[str]:
    """A new TimescaleDB database without any table of ours. Connect with ``statement_cache_size=0``."""
    url = await timescale_server.create_database()
    yield url
    await timescale_server.drop_database(url)


Fill = Callable[[asyncpg.Pool, str], Awaitable[None]]
"""Brings a database (its pool, its backend) into the state that a test begins with."""


class HistoryDatabases:
    """Makes migrated databases of one backend; their days begin in `ZONE`."""

    def __init__(self, server: PostgresServer | TimescaleServer) -> None:
        self._server = server
        self.backend = "postgresql" if isinstance(server, PostgresServer) else "timescaledb"
        self._kept: dict[Fill | None, str] = {}

    @staticmethod
    def settings(url: str) -> DatabaseSettings:
        # No statement is kept: on the engine of the tests all connections are one session.
        return DatabaseSettings(database_url=url, database_connections=4, database_statement_cache=0)

    @asynccontextmanager
    async def pool(self, fill: Fill | None = None) -> AsyncIterator[asyncpg.Pool]:
        """A pool on a database of its own, which is gone afterwards. ``fill`` is run once for all that want it, where
        the server can keep a state.
        """
        async with self.url(fill) as url:
            pool = await open_pool(self.settings(url), "tests")
            try:
                yield pool
            finally:
                await pool.close()

    @asynccontextmanager
    async def url(self, fill: Fill | None = None) -> AsyncIterator[str]:
        """The same, for whoever connects by himself."""
        url = await self._create(fill)
        try:
            yield url
        finally:
            await self._server.drop_database(url)

    async def _create(self, fill: Fill | None) -> str:
        if fill not in self._kept:
            url = await self._begin(fill)
            kept = f"kept{len(self._kept)}"
            if not await self._keep(url, kept):
                return url
            self._kept[fill] = kept
            await self._server.drop_database(url)
        return await self._copy(self._kept[fill])

    async def _begin(self, fill: Fill | None) -> str:
        if fill is None:
            url = await self._server.create_database()
            made = await migrate(self.settings(url), ZONE.key)
            assert made.backend == self.backend
            return url
        url = await self._create(None)
        pool = await open_pool(self.settings(url), "tests")
        await fill(pool, self.backend)
        await pool.close()
        return url

    async def _keep(self, url: str, name: str) -> bool:
        if not isinstance(self._server, PostgresServer):
            return await self._server.keep(url, name)
        await self._copy(url.rsplit("/", 1)[1], name)
        return True

    async def _copy(self, kept: str, name: str | None = None) -> str:
        if not isinstance(self._server, PostgresServer):
            return await self._server.create_database(kept)
        name = name or f"t{uuid.uuid4().hex[:16]}"
        connection = await asyncpg.connect(self._server.url("postgres"))
        try:
            await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{kept}"')
        finally:
            await connection.close()
        return self._server.url(name)


@pytest.fixture(scope="session")
def postgres_databases(postgres_server: PostgresServer) -> HistoryDatabases:
    return HistoryDatabases(postgres_server)


@pytest.fixture(scope="session")
def timescale_databases(timescale_server: TimescaleServer) -> HistoryDatabases:
    return HistoryDatabases(timescale_server)


@pytest.fixture(params=["postgresql", "timescaledb"])
def history_databases(request: pytest.FixtureRequest) -> HistoryDatabases:
    """On each backend: as many migrated databases as the test wants."""
    name = "postgres_databases" if request.param == "postgresql" else "timescale_databases"
    databases: HistoryDatabases = request.getfixturevalue(name)
    return databases


@pytest.fixture
async def history_database(history_databases: HistoryDatabases) -> AsyncIterator[asyncpg.Pool]:
    """On each backend: a pool on a migrated database of this test's own."""
    async with history_databases.pool() as pool:
        yield pool

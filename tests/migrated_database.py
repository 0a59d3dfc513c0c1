"""Fixtures: a migrated PostgreSQL database of a test's own, copied from one that is migrated once a run; and a pool."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest

from netally.store.database import DatabaseSettings, open_pool
from netally.store.migrate import migrate
from tests.services import PostgresServer

DEPLOYMENT_ZONE = "Europe/Vienna"
"""Time zone of the daily tier: not UTC, and with summer time."""


@pytest.fixture(scope="session")
def migrated_template(postgres_server: PostgresServer) -> str:
    """Name of the database that is copied."""

    async def make() -> str:
        url = await postgres_server.create_database()
        await migrate(DatabaseSettings(url), DEPLOYMENT_ZONE)
        return url.rsplit("/", 1)[1]

    return asyncio.run(make())


@pytest.fixture
async def migrated_database_url(postgres_server: PostgresServer, migrated_template: str) -> AsyncIterator[str]:
    url = postgres_server.url(f"t{uuid.uuid4().hex[:16]}")
    connection = await asyncpg.connect(postgres_server.url("postgres"))
    try:
        await connection.execute(f'CREATE DATABASE "{url.rsplit("/", 1)[1]}" TEMPLATE "{migrated_template}"')
    finally:
        await connection.close()
    yield url
    await postgres_server.drop_database(url)


@pytest.fixture
async def pool(migrated_database_url: str) -> AsyncIterator[asyncpg.Pool]:
    pool = await open_pool(DatabaseSettings(migrated_database_url), "tests")
    yield pool
    await pool.close()

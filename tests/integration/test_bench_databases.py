"""Where `make bench` makes its databases when a server is named for it."""

from __future__ import annotations

import asyncpg
import pytest

from tests.bench.databases import database_server
from tests.services import PostgresServer


async def test_databases_are_made_beside_the_named_one_and_dropped(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = await postgres_server.create_database()
    monkeypatch.setenv("NETALLY_BENCH_URL", given)

    async def names() -> set[str]:
        connection = await asyncpg.connect(given)
        try:
            return {row["datname"] for row in await connection.fetch("SELECT datname FROM pg_database")}
        finally:
            await connection.close()

    before = await names()
    async with database_server() as create_database:
        made = [await create_database() for _ in range(2)]
        left_open = await asyncpg.connect(made[0])
        assert await left_open.fetchval("SELECT current_database()") == made[0].rsplit("/", 1)[1]
        assert len(await names()) == len(before) + 2
    assert await names() == before
    left_open.terminate()

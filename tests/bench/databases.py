"""Databases for benches: on a PostgreSQL of their own, or on the server that ``NETALLY_BENCH_URL`` names.

There each bench makes databases of its own and drops them at its end; what the named database holds is not touched. Its
user needs the right CREATEDB. They are TimescaleDB's when that one is.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from tests.services import PostgresServer

CreateDatabase = Callable[[], Awaitable[str]]
"""Gives the URL of a new, empty database."""


@asynccontextmanager
async def database_server() -> AsyncIterator[CreateDatabase]:
    given = os.environ.get("NETALLY_BENCH_URL")
    async with beside(given) if given else _of_our_own() as create:
        yield create


@asynccontextmanager
async def _of_our_own() -> AsyncIterator[CreateDatabase]:
    directory = Path(tempfile.mkdtemp(prefix="netally-bench-"))
    directory.chmod(0o755)
    server = PostgresServer(directory)
    try:
        await asyncio.to_thread(server.start)
        yield server.create_database
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@asynccontextmanager
async def beside(given: str) -> AsyncIterator[CreateDatabase]:
    """Databases on the server of a URL; TimescaleDB's when the named database is."""
    connection = await asyncpg.connect(given)
    timescale = await connection.fetchval("SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'")
    made: list[str] = []

    async def create() -> str:
        name = f"netally_bench_{uuid.uuid4().hex[:16]}"
        await connection.execute(f'CREATE DATABASE "{name}"')
        made.append(name)
        url = urlunsplit(urlsplit(given)._replace(path=f"/{name}"))
        if timescale:
            inside = await asyncpg.connect(url)
            try:
                await inside.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
            finally:
                await inside.close()
        return url

    try:
        yield create
    finally:
        for name in made:
            await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await connection.close()

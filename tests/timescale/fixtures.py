"""Fixtures: TimescaleDB, and a migrated database on each backend. Named in ``tests/conftest.py``."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.timescale.server import NativeServer, TimescaleServer, choose, docker_answers, docker_server, engine_server


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

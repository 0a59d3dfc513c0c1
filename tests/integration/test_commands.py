"""The life of a command on a real bus and database: queueing, repeating, refusing, cancelling, interruption."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from nats.aio.client import Client

from netally.store.database import DatabaseSettings, open_pool
from tests.aggregator_process import AggregatorProcess
from tests.ordering import Orders, make_command


@pytest.fixture
async def orders(nats_client: Client) -> Orders:
    orders = Orders(nats_client)
    await orders.listen()
    return orders


@pytest.fixture
async def pool(migrated_database_url: str) -> AsyncIterator[asyncpg.Pool]:
    pool = await open_pool(DatabaseSettings(migrated_database_url), "tests")
    yield pool
    await pool.close()


@pytest.fixture
async def aggregator(nats_url: str, migrated_database_url: str) -> AsyncIterator[AggregatorProcess]:
    process = AggregatorProcess(nats_url, migrated_database_url)
    process.start()
    await process.ready()
    yield process
    process.kill()


async def ledger(pool: asyncpg.Pool, command_id: str) -> Any:
    return await pool.fetchrow("SELECT * FROM command WHERE id = $1", command_id)


async def test_a_raw_client_orders_and_hears_the_outcome(
    aggregator: AggregatorProcess, orders: Orders, pool: asyncpg.Pool
) -> None:
    command = await orders.send(make_command("aggregate", {"tier": "hourly"}, actor_verified=True))
    done = await orders.until(command)
    assert (done.state, done.source) == ("succeeded", "aggregator")
    assert set(done.result["tiers"]) == {"1m", "1h"}
    assert orders.states(command) == ["accepted", "progress", "succeeded"]
    row = await ledger(pool, command.id)
    assert (row["state"], row["actor"]) == ("succeeded", "a script")
    # It says that it is verified; only the API's signature proves it.
    assert row["actor_verified"] is False

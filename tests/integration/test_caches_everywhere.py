"""Ids that several aggregators remember: wrong ones are put right everywhere, those of purged names forgotten."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest
from nats.aio.client import Client

from netally.contracts.flow import App
from tests.aggregator_process import AggregatorProcess, publish
from tests.api_process import api_process
from tests.builders import START, make_batch, make_epoch
from tests.ordering import Orders
from tests.services import eventually

HOST, APP, DOMAIN = "web-1.example.org", "gitea", "example.net"
COMMITTED = 'netally_aggregator_batches_total{outcome="committed"}'


@pytest.fixture
async def both(
    aggregator: AggregatorProcess, nats_url: str, migrated_database_url: str
) -> AsyncIterator[list[AggregatorProcess]]:
    """Two aggregators of one installation."""
    other = AggregatorProcess(nats_url, migrated_database_url)
    other.start()
    await other.ready()
    yield [aggregator, other]
    other.kill()


async def on_every_one(both: list[AggregatorProcess], client: Client, pool: asyncpg.Pool) -> None:
    """Batches of one host, application and domain until each aggregator has written some of them and all are in."""
    before = [await each.counter(COMMITTED) for each in both]
    flows = await pool.fetchval("SELECT count(*) FROM flow")
    sent = 0

    async def all_in() -> bool:
        return bool(await pool.fetchval("SELECT count(*) FROM flow") == flows + sent)

    while not all([await each.counter(COMMITTED) > count for each, count in zip(both, before, strict=True)]):
        epoch = make_epoch()
        for number in range(10):
            batch = make_batch(
                host=HOST, apps=[App(APP)], domains=[DOMAIN], epoch=epoch, sequence=number + 1,
                start=START - 5_000 * (sent + 1),
            )  # fmt: skip
            await publish(client.jetstream(), batch)
            sent += 1
        await eventually(all_in)


async def living_ids(pool: asyncpg.Pool) -> tuple[int, int, int]:
    host, app, domain = [
        await pool.fetchval(f"SELECT id FROM {table} WHERE name = $1 AND deleted_at IS NULL", name)
        for table, name in (("host", HOST), ("app", APP), ("domain", DOMAIN))
    ]
    return host, app, domain


async def newest_ids(pool: asyncpg.Pool, count: int) -> set[tuple[int, int, int]]:
    rows = await pool.fetch(
        "SELECT host_id, app_id, domain_id FROM flow ORDER BY received_at DESC, time LIMIT $1", count
    )
    return {tuple(row) for row in rows}


async def test_wrong_ids_are_right_after_refresh_cache_on_every_instance(
    both: list[AggregatorProcess],
    orders: Orders,
    nats_client: Client,
    nats_url: str,
    migrated_database_url: str,
    pool: asyncpg.Pool,
) -> None:
    await on_every_one(both, nats_client, pool)
    wrong = await living_ids(pool)
    # Behind their backs the names go over to other ids, so that each of them remembers wrong ones.
    for table in ("host", "app", "domain"):
        await pool.execute(f"UPDATE {table} SET name = 'was ' || name WHERE id = ANY ($1)", list(wrong))
    async with api_process(migrated_database_url, nats_url), api_process(migrated_database_url, nats_url):

        async def everyone() -> bool:
            done = await orders.run("refresh-cache", {"wait_seconds": 1})
            services = sorted(one["service"] for one in done.result["instances"])
            return services == ["aggregator", "aggregator", "api", "api"]

        await eventually(everyone)
    before = await pool.fetchval("SELECT count(*) FROM flow")
    await on_every_one(both, nats_client, pool)
    right = await living_ids(pool)
    assert not set(zip("had", right, strict=True)) & set(zip("had", wrong, strict=True))
    assert await newest_ids(pool, await pool.fetchval("SELECT count(*) FROM flow") - before) == {right}


async def test_a_purged_name_is_new_on_every_instance(
    both: list[AggregatorProcess], orders: Orders, nats_client: Client, pool: asyncpg.Pool
) -> None:
    await on_every_one(both, nats_client, pool)
    gone = await living_ids(pool)
    for dimension, name in (("domain", DOMAIN), ("app", APP), ("host", HOST)):
        done = await orders.run("purge", {dimension: name})
        assert (done.state, done.result["relations"]["flow"] > 0) == ("succeeded", dimension == "domain"), done
    assert await pool.fetchval("SELECT count(*) FROM flow") == 0
    await on_every_one(both, nats_client, pool)
    new = await living_ids(pool)
    assert not set(zip("had", new, strict=True)) & set(zip("had", gone, strict=True))
    assert await newest_ids(pool, 1_000) == {new}

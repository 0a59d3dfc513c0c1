"""The life of a command on a real bus and database: queueing, repeating, refusing, cancelling, interruption."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from tests.aggregator_process import AggregatorProcess
from tests.ordering import Orders, make_command
from tests.services import eventually


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


@pytest.fixture
async def busy(migrated_database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """While it is open, commands that maintain the history wait for it."""
    connection = await asyncpg.connect(migrated_database_url)
    await connection.execute("SELECT pg_advisory_lock(hashtextextended('netally.maintenance', 0))")
    yield connection
    await connection.close()


async def test_conflicting_commands_queue_and_say_what_for(
    aggregator: AggregatorProcess, orders: Orders, pool: asyncpg.Pool, busy: asyncpg.Connection
) -> None:
    first = await orders.send(make_command("aggregate"))
    await orders.until(first, "progress")
    second = await orders.send(make_command("cleanup"))
    waits = await orders.until(second, "accepted")
    assert waits.message == f"waits for aggregate {first.id}"
    late = await orders.send(make_command("cleanup", deadline=int(time.time() * 1000) + 1000))
    assert (await orders.until(late)).state == "expired"
    # What does not conflict goes on.
    assert (await orders.run("refresh-cache", {"wait_seconds": 0.1})).state == "succeeded"
    await busy.close()
    assert (await orders.until(first)).state == (await orders.until(second)).state == "succeeded"
    assert (await ledger(pool, late.id))["started_at"] is None


async def test_a_waiting_and_a_running_command_are_cancelled(
    aggregator: AggregatorProcess, orders: Orders, busy: asyncpg.Connection
) -> None:
    running = await orders.send(make_command("aggregate"))
    await orders.until(running, "progress")
    waiting = await orders.send(make_command("cleanup"))
    done = await orders.run("cancel", {"command": waiting.id}, actor="ada")
    assert (done.state, done.result["state"]) == ("succeeded", "cancelled")
    assert (await orders.until(waiting)).message == "taken back by ada before it began"
    done = await orders.run("cancel", {"command": running.id}, actor="ada")
    assert (done.state, done.result["state"]) == ("succeeded", "cancelled"), done
    assert (await orders.until(running)).message == "stopped by ada"
    # The lane is free again.
    await busy.close()
    assert (await orders.run("aggregate")).state == "succeeded"


async def test_what_was_interrupted_runs_again_or_fails_and_is_never_left_running(
    aggregator: AggregatorProcess,
    orders: Orders,
    pool: asyncpg.Pool,
    busy: asyncpg.Connection,
    migrated_database_url: str,
) -> None:
    first = await orders.send(make_command("aggregate"))
    await orders.until(first, "progress")
    aggregator.kill()
    aggregator.start()
    await aggregator.ready()
    await busy.close()
    assert (await orders.until(first)).state == "succeeded"
    assert orders.states(first).count("progress") == 2

    again = await asyncpg.connect(migrated_database_url)
    await again.execute("SELECT pg_advisory_lock(hashtextextended('netally.maintenance', 0))")
    second = await orders.send(make_command("cleanup"))
    await orders.until(second, "progress")
    # A clean stop leaves it to the next start as well.
    await aggregator.stop()
    assert (await ledger(pool, second.id))["state"] == "progress"
    aggregator.start()
    await aggregator.ready()
    done = await orders.until(second)
    assert (done.state, "interrupted" in done.message) == ("failed", True)
    await again.close()


async def test_the_same_key_runs_once_also_after_a_restart(
    aggregator: AggregatorProcess, orders: Orders, pool: asyncpg.Pool
) -> None:
    first = await orders.run("aggregate", idempotency_key="monday")
    await aggregator.stop()
    aggregator.start()
    await aggregator.ready()
    second = await orders.run("aggregate", idempotency_key="monday")
    assert (second.state, second.result["same_as"]) == ("succeeded", first.command_id)
    other = await orders.run("cleanup", idempotency_key="monday")
    assert (other.state, other.field) == ("failed", "idempotency_key")
    assert await pool.fetchval("SELECT count(*) FROM command WHERE name = 'aggregate'") == 1


async def test_what_is_no_command_is_refused_and_in_the_ledger(
    aggregator: AggregatorProcess, nats_client: Client, pool: asyncpg.Pool
) -> None:
    js = nats_client.jetstream()
    for body in (b"{", b"[]", b'{"id": 5}', b"\xff" * 100, b"{}" + b" " * 300_000):
        await js.publish("commands.v1.aggregator.aggregate", body)

    async def refused() -> bool:
        return bool(await pool.fetchval("SELECT count(*) FROM command WHERE state = 'failed'") == 5)

    async def settled() -> bool:
        # Acknowledged after the commit.
        return bool((await js.consumer_info("COMMANDS", "aggregator")).num_ack_pending == 0)

    await eventually(refused)
    await eventually(settled)


async def test_a_stopped_purge_says_so_and_is_finished_by_the_next(
    aggregator: AggregatorProcess, orders: Orders, pool: asyncpg.Pool, migrated_database_url: str
) -> None:
    await pool.execute("INSERT INTO domain (name) VALUES ('example.net')")
    blocker = await asyncpg.connect(migrated_database_url)
    transaction = blocker.transaction()
    await transaction.start()
    # The purge writes there, and the maintenance, which it would wait for, only reads.
    await blocker.execute("LOCK TABLE stale_total IN SHARE MODE")
    try:
        purge = await orders.send(make_command("purge", {"domain": "example.net"}))

        async def is_begun() -> bool:
            return bool(await pool.fetchval("SELECT count(*) FROM domain WHERE deleted_at IS NOT NULL"))

        await eventually(is_begun)
        assert (await orders.run("cancel", {"command": purge.id}, actor="ada")).state == "succeeded"
    finally:
        await transaction.rollback()
        await blocker.close()
    assert (await orders.until(purge)).message == "stopped by ada; what it had done until then stays done"
    assert await pool.fetchval("SELECT count(*) FROM domain WHERE name = 'example.net'") == 1
    again = await orders.run("purge", {"domain": "example.net"})
    assert again.state == "succeeded", again
    assert await pool.fetchval("SELECT count(*) FROM domain WHERE name = 'example.net'") == 0


async def test_a_cancelled_export_leaves_no_file(
    aggregator: AggregatorProcess, orders: Orders, migrated_database_url: str, nats_client: Client
) -> None:
    blocker = await asyncpg.connect(migrated_database_url)
    transaction = blocker.transaction()
    await transaction.start()
    await blocker.execute("LOCK TABLE flow IN ACCESS EXCLUSIVE MODE")
    try:
        export = await orders.send(
            make_command("export", {"from": 1_795_305_600_000, "to": 1_795_309_200_000, "tier": "raw"})
        )
        await orders.until(export, "progress")
        done = await orders.run("cancel", {"command": export.id})
        assert (done.state, done.result["state"]) == ("succeeded", "cancelled"), done
    finally:
        await transaction.rollback()
        await blocker.close()
    info = await nats_client.jetstream().stream_info("OBJ_exports")
    assert info.state.messages == 0


async def test_an_export_that_was_interrupted_is_whole_or_not_there(
    aggregator: AggregatorProcess, orders: Orders, migrated_database_url: str, nats_client: Client
) -> None:
    js = nats_client.jetstream()
    blocker = await asyncpg.connect(migrated_database_url)
    transaction = blocker.transaction()
    await transaction.start()
    await blocker.execute("LOCK TABLE flow IN ACCESS EXCLUSIVE MODE")
    try:
        span = {"from": 1_795_305_600_000, "to": 1_795_309_200_000, "tier": "raw"}
        export = await orders.send(make_command("export", span))
        await orders.until(export, "progress")
        aggregator.kill()
        # A piece that the dead one had sent.
        await js.publish(f"$O.exports.C.{export.id}", b"half a row")
        assert await files(js) == []
        aggregator.start()
        await aggregator.ready()
    finally:
        await transaction.rollback()
        await blocker.close()
    done = await orders.until(export)
    assert done.state == "succeeded", done
    assert await files(js) == [done.result["file"]]
    data = (await (await js.object_store("exports")).get(done.result["file"])).data
    assert data is not None
    assert (data.startswith(b"time,host,"), len(data)) == (True, done.result["bytes"])
    assert hashlib.sha256(data).hexdigest() == done.result["sha256"]


async def files(js: JetStreamContext) -> list[str | None]:
    """Names in the store."""
    try:
        return [each.name for each in await (await js.object_store("exports")).list()]
    except NotFoundError:
        return []

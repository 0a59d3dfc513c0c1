"""Parts go away at any moment; nothing is lost, nothing counts twice, and everything recovers by itself."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Callable

import asyncpg
import msgspec
import nats
import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import APIError

from netally.bus import streams
from netally.contracts.flow import FlowsObserved
from tests.aggregator_process import AggregatorProcess, publish
from tests.builders import make_batch, make_epoch, make_flow_record
from tests.services import NatsServer, PostgresServer, eventually

RECORDS = 100
BYTES = 1_500


def make_paced(count: int, records: int = RECORDS, host: str = "web-1") -> list[FlowsObserved]:
    newest = int(time.time()) // 5
    epoch = make_epoch()
    return [
        make_batch(
            [make_flow_record(bytes_in=BYTES)] * records,
            host=host,
            epoch=epoch,
            domains=[f"{number % 50}.example.org"],
            sequence=number,
            start=(newest - count + number - 1) * 5_000,
        )
        for number in range(1, count + 1)
    ]


@pytest.fixture
async def database_url(own_postgres_server: PostgresServer) -> str:
    return await own_postgres_server.create_database()


@pytest.fixture
async def aggregator(nats_server: NatsServer, database_url: str) -> AsyncIterator[AggregatorProcess]:
    process = AggregatorProcess(nats_server.url, database_url)
    process.start()
    await process.ready()
    yield process
    process.kill()


@pytest.fixture
def js(nats_client: Client) -> JetStreamContext:
    return nats_client.jetstream()


async def publish_until_stored(js: JetStreamContext, batches: list[FlowsObserved], pause: float = 0.0) -> None:
    """As the agent's spool does: in order, each again until the stream has it."""
    for batch in batches:

        async def stored(batch: FlowsObserved = batch) -> bool:
            await publish(js, batch)
            return True

        await eventually(stored, within=60)
        await asyncio.sleep(pause)


async def publish_until_refused(js: JetStreamContext, batches: list[FlowsObserved]) -> tuple[int, int | None]:
    """How many the stream took, and the code of its refusal; None when it took all."""
    for number, batch in enumerate(batches):
        try:
            await publish(js, batch)
        except APIError as error:
            return number, error.err_code
    return len(batches), None


async def holds(url: str, batches: list[FlowsObserved], within: float = 60) -> None:
    """Wait until the database has all of them; then check rows, bytes and coverage, to the row and byte."""

    async def all_there() -> bool:
        connection = await asyncpg.connect(url, timeout=5)
        try:
            return bool(await connection.fetchval("SELECT coalesce(sum(low_water), 0) FROM ledger") == len(batches))
        finally:
            await connection.close()

    await eventually(all_there, within=within, every=0.2)
    connection = await asyncpg.connect(url)
    try:
        rows = sum(len(batch.records) for batch in batches)
        assert await connection.fetchval("SELECT count(*) FROM flow") == rows
        assert await connection.fetchval("SELECT sum(bytes_in)::bigint FROM flow") == rows * BYTES
        assert await connection.fetchval("SELECT count(*) FROM coverage") == len(batches)
        assert await connection.fetchval("SELECT count(*) FROM ledger_ahead") == 0
        for table in ("host", "domain"):
            assert await connection.fetch(f"SELECT name FROM {table} GROUP BY 1 HAVING count(*) > 1") == []
    finally:
        await connection.close()


async def test_it_starts_first_says_what_it_waits_for_and_goes_on_when_it_is_there(
    nats_server: NatsServer, own_postgres_server: PostgresServer, database_url: str
) -> None:
    nats_server.stop()
    own_postgres_server.stop()
    aggregator = AggregatorProcess(nats_server.url, database_url.replace("postgres@", "postgres:s3cret@"))
    aggregator.start()
    try:

        async def says_both() -> bool:
            missing = await aggregator.waiting_for()
            assert "cannot reach the database" in missing["database"]
            assert "cannot reach NATS" in missing["bus"]
            assert "s3cret" not in str(missing)
            return True

        await eventually(says_both)
        await asyncio.to_thread(nats_server.start)
        await asyncio.to_thread(own_postgres_server.start)
        await aggregator.ready()
    finally:
        aggregator.kill()


async def test_told_to_stop_while_it_waits_it_stops(nats_server: NatsServer, database_url: str) -> None:
    nats_server.stop()
    aggregator = AggregatorProcess(nats_server.url, database_url)
    aggregator.start()
    try:

        async def waits() -> bool:
            return "bus" in await aggregator.waiting_for()

        await eventually(waits)
        assert await aggregator.stop(within=10) == 0
    finally:
        aggregator.kill()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["stopped", "killed"])
async def test_the_database_goes_away_under_traffic(
    js: JetStreamContext,
    aggregator: AggregatorProcess,
    own_postgres_server: PostgresServer,
    database_url: str,
    how: signal.Signals,
) -> None:
    batches = make_paced(200)
    publishing = asyncio.create_task(publish_until_stored(js, batches, pause=0.02))
    await asyncio.sleep(1)
    away: Callable[[], None] = own_postgres_server.kill if how is signal.SIGKILL else own_postgres_server.stop
    await asyncio.to_thread(away)

    async def says_so() -> bool:
        return "database" in await aggregator.waiting_for()

    await eventually(says_so)
    await publishing
    await asyncio.to_thread(own_postgres_server.start)
    await holds(database_url, batches)
    await aggregator.ready()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
async def test_the_bus_goes_away_under_traffic(
    js: JetStreamContext, aggregator: AggregatorProcess, nats_server: NatsServer, database_url: str, how: signal.Signals
) -> None:
    batches = make_paced(200)
    publishing = asyncio.create_task(publish_until_stored(js, batches, pause=0.02))
    await asyncio.sleep(1)
    await asyncio.to_thread(nats_server.stop, how)

    async def says_so() -> bool:
        return "bus" in await aggregator.waiting_for()

    await eventually(says_so)
    await asyncio.to_thread(nats_server.start)
    await publishing
    await holds(database_url, batches)
    await aggregator.ready()


async def test_a_durable_or_stream_that_is_deleted_comes_back(
    js: JetStreamContext, aggregator: AggregatorProcess, database_url: str
) -> None:
    batches = make_paced(30)
    await publish_until_stored(js, batches[:10])
    await holds(database_url, batches[:10])
    await js.delete_consumer(streams.FLOWS, streams.AGGREGATOR)
    await publish_until_stored(js, batches[10:20])
    await holds(database_url, batches[:20])
    await js.delete_stream(streams.FLOWS)
    await publish_until_stored(js, batches[20:])
    await holds(database_url, batches)


async def test_a_full_stream_refuses_and_takes_more_when_it_is_drained(
    js: JetStreamContext, aggregator: AggregatorProcess, own_postgres_server: PostgresServer, database_url: str
) -> None:
    config = (await js.stream_info(streams.FLOWS)).config
    await js.update_stream(config.evolve(max_bytes=256 * 1024))
    chance = random.Random(1)
    await asyncio.to_thread(own_postgres_server.stop)
    # Addresses that do not compress.
    batches = [
        msgspec.structs.replace(
            batch, records=[msgspec.structs.replace(record, remote=chance.randbytes(16)) for record in batch.records]
        )
        for batch in make_paced(500)
    ]
    sent, code = await publish_until_refused(js, batches)
    assert code == 10_077
    assert 50 < sent < 500
    await asyncio.to_thread(own_postgres_server.start)
    await publish_until_stored(js, batches[sent:])
    await holds(database_url, batches)


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_killed_twenty_times_it_stores_every_record_once(nats_server: NatsServer, database_url: str) -> None:
    chance = random.Random()
    batches = make_paced(600)
    client = await nats.connect(nats_server.url)
    aggregator = AggregatorProcess(nats_server.url, database_url)
    aggregator.start()
    await aggregator.ready()
    publishing = asyncio.create_task(publish_until_stored(client.jetstream(), batches, pause=0.06))
    try:
        for _ in range(20):
            await asyncio.sleep(chance.uniform(0.1, 1.2))
            aggregator.kill()
            aggregator.start()
            # Most kills shall hit it at work, so it is waited for, and then not for long.
            await aggregator.ready()
        await publishing
        await holds(database_url, batches)
    finally:
        publishing.cancel()
        aggregator.kill()
        await client.close()

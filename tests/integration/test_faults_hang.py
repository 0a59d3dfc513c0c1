"""A database that neither answers nor closes its connections holds up neither the probes nor a stop."""

from __future__ import annotations

import asyncio
import time

import pytest
from nats.aio.client import Client

from tests.aggregator_process import AggregatorProcess, publish
from tests.builders import make_batch, make_flow_record
from tests.services import NatsServer, PostgresServer, eventually
from tests.stored_figures import holds_exactly

TIMEOUT = 2


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_database_that_hangs_is_said_to_and_holds_up_no_stop(
    nats_server: NatsServer, nats_client: Client, own_postgres_server: PostgresServer
) -> None:
    url = await own_postgres_server.create_database()
    settings = {"NETALLY_DATABASE_TIMEOUT_SECONDS": str(TIMEOUT)}
    aggregator = AggregatorProcess(nats_server.url, url, **settings)
    aggregator.start()
    js = nats_client.jetstream()
    newest = int(time.time()) // 5 * 5_000
    batches = [
        make_batch([make_flow_record()] * 50, sequence=number, start=newest - (60 - number) * 5_000)
        for number in range(1, 31)
    ]
    try:
        await aggregator.ready()
        for batch in batches[:10]:
            await publish(js, batch)
        await holds_exactly(url, batches[:10])

        await asyncio.to_thread(own_postgres_server.hang)
        for batch in batches[10:20]:
            await publish(js, batch)

        async def says_so() -> bool:
            began = time.monotonic()
            missing = await aggregator.waiting_for()
            assert time.monotonic() - began < 1
            return "does not answer" in missing.get("database", "")

        await eventually(says_so, within=30)
        await asyncio.to_thread(own_postgres_server.wake)
        await holds_exactly(url, batches[:20])
        await aggregator.ready()

        await asyncio.to_thread(own_postgres_server.hang)
        for batch in batches[20:]:
            await publish(js, batch)
        await eventually(says_so, within=30)
        assert await aggregator.stop(within=30) == 0
        await asyncio.to_thread(own_postgres_server.wake)
        aggregator.start()
        await holds_exactly(url, batches)
    finally:
        own_postgres_server.wake()
        aggregator.kill()

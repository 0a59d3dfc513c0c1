"""The database is away for long: the stream fills, agents spool, and everything drains in order when it is back, by as
many aggregators as there are.
"""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import asyncpg
import pytest
from nats.aio.client import Client

from netally.bus import streams
from netally.contracts.flow import FlowsObserved
from tests.aggregator_process import AggregatorProcess
from tests.builders import make_batch, make_flow_record
from tests.capture_spool import spooling_agent
from tests.services import NatsServer, PostgresServer, eventually
from tests.stored_figures import holds_exactly

KIB = 1024


def make_hour(host: str) -> list[FlowsObserved]:
    """An hour of intervals that end now; addresses that do not compress."""
    chance = random.Random(host)
    newest = int(time.time()) // 5 * 5_000
    return [
        make_batch(
            [make_flow_record(remote=chance.randbytes(16), bytes_in=chance.randrange(10**9)) for _ in range(100)],
            host=host,
            domains=[f"{number % 60}.example.org"],
            start=newest - (720 - number) * 5_000,
        )
        for number in range(720)
    ]


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_an_hour_without_database_fills_stream_and_spools_and_drains_in_order(
    nats_server: NatsServer, nats_client: Client, own_postgres_server: PostgresServer, tmp_path: Path
) -> None:
    url = await own_postgres_server.create_database()
    aggregators = [AggregatorProcess(nats_server.url, url) for _ in range(4)]
    js = nats_client.jetstream()
    one, two = make_hour("one"), make_hour("two")
    complete: dict[str, list[int]] = {"one": [], "two": []}
    try:
        for aggregator in aggregators[:2]:
            aggregator.start()
            await aggregator.ready()
        config = (await js.stream_info(streams.FLOWS)).config
        await js.update_stream(config.evolve(max_bytes=512 * KIB))
        await asyncio.to_thread(own_postgres_server.stop)
        async with (
            spooling_agent(nats_server.url, tmp_path / "one.db") as first,
            spooling_agent(nats_server.url, tmp_path / "two.db") as second,
        ):
            for batch, other in zip(one, two, strict=True):
                assert await first.observe([batch]) == await second.observe([other]) == 1

            async def full() -> bool:
                return all("the bus is full" in agent.publisher.problem for agent in (first, second))

            await eventually(full, within=30)
            assert (await js.stream_info(streams.FLOWS)).state.bytes <= 512 * KIB
            assert first.spool.batches + second.spool.batches > 500
            await asyncio.to_thread(own_postgres_server.start)
            # Two more help: totals stay exact, and no name is made twice.
            for aggregator in aggregators[2:]:
                aggregator.start()
            watcher = await asyncpg.connect(url)

            async def drained() -> bool:
                for row in await watcher.fetch(
                    """SELECT name, extract(epoch FROM max(complete_until))::bigint * 1000 AS until
                       FROM ledger JOIN host ON host.id = host_id WHERE complete_until IS NOT NULL GROUP BY name"""
                ):
                    complete[row["name"]].append(row["until"])
                return first.spool.batches + second.spool.batches == 0

            await eventually(drained, within=90)
            await watcher.close()
            await holds_exactly(url, [*one, *two])
            assert first.spool.lost_batches == second.spool.lost_batches == 0
        for untils in complete.values():
            # What is complete only grows, and it grew on the way: oldest first, not the newest before the oldest.
            assert untils == sorted(untils)
            assert len(set(untils)) > 2
        for aggregator in aggregators:
            await aggregator.ready()
        taken = [
            await aggregator.counter('netally_aggregator_batches_total{outcome="committed"}')
            for aggregator in aggregators
        ]
        assert sum(taken) == len(one) + len(two)
        assert sum(count > 0 for count in taken) >= 2
    finally:
        for aggregator in aggregators:
            aggregator.kill()

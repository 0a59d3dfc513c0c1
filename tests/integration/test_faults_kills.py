"""Whatever is killed, in whatever order, under steady traffic: every row and byte arrives, once."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import pytest

from netally.contracts.flow import FlowsObserved
from tests.aggregator_process import AggregatorProcess
from tests.builders import make_batch, make_flow_record
from tests.capture_spool import SpoolingAgent, spooling_agent
from tests.services import NatsServer, PostgresServer
from tests.stored_figures import holds_exactly

SECONDS = 60
HOSTS = 4
FLOWS = 200
RATE = 3_200
"""Flows a second over all hosts."""


async def ingest(agents: list[SpoolingAgent], chance: random.Random) -> list[FlowsObserved]:
    """`SECONDS` of traffic, on schedule whatever happens; all batches that the agents took over."""
    made: list[FlowsObserved] = []
    began = time.monotonic()
    newest = int(time.time()) // 5 * 5_000
    count = SECONDS * RATE // (FLOWS * HOSTS)
    for number in range(count):
        for host, agent in enumerate(agents):
            batch = make_batch(
                [make_flow_record(bytes_in=chance.randrange(10**6), domain=1 + n % 2) for n in range(FLOWS)],
                host=f"host-{host}",
                domains=[f"{number % 90}.example.org", f"{number}.host-{host}.example.net"],
                start=newest - (count - number) * 5_000,
            )
            assert await agent.observe([batch]) == 1
            made.append(batch)
        await asyncio.sleep(max(0.0, began + (number + 1) * FLOWS * HOSTS / RATE - time.monotonic()))
    took = time.monotonic() - began
    assert len(made) * FLOWS / took >= 3_000, f"only {len(made) * FLOWS / took:.0f} flows/s were made"
    return made


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_random_kills_of_everything_lose_and_double_nothing(
    nats_server: NatsServer, own_postgres_server: PostgresServer, tmp_path: Path
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    url = await own_postgres_server.create_database()
    aggregator = AggregatorProcess(nats_server.url, url)
    aggregator.start()
    await aggregator.ready()

    victims: dict[str, NatsServer | PostgresServer | AggregatorProcess] = {
        "aggregator": aggregator,
        "bus": nats_server,
        "database": own_postgres_server,
    }
    kills: list[str] = []
    try:
        async with (
            spooling_agent(nats_server.url, tmp_path / "0.db") as one,
            spooling_agent(nats_server.url, tmp_path / "1.db") as two,
            spooling_agent(nats_server.url, tmp_path / "2.db") as three,
            spooling_agent(nats_server.url, tmp_path / "3.db") as four,
        ):
            ingesting = asyncio.create_task(ingest([one, two, three, four], chance))
            while not ingesting.done():
                await asyncio.sleep(chance.uniform(0.5, 3))
                victim = chance.choice(sorted(victims))
                await asyncio.to_thread(victims[victim].kill)
                await asyncio.sleep(chance.uniform(0, 2))
                await asyncio.to_thread(victims[victim].start)
                kills.append(victim)
            batches = await ingesting
            assert set(kills) == set(victims), kills
            await holds_exactly(url, batches, within=90)
            assert [agent.spool.batches for agent in (one, two, three, four)] == [0] * 4
            assert [agent.spool.lost_batches for agent in (one, two, three, four)] == [0] * 4
        await aggregator.ready()
    finally:
        aggregator.kill()

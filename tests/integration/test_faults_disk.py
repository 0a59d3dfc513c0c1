"""Full disks of database, stream and spool: said in plain words, nothing crashes, losses are counted, and what was
held back arrives when there is space again. The disks are small tmpfs mounts.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from netally.contracts.flow import FlowsObserved
from tests.aggregator_process import AggregatorProcess
from tests.builders import make_batch, make_flow_record
from tests.capture_spool import SpoolingAgent, spooling_agent
from tests.services import NatsServer, PostgresServer, eventually
from tests.stored_figures import holds_exactly

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(180)]

MIB = 1024**2
Disk = Callable[[Path, int], None]
"""Makes a folder a disk of so many bytes, or gives that disk another size."""


@pytest.fixture
def disk() -> Iterator[Disk]:
    mounted: list[Path] = []

    def resize(path: Path, size: int) -> None:
        options = f"size={size}" + (",remount" if path in mounted else "")
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], check=True)
        mounted.append(path)

    yield resize
    for path in set(mounted):
        subprocess.run(["umount", "--lazy", path], check=True)


def make_large(count: int, first: int = 1) -> list[FlowsObserved]:
    """Batches of about 40 kB each, which no compression makes much smaller."""
    chance = random.Random(first)
    newest = int(time.time()) // 5 * 5_000
    return [
        make_batch(
            [
                make_flow_record(remote=chance.randbytes(16), bytes_in=chance.randrange(2**40), bytes_out=7)
                for _ in range(1_000)
            ],
            start=newest - (720 - number) * 5_000,
        )
        for number in range(first, first + count)
    ]


async def observe(agent: SpoolingAgent, batches: list[FlowsObserved]) -> None:
    for batch in batches:
        assert await agent.observe([batch]) == 1


async def test_the_disk_of_the_database(
    nats_server: NatsServer, own_postgres_server: PostgresServer, tmp_path: Path, disk: Disk
) -> None:
    small = own_postgres_server.directory / "small"
    small.mkdir()
    disk(small, 20 * MIB)
    entry = pwd.getpwnam("nobody")
    os.chown(small, entry.pw_uid, entry.pw_gid)
    connection = await asyncpg.connect(own_postgres_server.url("postgres"))
    await connection.execute(f"CREATE TABLESPACE small LOCATION '{small}'")
    await connection.execute("CREATE DATABASE small TABLESPACE small")
    await connection.close()
    url = own_postgres_server.url("small")
    aggregator = AggregatorProcess(nats_server.url, url)
    aggregator.start()
    try:
        await aggregator.ready()
        pid = aggregator.pid
        async with spooling_agent(nats_server.url, tmp_path / "spool.db") as agent:
            batches = make_large(120)
            await observe(agent, batches)

            async def says_so() -> bool:
                return "is full: free space there" in (await aggregator.waiting_for()).get("database", "")

            await eventually(says_so, within=60)
            # It waits; it neither ends nor turns the batches into dead letters.
            await asyncio.sleep(3)
            assert (aggregator.exit_code(), aggregator.pid) == (None, pid)
            assert await aggregator.counter('netally_aggregator_batches_total{outcome="dead_letter"}') == 0
            disk(small, 400 * MIB)
            await holds_exactly(url, batches)
            await aggregator.ready()
    finally:
        aggregator.kill()
        own_postgres_server.stop()


async def test_the_disk_of_the_stream(own_postgres_server: PostgresServer, tmp_path: Path, disk: Disk) -> None:
    small = tmp_path / "nats"
    small.mkdir()
    disk(small, 3 * MIB)
    bus = NatsServer(small)
    await asyncio.to_thread(bus.start)
    url = await own_postgres_server.create_database()
    aggregator = AggregatorProcess(bus.url, url, NETALLY_NATS_MONITOR_URL=f"http://127.0.0.1:{bus.monitor}")
    aggregator.start()
    try:
        await aggregator.ready()
        async with spooling_agent(bus.url, tmp_path / "spool.db") as agent:
            # The database is away, so that what is sent stays in the stream.
            await asyncio.to_thread(own_postgres_server.stop)
            batches = make_large(300)
            await observe(agent, batches)

            async def agent_says_so() -> bool:
                return "disk was full" in agent.publisher.problem

            await eventually(agent_says_so, within=30)
            assert agent.spool.batches > 50

            async def aggregator_says_so() -> bool:
                return "disk of NATS is full" in (await aggregator.waiting_for()).get("bus storage", "")

            await eventually(aggregator_says_so, within=10)
            disk(small, 200 * MIB)
            await asyncio.to_thread(own_postgres_server.start)

            # What the stream has does not wait for the rest.
            async def only_the_bus_is_missing() -> bool:
                return set(await aggregator.waiting_for()) == {"bus storage"}

            await eventually(only_the_bus_is_missing, within=40)
            # nats-server does not write to that stream again until it is started anew.
            await asyncio.to_thread(bus.stop)
            await asyncio.to_thread(bus.start)
            await holds_exactly(url, batches)
            await aggregator.ready()
            assert (agent.spool.batches, agent.spool.lost_batches) == (0, 0)
            assert aggregator.exit_code() is None
    finally:
        aggregator.kill()
        bus.stop()


async def test_the_disk_of_the_spool(
    nats_server: NatsServer, own_postgres_server: PostgresServer, tmp_path: Path, disk: Disk
) -> None:
    small = tmp_path / "spool"
    small.mkdir()
    disk(small, 2 * MIB)
    url = await own_postgres_server.create_database()
    # The bus is away: everything stays in the spool.
    await asyncio.to_thread(nats_server.stop)
    aggregator = AggregatorProcess(nats_server.url, url)
    try:
        async with spooling_agent(nats_server.url, small / "spool.db") as agent:
            batches = make_large(80)
            kept = [batch for batch in batches if await agent.observe([batch])]
            lost = len(batches) - len(kept)
            assert 0 < len(kept) < len(batches)
            assert agent.spool.lost_batches == lost
            assert "disk is full" in agent.spool.problem
            disk(small, 64 * MIB)
            more = make_large(10, first=len(batches) + 1)
            await observe(agent, more)
            assert (agent.spool.problem, agent.spool.lost_batches) == ("", lost)
            await asyncio.to_thread(nats_server.start)
            aggregator.start()
            await holds_exactly(url, [*kept, *more])
    finally:
        aggregator.kill()

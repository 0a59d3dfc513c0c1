"""The steps of docs/operating.md, "Backup and restore", on real servers: what comes back is what was there."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from pathlib import Path

import asyncpg
import nats

from netally.bus import streams
from netally.contracts.flow import FlowsObserved
from netally.store.database import open_pool
from netally.store.migrate import migrate
from netally.store.rollups import exclusive, refresh_outstanding
from netally.store.tiers import DAY, HOUR, MINUTE
from tests.aggregator_process import AggregatorProcess, publish
from tests.builders import make_batch, make_flow_record
from tests.history_model import RELATIONS, CoverageRow, FlowRow, History, differences, stored
from tests.services import NatsServer, PostgresServer, postgres_binaries
from tests.stored_figures import figures_of, holds_exactly, stored_figures
from tests.timescale.fixtures import ZONE, HistoryDatabases
from tests.timescale.server import TimescaleServer


def batches(host: str, count: int) -> list[FlowsObserved]:
    newest = int(time.time()) // 5 * 5_000
    return [
        make_batch(
            [make_flow_record(bytes_in=100 + number)] * 3,
            host=host,
            sequence=number,
            start=newest - (count - number + 1) * 5_000,
            epoch=host.encode().hex().ljust(32, "0")[:32],
        )
        for number in range(1, count + 1)
    ]


async def run(*command: str | Path) -> None:
    await asyncio.to_thread(subprocess.run, command, check=True)


async def test_a_dumped_database_goes_on_where_it_was(
    nats_server: NatsServer, postgres_server: PostgresServer, empty_database_url: str, tmp_path: Path
) -> None:
    client = await nats.connect(nats_server.url)
    aggregator = AggregatorProcess(nats_server.url, empty_database_url)
    aggregator.start()
    await aggregator.ready()
    first = batches("web-1", 20)
    for batch in first:
        await publish(client.jetstream(), batch)
    await holds_exactly(empty_database_url, first)
    tools = postgres_binaries()
    dump = tmp_path / "netally.dump"
    await run(tools / "pg_dump", "--format=custom", f"--file={dump}", empty_database_url)
    aggregator.kill()

    restored = await postgres_server.create_database()
    await run(tools / "pg_restore", "--no-owner", "--exit-on-error", f"--dbname={restored}", dump)
    assert await stored_figures(restored) == figures_of(first)
    # The ledger came with it: what agents send again counts once, and what is new goes on.
    aggregator = AggregatorProcess(nats_server.url, restored)
    aggregator.start()
    await aggregator.ready()
    more = batches("web-1", 25)[20:]
    for batch in [*first[10:], *more]:
        # As the agent sends it again after the bus has forgotten its message id.
        await publish(client.jetstream(), batch, message_id=f"again-{batch.sequence}")
    await holds_exactly(restored, [*first, *more])
    aggregator.kill()
    await client.close()
    await postgres_server.drop_database(restored)


async def test_a_dumped_timescaledb_goes_on_where_it_was(timescale_server: TimescaleServer, tmp_path: Path) -> None:
    tools, dump, now = postgres_binaries(), tmp_path / "netally.dump", int(time.time() * 1000)
    history = History(ZONE)
    times = [now // MINUTE * MINUTE - back for back in (0, 7 * MINUTE, 5 * HOUR, DAY + HOUR)]
    async with HistoryDatabases(timescale_server).url() as url:
        pool = await open_pool(HistoryDatabases.settings(url), "tests")
        await pool.execute("INSERT INTO host (name) VALUES ('a')")
        flows = [FlowRow(at, app_id=app, bytes_in=at // 1000) for at in times for app in (0, 1)]
        await history.write(pool, "timescaledb", flows, [CoverageRow(at) for at in times])
        await refresh(pool, now)
        before = {relation: await stored(pool, relation) for relation in RELATIONS}
        await pool.close()
        await run(tools / "pg_dump", "--format=custom", f"--file={dump}", url)

    restored = await timescale_server.create_database()
    await say(restored, "CREATE EXTENSION IF NOT EXISTS timescaledb", "SELECT timescaledb_pre_restore()")
    await run(tools / "pg_restore", "--no-owner", "--exit-on-error", f"--dbname={restored}", dump)
    # The engine of the tests has one session for all who connect: pg_restore leaves it without a search path.
    await say(restored, "SET search_path TO public", "SELECT timescaledb_post_restore()")
    pool = await open_pool(HistoryDatabases.settings(restored), "tests")
    try:
        assert {relation: await stored(pool, relation) for relation in RELATIONS} == before
        # It goes on: new rows, in hypertables and rollups, and no migration is missing.
        assert (await migrate(HistoryDatabases.settings(restored))).backend == "timescaledb"
        await history.write(pool, "timescaledb", [FlowRow(times[1])], [CoverageRow(times[1])])
        await refresh(pool, now + HOUR)
        assert await differences(pool, history) == {}
    finally:
        await pool.close()
        await timescale_server.drop_database(restored)


async def refresh(pool: asyncpg.Pool, now: int) -> None:
    async with exclusive(pool) as connection:
        assert connection is not None
        await refresh_outstanding(connection, now, ZONE)


async def say(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url, statement_cache_size=0)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


async def test_the_store_of_the_bus_is_copied_with_what_waits_in_it(nats_server: NatsServer, tmp_path: Path) -> None:
    client = await nats.connect(nats_server.url)
    await streams.provision(client.jetstream(), flows_max_bytes=64 * streams.MIB)
    for batch in batches("web-1", 30):
        await publish(client.jetstream(), batch)
    await client.close()
    nats_server.stop()
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(nats_server.directory / "store", elsewhere / "store")

    copy = NatsServer(elsewhere)
    await asyncio.to_thread(copy.start)
    client = await nats.connect(copy.url)
    js = client.jetstream()
    assert (await js.stream_info(streams.FLOWS)).state.messages == 30
    assert (await js.consumer_info(streams.FLOWS, streams.AGGREGATOR)).num_pending == 30
    await client.close()
    copy.stop()

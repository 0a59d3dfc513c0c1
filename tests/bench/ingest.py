"""Flows a second into the database through the real bus and aggregator process, against a bare COPY.

Workload: batches of 500 flows of 20 hosts, 60 applications and 2,000 domains in Zipf order, 20 % IPv6. Twice: published
as fast as the bus takes them, from the first publish to the last commit, with publisher and bus on the same cores; and
waiting in the bus already, as after an outage, from the moment the aggregator may go on to the last commit. In both it
maintains the history meanwhile. The first 200 batches are not timed: they make names known and open connections.

The peer is one COPY of the same rows in one transaction, ready as tuples, into a table without index, partition, ledger
or bus, on the same server and with the same codecs: asyncpg encodes them, one process sends, one backend writes.
Decoding, names, bus, ledger, checks, commits and rollups are on our side only. The second peer has nothing left to
encode: it is what the server can take. All take turns on fresh servers within one run.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg
import msgspec
import nats

from netally.aggregator import rows
from netally.bus import subjects
from netally.contracts.flow import App, FlowRecord, FlowsObserved
from netally.contracts.wire import ENCODING_HEADER, ZSTD, encode_batch
from netally.store import tables
from netally.store.database import DatabaseSettings, open_pool
from tests.bench.databases import CreateDatabase, database_server
from tests.builders import make_batch, make_flow_record
from tests.services import NatsServer, eventually, free_port

HOSTS = 20
BATCHES = 1_200
FLOWS = 500
WINDOW = 64
WARM_UP = 200
"""Batches that are committed before the time begins: names are known then, connections open."""


def make_workload(seed: int = 7, batches: int = BATCHES) -> list[FlowsObserved]:
    """Batches in the order they are published; each host's sequences count from 1, times end now."""
    chance = random.Random(seed)
    apps = [App(name=f"app-{n}", executable=f"/usr/bin/app-{n}", user="ada") for n in range(60)]
    domains = [f"host-{n}.example.org" for n in range(2_000)]
    addresses = [chance.randbytes(16 if n % 5 == 0 else 4) for n in range(5_000)]

    def zipf(size: int) -> int:
        return min(int(size ** chance.random()) - 1, size - 1)

    def record(table: dict[str, int]) -> FlowRecord:
        domain = table.setdefault(domains[zipf(len(domains))], len(table) + 1)
        return make_flow_record(
            app=1 + zipf(len(apps)),
            domain=domain,
            remote=addresses[zipf(len(addresses))],
            bytes_in=chance.randrange(40, 200_000),
            bytes_out=chance.randrange(40, 20_000),
            packets_in=chance.randrange(1, 200),
            packets_out=chance.randrange(1, 100),
            server_port=chance.choice((443, 443, 443, 80, 53, 22)),
        )

    made = []
    newest = int(time.time()) // 5 * 5_000
    for number in range(batches):
        table: dict[str, int] = {}
        records = [record(table) for _ in range(FLOWS)]
        sequence = number // HOSTS + 1
        made.append(
            make_batch(
                records,
                apps=apps,
                domains=list(table),
                host=f"host-{number % HOSTS}",
                epoch=f"{number % HOSTS:032x}",
                sequence=sequence,
                start=newest - (batches // HOSTS - sequence) * 5_000,
            )
        )
    return made


@asynccontextmanager
async def servers() -> AsyncIterator[tuple[NatsServer, CreateDatabase]]:
    """A bus of the bench's own, and where databases are made."""
    with tempfile.TemporaryDirectory(prefix="netally-bench-") as directory:
        bus = NatsServer(Path(directory))
        async with database_server() as create_database:
            try:
                await asyncio.to_thread(bus.start)
                yield bus, create_database
            finally:
                bus.stop()


async def bare_copies(url: str, workload: list[FlowsObserved]) -> dict[str, float]:
    """Flows a second of one COPY: of ready tuples, which asyncpg encodes, and of ready bytes: the server's limit."""
    pool = await open_pool(DatabaseSettings(url), "bench")
    try:
        await pool.execute(
            "CREATE TABLE bare AS SELECT 'epoch'::timestamptz AS time, 0 AS host_id, 0 AS app_id, 0 AS domain_id, "
            "0 AS site_id, 0::smallint AS scope, 0::smallint AS protocol, 0 AS server_port, 0::smallint AS role, "
            "inet '::' AS remote, 0::bigint AS bytes_in, 0::bigint AS bytes_out, 0::bigint AS packets_in, "
            "0::bigint AS packets_out, 0::bigint AS retrans, 0 AS connections, 0::smallint AS domain_source, "
            "0::smallint AS process_source, 'epoch'::timestamptz AS received_at WITH NO DATA"
        )
        table = tables.FLOW._replace(name="bare")
        ids = range(2_001)
        tuples = [
            (batch.start, 1, *msgspec.structs.astuple(record)[:-1], batch.start)
            for batch in workload
            for record in batch.records
        ]
        # The contract has retrans last, the table has it before connections.
        tuples = [(*row[:14], None, *row[14:]) for row in tuples]
        images = [rows.flow_image(batch, batch.start, 1, ids, ids, batch.start) for batch in workload]
        async with pool.acquire() as connection:
            began = time.perf_counter()
            count = await tables.copy(connection, table, tuples)
            between = time.perf_counter()
            await tables.copy_image(connection, rows.IMAGE._replace(name="bare"), images)
            ended = time.perf_counter()
        return {"tuples": count / (between - began), "bytes": count / (ended - between)}
    finally:
        await pool.close()


async def publish_to_committed(
    bus: NatsServer, url: str, workload: list[FlowsObserved], aggregators: int = 1, *, waiting: bool = False
) -> dict[str, float]:
    """Flows a second from the first publish to the last commit, and what the first aggregator cost. With ``waiting``
    the aggregators stand still until all is published, and the time begins when they may go on.
    """
    ports = [free_port() for _ in range(aggregators)]
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "netally.aggregator"),
            env={
                **os.environ,
                "NETALLY_NATS_URL": bus.url,
                "NETALLY_DATABASE_URL": url,
                "NETALLY_AGGREGATOR_PORT": str(port),
                "NETALLY_LOG_LEVEL": "error",
            },
        )
        for port in ports
    ]
    process = processes[0]
    client = await nats.connect(bus.url)
    try:
        js = client.jetstream(publish_async_max_pending=WINDOW)

        async def consumer_is_there() -> Any:
            return await js.consumer_info("FLOWS", "aggregator")

        await eventually(consumer_is_there, within=30)
        for port in ports:
            await eventually(lambda port=port: _is_ready(port), within=30)  # type: ignore[misc]
        messages = [(subjects.flows(batch.host), encode_batch(batch)) for batch in workload]
        total = sum(len(batch.records) for batch in workload[WARM_UP:])
        watcher = await asyncpg.connect(url)

        async def publish(first: int, last: int) -> None:
            for number, (subject, body) in enumerate(messages[first:last], first):
                await js.publish_async(
                    subject, body, headers={ENCODING_HEADER: ZSTD, "Nats-Msg-Id": str(number)}, wait_stall=30
                )
            await js.publish_async_completed()

        async def committed(count: int) -> None:
            async def all_committed() -> bool:
                return bool(await watcher.fetchval("SELECT coalesce(sum(low_water), 0) FROM ledger") == count)

            await eventually(all_committed, within=120, every=0.02)

        await publish(0, WARM_UP)
        await committed(WARM_UP)
        cpu = _cpu_seconds(process.pid)
        if waiting:
            for one in processes:
                one.send_signal(signal.SIGSTOP)
        began = time.perf_counter()
        await publish(WARM_UP, len(messages))
        published = time.perf_counter() - began
        if waiting:
            began = time.perf_counter()
            for one in processes:
                one.send_signal(signal.SIGCONT)
        await committed(len(messages))
        seconds = time.perf_counter() - began
        cpu = _cpu_seconds(process.pid) - cpu
        assert await watcher.fetchval("SELECT count(*) FROM flow") == sum(len(batch.records) for batch in workload)
        await watcher.close()
        return {
            "rate": total / seconds,
            "published": total / published,
            "cpu": cpu / total * 1e6,
            "rss": _rss(process.pid),
        }
    finally:
        await client.close()
        for one in processes:
            one.send_signal(signal.SIGCONT)
            one.terminate()
        for one in processes:
            await one.wait()


async def _is_ready(port: int) -> bool:
    def ask() -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)

    return await asyncio.to_thread(ask)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


async def measure() -> list[dict[str, Any]]:
    """Lines of the bench table: name, value, unit, against, ratio, workload."""
    workload = make_workload()
    bare: dict[str, list[float]] = {"tuples": [], "bytes": []}
    ours: dict[int, list[dict[str, float]]] = {1: [], 2: [], 4: []}
    backlog: list[float] = []
    # In turns, so that what else the machine does weighs on all alike.
    for aggregators in (1, 2, 1, 4, 1):
        async with servers() as (bus, create_database):
            for name, rate in (await bare_copies(await create_database(), workload)).items():
                bare[name].append(rate)
            url = await create_database()
            ours[aggregators].append(await publish_to_committed(bus, url, workload, aggregators))
        if aggregators == 1:
            async with servers() as (bus, create_database):
                found = await publish_to_committed(bus, await create_database(), workload, waiting=True)
                backlog.append(found["rate"])
    tuples, ready, drained = median(bare["tuples"]), median(bare["bytes"]), median(backlog)
    rates = {aggregators: median(run["rate"] for run in runs) for aggregators, runs in ours.items()}
    about = f"{len(workload)} batches of {FLOWS} flows, {HOSTS} hosts, one aggregator, medians of three rounds"

    def line(
        name: str, value: float, unit: str, against: str | None = None, ratio: float | None = None
    ) -> dict[str, Any]:
        return {
            "name": f"ingest: {name}",
            "value": value,
            "unit": unit,
            "against": against,
            "ratio": None if ratio is None else round(ratio, 3),
            "workload": about,
        }

    return [
        line(
            "publish to committed",
            round(rates[1]),
            "flows/s",
            f"bare COPY of the same rows, ready tuples, {round(tuples)} flows/s; wanted: 0.6",
            rates[1] / tuples,
        ),
        line(
            "waiting in the bus to committed",
            round(drained),
            "flows/s",
            f"the same bare COPY, {round(tuples)} flows/s; wanted: 0.6",
            drained / tuples,
        ),
        line(
            "bare COPY of ready bytes",
            round(ready),
            "flows/s",
            "publish to committed reaches this share of it",
            rates[1] / ready,
        ),
        *(
            line(
                f"{aggregators} aggregators", round(rates[aggregators]), "flows/s", "one", rates[aggregators] / rates[1]
            )
            for aggregators in (2, 4)
        ),
        line("processor time of the aggregator", round(median(run["cpu"] for run in ours[1]), 2), "us/flow"),
        line("most memory of the aggregator", round(max(run["rss"] for run in ours[1])), "MB"),
    ]

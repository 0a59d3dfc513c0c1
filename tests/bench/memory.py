"""Memory of each part of a running `netally up` under load, against the same part at rest.

Load: 100,000 flows of 20 hosts through bus, aggregator and database, then every table of the API 20 times, while the
agent captures the loopback interface, over which all this goes. A database named by NETALLY_BENCH_URL is not measured,
being no part of ours. Resident memory, the largest seen; PostgreSQL's is the
sum over its processes of their proportional share, so that shared buffers count once.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import psutil

from netally.bus import subjects
from netally.contracts.wire import ENCODING_HEADER, ZSTD, encode_batch
from tests.bench.databases import database_server
from tests.bench.ingest import FLOWS, make_workload
from tests.netally_up import Up
from tests.services import eventually

BATCHES = 200
TABLES = ("applications", "domains", "hosts", "stats/timeline")
ROUNDS = 20
MIB = 1024 * 1024


def memory(name: str, pid: int) -> float:
    """MiB of a part."""
    process = psutil.Process(pid)
    if name != "postgres":
        return float(process.memory_info().rss / MIB)
    total = 0
    for each in [process, *process.children(recursive=True)]:
        try:
            total += each.memory_full_info().pss
        except psutil.Error:  # a connection's process may end at any time
            continue
    return total / MIB


async def load(up: Up) -> None:
    client = await nats.connect((up.data / "nats-url").read_text().strip())
    try:
        js = client.jetstream()
        for batch in make_workload(batches=BATCHES):
            headers = {ENCODING_HEADER: ZSTD, "Nats-Msg-Id": f"{batch.epoch}:{batch.sequence}"}
            await js.publish(subjects.flows(batch.host), encode_batch(batch), headers=headers)

        async def all_committed() -> bool:
            info = await js.consumer_info("FLOWS", "aggregator")
            return not info.num_pending and not info.num_ack_pending

        await eventually(all_committed, within=120)
    finally:
        await client.close()
    for _ in range(ROUNDS):
        for table in TABLES:
            status, body = await asyncio.to_thread(up.get, f"/api/{table}?range=1h", token=up.token)
            assert status == 200, body
        status, page = await asyncio.to_thread(up.get, "/", token=up.token)
        assert status == 200, page


@asynccontextmanager
async def _data() -> AsyncIterator[tuple[Path, dict[str, str]]]:
    """A data directory, and what names the database: nothing for the embedded one."""
    with tempfile.TemporaryDirectory(prefix="netally-bench-") as directory:
        if os.environ.get("NETALLY_BENCH_URL"):
            async with database_server() as create_database:
                yield Path(directory) / "data", {"NETALLY_DATABASE_URL": await create_database()}
        else:
            yield Path(directory) / "data", {}


async def measure() -> list[dict[str, Any]]:
    """Lines of the bench table: name, value, unit, against, ratio, workload."""
    async with _data() as (data, environ):
        up = Up(data, **environ)
        await asyncio.to_thread(up.start)
        try:
            parts = up.parts()
            if up.process is not None:
                parts["supervisor"] = up.process.pid
            at_rest = {name: memory(name, pid) for name, pid in parts.items()}
            most = dict(at_rest)
            work = asyncio.create_task(load(up))
            while not work.done():
                for name, pid in parts.items():
                    most[name] = max(most[name], memory(name, pid))
                await asyncio.wait([work], timeout=0.2)
            work.result()
        finally:
            await asyncio.to_thread(up.close)
    return [
        {
            "name": f"memory: {name}",
            "value": round(most[name]),
            "unit": "MB",
            "against": f"at rest, {at_rest[name]:.0f} MB",
            "ratio": round(most[name] / at_rest[name], 2),
            "workload": f"{BATCHES * FLOWS:,} flows, {ROUNDS * len(TABLES)} queries, {ROUNDS} pages",
        }
        for name in sorted(parts)
    ]

"""An export takes no more memory for more rows: neither the aggregator nor the process that writes Parquet."""

from __future__ import annotations

import asyncio
import contextlib

import psutil
from nats.aio.client import Client

from tests.aggregator_process import AggregatorProcess
from tests.bench.export import HOUR, MIB, MOST_MIB, fill
from tests.builders import START
from tests.ordering import Orders, make_command

ROWS = 240_000
SMALL = 30 * 60_000
GROWTH = 32
"""MiB that may differ, by what the allocator keeps."""


async def peaks(orders: Orders, process: psutil.Process, to: int) -> tuple[int, dict[str, float]]:
    """Rows of an export as Parquet, and the largest resident memory seen meanwhile, MiB."""
    largest = {"aggregator": 0.0, "parquet": 0.0}

    async def watch() -> None:
        while True:
            with contextlib.suppress(psutil.Error):
                for child in process.children():
                    largest["parquet"] = max(largest["parquet"], child.memory_info().rss / MIB)
            largest["aggregator"] = max(largest["aggregator"], process.memory_info().rss / MIB)
            await asyncio.sleep(0.05)

    watching = asyncio.create_task(watch())
    span = {"from": START, "to": to, "tier": "raw", "format": "parquet"}
    done = await orders.until(await orders.send(make_command("export", span)), within=90)
    watching.cancel()
    assert done.state == "succeeded", done
    return done.result["rows"], largest


async def test_memory_does_not_grow_with_the_rows(
    aggregator: AggregatorProcess, orders: Orders, migrated_database_url: str, nats_client: Client
) -> None:
    await fill(migrated_database_url, START, ROWS)
    process = psutil.Process(aggregator.pid)
    few, small = await peaks(orders, process, START + SMALL)
    many, large = await peaks(orders, process, START + HOUR)
    assert (few, many) == (ROWS // 2, ROWS)
    for name, size in large.items():
        assert 0 < size < MOST_MIB, (name, size)
        assert size - small[name] < GROWTH, (name, small[name], size)

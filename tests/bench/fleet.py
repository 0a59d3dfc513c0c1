"""A fleet in real time: 1,000 simulated hosts through the real bus, aggregator and database; nothing lost, how far the
bus lags, what a flow row costs each of them, and what a connected agent that says nothing costs the bus.

Workload: `simulate --hosts 1000 --seed 7`: an interval of 5 s, about seven rows a batch (more on weekdays at noon), all
hosts at the same moment as real agents, whose clocks agree. ``NETALLY_BENCH_MINUTES`` makes it longer than half a
minute. The sender runs on the same cores, its cost is told apart.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import asyncpg
import nats
import psutil

from tests.aggregator_process import AggregatorProcess
from tests.bench.ingest import servers
from tests.services import NatsServer

HOSTS = 1_000
CONNECTIONS = 300


class Part:
    """CPU and memory of a program with its children, also those that ended."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)

    def cpu(self) -> float:
        """Seconds."""
        own = self._process.cpu_times()
        used = own.user + own.system + own.children_user + own.children_system
        return float(used) + sum(sum(child.cpu_times()[:2]) for child in self._process.children(recursive=True))

    def megabytes(self) -> float:
        """Resident; of PostgreSQL's processes what they do not share, and the shared once."""
        family = [self._process, *self._process.children(recursive=True)]
        return float(sum(one.memory_info().rss - one.memory_info().shared for one in family)) / 1e6 + float(
            max(one.memory_info().shared for one in family) / 1e6
        )


async def _connections(bus: NatsServer) -> tuple[float, float]:
    """Kilobytes and microseconds of CPU a second that a connection costs the server while nothing is said."""
    part = Part(bus.pid)
    before = part.megabytes()
    clients = [await nats.connect(bus.url) for _ in range(CONNECTIONS)]
    await asyncio.sleep(1)
    used, began = part.cpu(), time.monotonic()
    await asyncio.sleep(8)
    busy = (part.cpu() - used) / (time.monotonic() - began)
    grown = part.megabytes() - before
    await asyncio.gather(*(client.close() for client in clients))
    return grown * 1000 / CONNECTIONS, busy * 1e6 / CONNECTIONS


async def _simulate(url: str, minutes: float, kept: Path) -> tuple[dict[str, Any], float]:
    """Its summary and its CPU seconds."""
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "netally.capture", "simulate"),
        *("--hosts", str(HOSTS), "--minutes", str(minutes), "--seed", "7", "--summary", str(kept)),
        env={**os.environ, "NETALLY_NATS_URL": url},
        stdout=asyncio.subprocess.DEVNULL,
    )
    part, used = Part(running.pid), 0.0
    while running.returncode is None:
        used = part.cpu() if psutil.pid_exists(running.pid) else used
        try:
            await asyncio.wait_for(running.wait(), 1)
        except TimeoutError:
            continue
    return json.loads(kept.read_text("utf-8")), used


async def measure() -> list[dict[str, Any]]:
    """Lines of the bench table: name, value, unit, against, ratio, workload."""
    minutes = float(os.environ.get("NETALLY_BENCH_MINUTES") or 0.5)
    lines: list[dict[str, Any]] = []

    def line(name: str, value: float, unit: str, against: str = "") -> None:
        found = {"name": f"fleet {name}", "value": round(value, 2), "unit": unit, "against": against, "ratio": None}
        lines.append(found | {"workload": f"{HOSTS} hosts, {minutes:g} minutes, interval 5 s, two cores shared"})

    async with servers() as (bus, create):
        kilobytes, microseconds = await _connections(bus)
        url = await create()
        database = await asyncpg.connect(url)
        server = psutil.Process(await database.fetchval("SELECT pg_backend_pid()")).parent()
        aggregator = AggregatorProcess(
            bus.url, url, NETALLY_LOG_LEVEL="error", NETALLY_FLOWS_MAX_BYTES=str(1024**3), NETALLY_ACK_WAIT_SECONDS="30"
        )
        aggregator.start()
        try:
            assert server is not None
            await aggregator.ready()
            parts = {"nats": Part(bus.pid), "aggregator": Part(aggregator.pid), "PostgreSQL": Part(server.pid)}
            size = await database.fetchval("SELECT pg_database_size(current_database())")
            before = {name: part.cpu() for name, part in parts.items()}
            with tempfile.TemporaryDirectory() as directory:
                summary, sender = await _simulate(bus.url, minutes, Path(directory) / "summary.json")
            used = {name: part.cpu() - before[name] for name, part in parts.items()}
            seconds = (summary["end"] - summary["begin"]) / 1000
            stored = await database.fetchval("SELECT count(*) FROM flow")
            size = await database.fetchval("SELECT pg_database_size(current_database())") - size
            rows = max(summary["rows"], 1)
            line("rows sent", summary["rows"] / seconds, "rows/s")
            line("rows lost", summary["rows"] - stored, "rows", "aim 0")
            line("lag of the bus", summary["lag_seconds"], "s", "aim 5 s")
            line("most batches waiting", summary["lag_batches"], "batches")
            line("bytes on the bus", summary["bytes_sent"] / rows, "bytes/row")
            line("bytes in the database", size / rows, "bytes/row", "with indexes, ledger and minutes")
            for name, part in parts.items():
                line(f"CPU of {name}", used[name] * 1e6 / rows, "us/row")
                line(f"share of a core of {name}", used[name] / seconds * 100, "%")
                line(f"memory of {name}", part.megabytes(), "MB")
            line("share of a core of the sender", sender / seconds * 100, "%", "would be on the hosts")
            line("memory of a connection in nats", kilobytes, "kB")
            line("CPU of an idle connection in nats", microseconds, "us/s")
        finally:
            await database.close()
            await aggregator.stop()
    return lines

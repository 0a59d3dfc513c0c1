"""Export of raw flows: rows a second from the order to the downloaded file, and the memory of each process.

Workload: `ROWS` flows of one hour (NETALLY_BENCH_EXPORT_ROWS sets another number), 20 hosts, 60 applications, 2,000
domains, in the order in which they came, in each format. Aggregator, API, NATS and PostgreSQL are processes of
this machine, and the client that writes the file is another. The peer is PostgreSQL's own COPY of the same rows and
columns, without sorting and names, to nowhere.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil

from netally.store.database import DatabaseSettings, open_pool
from netally.store.migrate import migrate
from netally.store.partitions import DayPartitions, days_of
from tests.aggregator_process import AggregatorProcess
from tests.services import NatsServer, PostgresServer, die_with_parent, eventually, free_port

ROWS = 500_000
HOUR = 3_600_000
TOKEN = "bench"
MIB = 1024 * 1024
MOST_MIB = 238
"""What each process may take, however many rows there are: 250 MB."""


class Parts:
    """Resident memory (the largest seen while it samples) and processor time of processes, their children included."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self.mib: dict[str, float] = dict.fromkeys([*pids, "parquet"], 0.0)

    async def sample(self) -> None:
        while True:
            for name, size in self._sizes():
                self.mib[name] = max(self.mib[name], size)
            # Looking for children costs a walk through /proc.
            await asyncio.sleep(0.2)

    def _sizes(self) -> Iterator[tuple[str, float]]:
        for name, process in self._processes.items():
            yield name, process.memory_info().rss / MIB
        for child in self._processes["aggregator"].children():
            try:
                yield "parquet", child.memory_info().rss / MIB
            except psutil.Error:  # It may have ended.
                continue

    def seconds(self) -> float:
        """Processor time of all until now, that of ended children included."""
        return sum(sum(process.cpu_times()[:4]) for process in self._processes.values())


def _start_api(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "netally.api"], env=environment, preexec_fn=die_with_parent)


def _download(url: str, start: int, end: int, format_: str, target: Path) -> float:
    """Seconds from the request to the last byte in the file."""
    span = urllib.parse.urlencode({"from": start, "to": end, "tier": "raw", "format": format_})
    request = urllib.request.Request(f"{url}/api/export?{span}", headers={"Authorization": f"Bearer {TOKEN}"})
    began = time.monotonic()
    with urllib.request.urlopen(request, timeout=1800) as answer, target.open("wb") as file:
        shutil.copyfileobj(answer, file, MIB)
    return time.monotonic() - began


async def measure() -> list[dict[str, Any]]:
    rows = int(os.environ.get("NETALLY_BENCH_EXPORT_ROWS", ROWS))
    lines: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="netally-bench-") as name:
        directory = Path(name)
        nats = NatsServer(directory, max_store=8 * 1024**3)
        await asyncio.to_thread(nats.start)
        server = None if "NETALLY_BENCH_URL" in os.environ else PostgresServer(_open_directory())
        try:
            if server is not None:
                await asyncio.to_thread(server.start)
            database = os.environ["NETALLY_BENCH_URL"] if server is None else await server.create_database()
            lines += await _measure(nats, database, directory, rows)
        finally:
            nats.stop()
            if server is not None:
                server.stop()
                shutil.rmtree(server.directory, ignore_errors=True)
    return lines


def _open_directory() -> Path:
    """The database server is another user, who has to get in."""
    directory = Path(tempfile.mkdtemp(prefix="netally-bench-"))
    directory.chmod(0o755)
    return directory


async def fill(database: str, start: int, rows: int) -> None:
    """That many flows of the hour that begins at ``start``, made by the database itself."""
    deployment = await migrate(DatabaseSettings(database), "UTC")
    pool = await open_pool(DatabaseSettings(database), "bench")
    try:
        await DayPartitions(pool, deployment.backend).ensure(days_of((start, start + HOUR)))
        for table, count in (("host", 20), ("app", 60), ("domain", 2_000)):
            await pool.execute(
                f"INSERT INTO {table} (id, name) SELECT n, '{table}-' || n || '.example.org' "
                f"FROM generate_series(1, {count}) AS n"
            )
        await pool.execute(
            "INSERT INTO flow SELECT $1::timestamptz + ((n - 1) * 720 / $2) * interval '5 s', 1 + n % 20, 1 + n % 60, "
            "1 + n * 7919 % 2000, 0, 1, 6, 443, 1, '192.0.2.0'::inet + n % 250, n % 200000, n % 20000, 10, 10, "
            "NULL, 1, 2, 2, $1::timestamptz FROM generate_series(1, $2::bigint) AS n",
            start,
            rows,
        )
        await pool.execute("ANALYZE")
    finally:
        await pool.close()


async def _measure(nats: NatsServer, database: str, directory: Path, rows: int) -> list[dict[str, Any]]:
    start = (time.time_ns() // 1_000_000 // HOUR - 2) * HOUR
    await fill(database, start, rows)
    peer = await _copy_rate(database)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NETALLY_")}
    environment |= {
        "NETALLY_NATS_URL": nats.url, "NETALLY_DATABASE_URL": database, "NETALLY_API_PORT": str(port),
        "NETALLY_ADMIN_TOKEN": TOKEN, "NETALLY_LOG_LEVEL": "warning",
    }  # fmt: skip
    # Three files of five million rows.
    aggregator = AggregatorProcess(
        nats.url, database, NETALLY_LOG_LEVEL="warning", NETALLY_EXPORTS_MAX_BYTES=str(6 * 1024**3)
    )
    aggregator.start()
    api = _start_api(environment)
    try:

        async def is_ready() -> bool:
            async with httpx.AsyncClient() as client:
                return (await client.get(f"{url}/api/ready")).status_code == 200

        await aggregator.ready()
        await eventually(is_ready, within=30)
        lines = []
        parts = Parts({"aggregator": aggregator.pid, "api": api.pid, "nats": nats.pid})
        sampling = asyncio.create_task(parts.sample())
        for format_ in ("csv", "json", "parquet"):
            used = parts.seconds()
            seconds = await asyncio.to_thread(_download, url, start, start + HOUR, format_, directory / "file")
            rate = rows / seconds
            lines.append(
                {
                    "name": f"export of {rows:,} raw rows as {format_}",
                    "value": round(rate), "unit": "rows/s", "against": "COPY of the same rows, bare",
                    "ratio": round(rate / peer, 2),
                }
            )  # fmt: skip
            lines.append(
                {
                    "name": f"export as {format_}, processor time without the database's",
                    "value": round((parts.seconds() - used) / rows * 1e6, 2), "unit": "µs/row",
                    "against": None, "ratio": None,
                }
            )  # fmt: skip
        sampling.cancel()
        for name, mib in parts.mib.items():
            lines.append(
                {
                    "name": f"export of {rows:,} rows, memory of {name}",
                    "value": round(mib),
                    "unit": "MiB",
                    "against": f"{MOST_MIB} MiB",
                    "ratio": round(mib / MOST_MIB, 2),
                }
            )
        return lines
    finally:
        api.terminate()
        await asyncio.to_thread(api.wait, 15)
        aggregator.kill()


async def _copy_rate(database: str) -> float:
    """Rows a second that the server can format at all."""
    connection = await asyncpg.connect(database)

    async def nowhere(_: bytes) -> None:
        """The bytes are not wanted."""

    try:
        began = time.monotonic()
        status = await connection.copy_from_query("SELECT * FROM flow", output=nowhere, format="csv")
        return int(status.rpartition(" ")[2]) / (time.monotonic() - began)
    finally:
        await connection.close()

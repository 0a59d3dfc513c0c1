"""The API as a process over twelve months of hourly figures: p50 and p95 of the overview's answers at one and at eight
clients, requests a second, memory, and what a live stream to 200 readers costs.

Workload: 20 hosts, 60 applications, 2,000 domains; six flows an hour and host over 365 days (one million rows), rollups
up to date, each kept as long as by default (raw flows a week, minutes a month). The peer is one bare scan: sum of the
daily tier's bytes.
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx

from netally.api.app import wall_clock
from netally.contracts.codes import DomainSource, Mode, ProcessSource, Role, Scope
from netally.store import retention, rollups, tables
from netally.store.database import DatabaseSettings, open_pool
from netally.store.migrate import migrate
from netally.store.partitions import DayPartitions, days_of
from netally.store.tiers import DAY, HOUR
from tests.api_in_process import BEARER
from tests.api_process import ApiProcess, api_process
from tests.bench.databases import database_server

HOSTS, APPS, DOMAINS, DAYS, PER_HOUR = 20, 60, 2_000, 365, 6
RUNS = 20
READERS = 200
LISTEN_SECONDS = 10

OVERVIEW = {
    "timeline 24 h": ("/api/stats/timeline", {"range": "24h"}),
    "timeline 1 y by app": ("/api/stats/timeline", {"range": "1y", "split": "app"}),
    "applications 24 h": ("/api/applications", {"range": "24h", "limit": "10", "count_domains": "false"}),
    "applications 1 y": ("/api/applications", {"range": "1y", "limit": "10", "count_domains": "false"}),
    "applications 1 y, domains counted": ("/api/applications", {"range": "1y", "limit": "10"}),
    "domains 24 h": ("/api/domains", {"range": "24h", "limit": "10"}),
    "domains 30 d": ("/api/domains", {"range": "30d", "limit": "10"}),
    "domains 1 y": ("/api/domains", {"range": "1y", "limit": "10"}),
    "hosts 30 d": ("/api/hosts", {"range": "30d"}),
    "summary": ("/api/stats/summary", {"range": "24h"}),
    "monthly": ("/api/historical/monthly", {}),
    "heatmap 90 d": ("/api/historical/heatmap", {"range": "90d"}),
    "bandwidth": ("/api/stats/bandwidth", {}),
}


async def _fill(url: str, now: int) -> float:
    """Fills the database; milliseconds of the bare scan."""
    deployment = await migrate(DatabaseSettings(url), "UTC")
    chance = random.Random(7)
    first = now // HOUR * HOUR - DAYS * DAY
    hours = range(first, now // HOUR * HOUR, HOUR)
    addresses = [chance.randbytes(4) for _ in range(5_000)]

    def flows() -> Any:
        for at in hours:
            for host in range(1, HOSTS + 1):
                for _ in range(PER_HOUR):
                    app, domain = int(APPS ** chance.random()), int(DOMAINS ** chance.random())
                    yield (
                        *(at, host, app, domain, 0, int(Scope.INTERNET), 6, 443, int(Role.CLIENT)),
                        *(addresses[int(5_000 * chance.random())], int(2e8 * chance.random())),
                        *(int(2e7 * chance.random()), 10, 10, None, 1, int(DomainSource.TLS_SNI)),
                        *(int(ProcessSource.SOCK_DIAG), at),
                    )

    pool = await open_pool(DatabaseSettings(url), "bench")
    try:
        await DayPartitions(pool, deployment.backend).ensure(days_of(hours))
        async with pool.acquire() as connection:
            for table, count in (("host", HOSTS), ("app", APPS), ("domain", DOMAINS)):
                names = [(number, f"{table}-{number}.example.org") for number in range(1, count + 1)]
                await connection.copy_records_to_table(table, records=names, columns=["id", "name"])
            await connection.copy_records_to_table(
                "ledger",
                records=[(number, "0" * 32, 1, now, now) for number in range(1, HOSTS + 1)],
                columns=["host_id", "epoch", "low_water", "complete_until", "updated_at"],
            )
            await tables.copy(connection, tables.FLOW, flows())
            coverage = (
                (at, host, 60, 60_000, int(Mode.PACKETS), False) for at in hours for host in range(1, HOSTS + 1)
            )
            await tables.copy(connection, tables.COVERAGE, coverage)
        async with rollups.exclusive(pool, wait=True) as maintainer:
            assert maintainer is not None
            await rollups.refresh_outstanding(maintainer, now, ZoneInfo("UTC"))
            await retention.apply(maintainer, retention.Ages(), now, ZoneInfo("UTC"))
            await maintainer.execute("ANALYZE")
        took = []
        for _ in range(5):
            began = time.perf_counter()
            await pool.fetchval("SELECT sum(bytes_in + bytes_out) FROM flow_1d")
            took.append((time.perf_counter() - began) * 1000)
        return statistics.median(took)
    finally:
        await pool.close()


async def _ask(api: ApiProcess, path: str, parameters: dict[str, str], clients: int) -> tuple[list[float], float]:
    """Milliseconds of each request in order of size, and requests a second of all clients together."""
    took: list[float] = []

    async def client() -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", headers=BEARER, timeout=60) as one:
            for _ in range(RUNS // clients + 1):
                began = time.perf_counter()
                answer = await one.get(path, params=parameters)
                took.append((time.perf_counter() - began) * 1000)
                if answer.status_code != 200:
                    raise RuntimeError(f"{path} {parameters}: {answer.text}")

    await api.client.get(path, params=parameters)
    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return sorted(took), len(took) / (time.perf_counter() - began)


def _cpu_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _megabytes(process: int) -> float:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


async def _stream(api: ApiProcess) -> float:
    """Percent of a core that the live stream takes with so many readers."""
    ready = asyncio.Event()
    waiting = READERS
    limits = httpx.Limits(max_connections=READERS)
    client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", headers=BEARER, timeout=30, limits=limits)

    async def read() -> None:
        nonlocal waiting
        async with client.stream("GET", "/api/live") as answer:
            async for _ in answer.aiter_bytes():
                waiting -= 1
                if waiting == 0:
                    ready.set()

    readers = [asyncio.create_task(read()) for _ in range(READERS)]
    await asyncio.wait_for(ready.wait(), 60)
    before = _cpu_seconds(api.process.pid)
    await asyncio.sleep(LISTEN_SECONDS)
    used = _cpu_seconds(api.process.pid) - before
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    await client.aclose()
    return used / LISTEN_SECONDS * 100


async def measure() -> list[dict[str, Any]]:
    """Lines of the bench table: name, value, unit, against, ratio, workload."""
    now = wall_clock()
    lines: list[dict[str, Any]] = []

    def line(name: str, value: float, unit: str, against: str = "", ratio: float | None = None) -> None:
        found = {"name": f"api {name}", "value": round(value, 1), "unit": unit, "against": against, "ratio": ratio}
        lines.append(
            found | {"workload": f"12 months, {HOSTS} hosts, {HOSTS * DAYS * 24 * PER_HOUR:,} rows an hour tier"}
        )

    async with database_server() as create:
        url = await create()
        bare = await _fill(url, now)
        async with api_process(url) as api:
            for name, (path, parameters) in OVERVIEW.items():
                for clients in (1, 8):
                    took, rate = await _ask(api, path, parameters, clients)
                    for label, value in (("p50", statistics.median(took)), ("p95", took[int(len(took) * 0.95)])):
                        against = f"bare scan of a year by day, {bare:.0f} ms"
                        line(f"{name}, {clients} clients, {label}", value, "ms", against, round(value / bare, 2))
                    line(f"{name}, {clients} clients", rate, "requests/s")
            line("memory after all of it", _megabytes(api.process.pid), "MB", "aim 150 MB")
            line(f"live stream, {READERS} readers", await _stream(api), "% of a core", "aim 10 %")
    return lines

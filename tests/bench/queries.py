"""p50 and p95 of every answer of the query API on one million raw flows, and the memory of the service.

Workload: one million flows of the last two hours, 20 hosts in intervals of 5 s, 60 applications, 2,000 domains, with
Zipf's order of both. Ranges are chosen so that each tier has to read all of them: two hours (raw), 24 hours (1m),
30 days (1h), one year (1d). Rollups are up to date, as the aggregator keeps them. Times are of the whole request
(HTTP in this process, no socket), one client, after two requests to warm up. The peer is one bare scan of the same
rows: sum of bytes without grouping, filter or coverage.
"""

from __future__ import annotations

import random
import statistics
import time
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg

from netally.api.app import wall_clock
from netally.contracts.codes import DomainSource, Mode, ProcessSource, Role, Scope
from netally.store import rollups, tables
from netally.store.database import DatabaseSettings, open_pool
from netally.store.migrate import migrate
from netally.store.partitions import DayPartitions, days_of
from tests.api_in_process import RunningApi, running_api
from tests.bench.databases import database_server

FLOWS = 1_000_000
HOSTS, APPS, DOMAINS = 20, 60, 2_000
INTERVAL = 5_000
RUNS, LONGEST = 21, 8.0
RANGES = {"raw": "2 h", "1m": "24 h", "1h": "30 days", "1d": "1 year"}


async def _fill(url: str, now: int) -> None:
    deployment = await migrate(DatabaseSettings(url), "UTC")
    chance = random.Random(3)
    start = now // INTERVAL * INTERVAL - 7_200_000
    times = range(start, start + 7_200_000, INTERVAL)
    addresses = [chance.randbytes(4) for _ in range(5_000)]

    def flows() -> Any:
        per_interval = FLOWS // len(times) + 1
        made = 0
        for at in times:
            for _ in range(min(per_interval, FLOWS - made)):
                made += 1
                app, domain = int(APPS ** chance.random()), int(DOMAINS ** chance.random())
                yield (
                    *(at, 1 + int(HOSTS * chance.random()), app, domain, 0, int(Scope.INTERNET), 6, 443),
                    *(int(Role.CLIENT), addresses[int(5_000 * chance.random())], int(2e5 * chance.random())),
                    *(int(2e4 * chance.random()), 10, 10, None, 1, int(DomainSource.TLS_SNI)),
                    *(int(ProcessSource.SOCK_DIAG), at + INTERVAL),
                )

    pool = await open_pool(DatabaseSettings(url), "bench")
    try:
        await DayPartitions(pool, deployment.backend).ensure(days_of((start, now)))
        async with pool.acquire() as connection:
            for table, count in (("host", HOSTS), ("app", APPS), ("domain", DOMAINS)):
                names = [(number, f"{table}-{number}.example.org") for number in range(1, count + 1)]
                await connection.copy_records_to_table(table, records=names, columns=["id", "name"])
            await connection.copy_records_to_table(
                "ledger",
                records=[(number, "0" * 32, 1, times[-1] + INTERVAL, now) for number in range(1, HOSTS + 1)],
                columns=["host_id", "epoch", "low_water", "complete_until", "updated_at"],
            )
            await tables.copy(connection, tables.FLOW, flows())
            coverage = [
                (at, host, 5, INTERVAL, int(Mode.PACKETS), False) for at in times for host in range(1, HOSTS + 1)
            ]
            await tables.copy(connection, tables.COVERAGE, coverage)
            await connection.execute("ANALYZE")
        async with rollups.exclusive(pool, wait=True) as maintainer:
            assert maintainer is not None
            await rollups.refresh_outstanding(maintainer, now, ZoneInfo("UTC"))
            await maintainer.execute("ANALYZE")
    finally:
        await pool.close()


async def _scan(url: str) -> float:
    """Milliseconds of the bare scan."""
    connection = await asyncpg.connect(url)
    try:
        took = []
        for _ in range(5):
            began = time.perf_counter()
            await connection.fetchval("SELECT sum(bytes_in + bytes_out) FROM flow")
            took.append((time.perf_counter() - began) * 1000)
        return statistics.median(took)
    finally:
        await connection.close()


def _queries(now: int) -> dict[str, tuple[str, dict[str, str]]]:
    """Name of the line → path and parameters."""
    asked: dict[str, dict[str, str]] = {
        "raw": {"from": str(now // INTERVAL * INTERVAL - 7_200_000), "to": str(now)},
        "1m": {"range": "24h"},
        "1h": {"range": "30d"},
        "1d": {"range": "1y"},
    }
    found: dict[str, tuple[str, dict[str, str]]] = {}
    for tier, parameters in asked.items():
        for name in ("applications", "domains", "hosts"):
            found[f"{name}, {tier}"] = (f"/api/{name}", parameters)
        for split in ("none", "app", "domain"):
            found[f"timeline by {split}, {tier}"] = ("/api/stats/timeline", {**parameters, "split": split})
    found["bandwidth"] = ("/api/stats/bandwidth", {})
    return found


async def _time(api: RunningApi, path: str, parameters: dict[str, str]) -> list[float]:
    """Milliseconds of each request, in order of size: `RUNS`, or what fits into `LONGEST` seconds, at least five."""
    took: list[float] = []
    until = time.perf_counter() + LONGEST
    for number in range(RUNS + 2):
        if len(took) >= 5 and time.perf_counter() > until:
            break
        began = time.perf_counter()
        answer = await api.client.get(path, params=parameters)
        elapsed = (time.perf_counter() - began) * 1000
        if answer.status_code != 200:
            raise RuntimeError(f"{path} {parameters}: {answer.text}")
        if number >= 2:
            took.append(elapsed)
    return sorted(took)


async def measure() -> list[dict[str, Any]]:
    """Lines of the bench table: name, value, unit, against, ratio, workload."""
    now = wall_clock()
    workload = f"{FLOWS:,} flows of 2 h, {HOSTS} hosts, {APPS} applications, {DOMAINS:,} domains; one client"
    lines: list[dict[str, Any]] = []
    async with database_server() as create_database:
        url = await create_database()
        await _fill(url, now)
        bare = await _scan(url)
        async with running_api(url, clock=lambda: now) as api:
            for name, (path, parameters) in _queries(now).items():
                took = await _time(api, path, parameters)
                for label, value in (("p50", statistics.median(took)), ("p95", took[int(len(took) * 0.95)])):
                    lines.append(
                        {
                            "name": f"query {name}, {label}",
                            "value": round(value, 1),
                            "unit": "ms",
                            "against": f"bare scan of the rows, {bare:.0f} ms",
                            "ratio": round(value / bare, 2),
                            "workload": workload,
                        }
                    )
    return lines

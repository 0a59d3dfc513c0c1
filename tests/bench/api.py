"""The API as a process over twelve months of figures: p50 and p95 of its answers at one and at eight clients, requests
a second, memory, what a live stream to 200 readers costs, and how soon the web service has whole pages of it.

Workload: 20 hosts, 60 applications, 2,000 domains; six flows an hour and host over 365 days (one million rows) and, in
the last two hours, ten in every interval of 5 s; counters of all hours. Rollups are up to date, each kept as long as by
default (raw flows a week, minutes a month). The peer is one bare scan: sum of the daily tier's bytes.

The overview set is what the page / asks for (`netally.web.pages.overview`), in its default range of an hour, in 24
hours and in 12 months.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import httpx

from netally.api.app import wall_clock
from netally.contracts.codes import Cause, DomainSource, Mode, ProcessSource, Role, Scope
from netally.store import backend, retention, rollups, tables
from netally.store.database import DatabaseSettings, open_pool
from netally.store.migrate import migrate
from netally.store.partitions import DayPartitions, days_of
from netally.store.tiers import DAY, HOUR, TIERS, floor
from tests.api_in_process import BEARER
from tests.api_process import ApiProcess, api_process
from tests.bench.databases import database_server
from tests.services import die_with_parent, eventually, free_port

HOSTS, APPS, DOMAINS, DAYS, PER_HOUR = 20, 60, 2_000, 365, 6
INTERVAL = 5_000
ZONE = ZoneInfo("UTC")
RUNS, LEAST_RUNS, SECONDS = 20, 5, 1.2
"""Requests of one kind and number of clients: at most so many of each client, and after the first few no more than this
time allows. All of it stays within four minutes.
"""
READERS = 200
LISTEN_SECONDS = 8

# Zipf's order of applications and domains.
FILL = f"""
INSERT INTO flow ({", ".join(tables.FLOW.columns)})
SELECT at, host, floor({APPS} ^ random())::integer, floor({DOMAINS} ^ random())::integer, 0,
       {int(Scope.INTERNET)}, 6, 443, {int(Role.CLIENT)},
       ('198.18.' || floor(20 * random()) || '.' || floor(250 * random()))::inet,
       (2e8 * random())::bigint, (2e7 * random())::bigint, 10, 10, NULL, 1, {int(DomainSource.TLS_SNI)},
       {int(ProcessSource.SOCK_DIAG)}, at
FROM generate_series($1::timestamptz, $2::timestamptz, $3::interval) AS at,
     generate_series(1, {HOSTS}) AS host, generate_series(1, $4::integer)
"""
FILL_COVERAGE = f"""
INSERT INTO coverage ({", ".join(tables.COVERAGE.columns)})
SELECT at, host, 60, 60000, {int(Mode.PACKETS)}, false
FROM generate_series($1::timestamptz, $2::timestamptz, interval '1 hour') AS at, generate_series(1, {HOSTS}) AS host
"""
CAUSES = [int(cause) for cause in Cause if cause not in (Cause.LOST_SPOOL, Cause.PAUSED)]
FILL_TALLY = f"""
INSERT INTO tally ({", ".join(tables.TALLY.columns)})
SELECT at, host, 'eth0', cause, (2e8 * random())::bigint, (2e7 * random())::bigint, 10, 10
FROM generate_series($1::timestamptz, $2::timestamptz, interval '1 hour') AS at,
     generate_series(1, {HOSTS}) AS host, unnest(ARRAY{CAUSES}) AS cause
"""

OVERVIEW = {
    "timeline {} by app": ("/api/stats/timeline", {"split": "app"}),
    "applications {}": ("/api/applications", {"limit": "11", "count_domains": "false"}),
    "domains {}": ("/api/domains", {"limit": "11"}),
    "hosts {}": ("/api/hosts", {}),
    "summary {}": ("/api/stats/summary", {}),
    "conservation {}": ("/api/conservation", {}),
}
"""Beside the rates of now. The aims are 100 ms at one client and 400 ms at eight."""
ASKED = {
    "overview: bandwidth": ("/api/stats/bandwidth", {"limit": "60"}),
    **{
        f"overview: {name.format(words)}": (path, {**parameters, "range": range_})
        for range_, words in (("1h", "1 h"), ("24h", "24 h"), ("1y", "1 y"))
        for name, (path, parameters) in OVERVIEW.items()
    },
    "timeline 1 y by domain": ("/api/stats/timeline", {"range": "1y", "split": "domain"}),
    "applications 1 y, 50, domains counted": ("/api/applications", {"range": "1y"}),
    "domains 1 y, 50 registrable": ("/api/domains", {"range": "1y", "group": "registrable"}),
    "domains 30 d": ("/api/domains", {"range": "30d", "limit": "11"}),
    "monthly": ("/api/historical/monthly", {}),
    "heatmap 90 d": ("/api/historical/heatmap", {"range": "90d"}),
    "breakdown 1 y by app and domain": ("/api/stats/breakdown", {"range": "1y", "by": "app,domain"}),
    "completion of a domain, 1 y": ("/api/filter/complete", {"range": "1y", "text": "domain = "}),
}
PAGES = ("/", "/?range=1y", "/applications?range=1y", "/domains?range=1y", "/history?range=1y")
PAGE_RUNS = 8
ALONE = ("breakdown 1 y by app and domain", "domains 1 y, 50 registrable")


async def _fill(url: str, now: int) -> float:
    """Fills the database; milliseconds of the bare scan."""
    deployment = await migrate(DatabaseSettings(url), "UTC")
    first, last = now // HOUR * HOUR - DAYS * DAY, now // HOUR * HOUR - HOUR
    pool = await open_pool(DatabaseSettings(url), "bench")
    try:
        await DayPartitions(pool, deployment.backend).ensure(days_of(range(first, now + 1, HOUR)))
        async with pool.acquire() as connection:
            for table, count in (("host", HOSTS), ("app", APPS), ("domain", DOMAINS)):
                names = [(number, f"{table}-{number}.of-{number // 4}.example") for number in range(1, count + 1)]
                await connection.copy_records_to_table(table, records=names, columns=["id", "name"])
            await connection.copy_records_to_table(
                "ledger",
                records=[(number, "0" * 32, 1, now, now) for number in range(1, HOSTS + 1)],
                columns=["host_id", "epoch", "low_water", "complete_until", "updated_at"],
            )
            await connection.execute("SELECT setseed(0.7)")
            await connection.execute(FILL, first, last, timedelta(hours=1), PER_HOUR)
            recent = now // INTERVAL * INTERVAL - INTERVAL
            await connection.execute(FILL, recent - 2 * HOUR, recent, timedelta(milliseconds=INTERVAL), 10)
            await connection.execute(FILL_COVERAGE, first, last)
            await connection.execute(FILL_TALLY, first, last)
        async with rollups.exclusive(pool, wait=True) as maintainer:
            assert maintainer is not None
            await _roll_up(maintainer, deployment.backend, first, now)
            await retention.apply(maintainer, retention.Ages(), now, ZONE)
            await maintainer.execute("ANALYZE")
        took = []
        for _ in range(5):
            began = time.perf_counter()
            await pool.fetchval("SELECT sum(bytes_in + bytes_out) FROM flow_1d")
            took.append((time.perf_counter() - began) * 1000)
        return statistics.median(took)
    finally:
        await pool.close()


async def _roll_up(connection: asyncpg.Connection, kind: str, first: int, now: int) -> None:
    """What refreshes would have stored, at once: slice by slice, as the aggregator does it, takes minutes."""
    for tier in TIERS:
        settled = floor(now - tier.settle, tier.name, ZONE)
        for relation in tier.relations:
            await backend.rewrite_relation(connection, kind, relation, floor(first, tier.name, ZONE), settled)
        await connection.execute("UPDATE tier SET watermark = $1 WHERE name = $2", settled, tier.name)


async def _ask(api: ApiProcess, path: str, parameters: dict[str, str], clients: int) -> tuple[list[float], float]:
    """Milliseconds of each request in order of size, and requests a second of all clients together."""
    took: list[float] = []

    async def client() -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", headers=BEARER, timeout=60) as one:
            for _ in range(RUNS):
                if len(took) >= LEAST_RUNS and time.perf_counter() - began > SECONDS:
                    return
                asked = time.perf_counter()
                answer = await one.get(path, params=parameters)
                took.append((time.perf_counter() - asked) * 1000)
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


async def _pages(api: ApiProcess) -> dict[str, float]:
    """Milliseconds of whole pages, from the request to their last byte: the median of each."""
    port = free_port()
    web = subprocess.Popen(  # noqa: ASYNC220  (returns at once)
        [sys.executable, "-m", "netally.web"],
        env={
            **os.environ,
            "NETALLY_API_URL": f"http://127.0.0.1:{api.port}",
            "NETALLY_WEB_PORT": str(port),
            "NETALLY_LOG_LEVEL": "error",
        },
        preexec_fn=die_with_parent,
    )
    found: dict[str, float] = {}
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=BEARER, timeout=30) as client:

            async def answers() -> bool:
                return (await client.get("/")).status_code == 200

            await eventually(answers, within=30)
            for page in PAGES:
                took = []
                for _ in range(PAGE_RUNS):
                    asked = time.perf_counter()
                    answer = await client.get(page)
                    took.append((time.perf_counter() - asked) * 1000)
                    if answer.status_code != 200:
                        raise RuntimeError(f"{page}: {answer.status_code}")
                found[page] = statistics.median(took[1:])
    finally:
        web.kill()
        web.wait()
    return found


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
            for name, (path, parameters) in ASKED.items():
                # Eight of the largest at once are more than the API has connections for: it refuses some in time.
                for clients in (1,) if name in ALONE else (1, 8):
                    took, rate = await _ask(api, path, parameters, clients)
                    for label, value in (("p50", statistics.median(took)), ("p95", took[int(len(took) * 0.95)])):
                        against = f"bare scan of a year by day, {bare:.0f} ms"
                        line(f"{name}, {clients} clients, {label}", value, "ms", against, round(value / bare, 2))
                    line(f"{name}, {clients} clients", rate, "requests/s")
            for page, took_page in (await _pages(api)).items():
                line(f"page {page} from the web service, p50", took_page, "ms", "aim 200 ms")
            line("memory after all of it", _megabytes(api.process.pid), "MB", "aim 150 MB")
            line(f"live stream, {READERS} readers", await _stream(api), "% of a core", "aim 10 %")
    return lines

"""What a year of history costs: query times, refresh, bytes a row in the columnstore, and how soon a row is seen.

The year: 12 months of daily rows of 20 hosts, 60 applications and 5,000 domains with Zipf's order of both, 3 million
rows (and a tenth of the hosts; ten times them with ``NETALLY_BENCH_LARGE=1``, for the curve: some 10 GB of disk); made
in the database from a fixed seed. Queries are SQL, one client with the settings of the API's readers, the median of 15
after two to warm up; the peer is one bare scan of the same rows.

On PostgreSQL of the lock file, or on the server that ``NETALLY_BENCH_URL`` names, PostgreSQL or TimescaleDB; and on the
TimescaleDB that ``NETALLY_TEST_TIMESCALE_URL`` names as well. Without either, nothing is said of times on TimescaleDB,
and its columnstore is measured on the engine of the tests: bytes are the same there.
"""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from netally.aggregator.maintenance import Maintenance
from netally.store import backend, rollups, tables
from netally.store.database import open_pool
from netally.store.migrate import migrate
from netally.store.partitions import DayPartitions, days_of
from netally.store.retention import Ages
from netally.store.tiers import DAY, HOUR, MINUTE, SECOND, floor
from tests.bench.databases import CreateDatabase, beside, database_server
from tests.timescale.fixtures import ZONE, HistoryDatabases
from tests.timescale.server import engine_server

NOW = 1_795_343_400_000
"""2026-11-22T10:30:00Z."""
DAYS, HOSTS, APPS, DOMAINS = 365, 20, 60, 5_000
RAW_ROWS = 400_000
RUNS = 15

FILL_DAYS = """
INSERT INTO {target} (bucket, host_id, app_id, domain_id, site_id, scope, role, protocol, port_class, bytes_in,
                      bytes_out, packets_in, packets_out, retrans, connections, last_used)
SELECT day.bucket, host, 1 + (domain * 7919 + (random() < 0.15)::int) % {apps}, domain, 0, 1, 1, 6, 443,
       (exp(random() * 12))::bigint, (exp(random() * 9))::bigint, (exp(random() * 6))::bigint,
       (exp(random() * 6))::bigint, 0, 1 + (random() * 20)::int, day.bucket + random() * interval '23 hours'
FROM (SELECT $1::timestamptz - n * interval '1 day' AS bucket FROM generate_series({days} - 1, 0, -1) AS n) AS day,
     generate_series(1, {hosts}) AS host, generate_series(1, {domains}) AS domain
-- In terms of all three, else it would be decided once a domain.
WHERE random() < 80.0 / (domain + 0 * host + 0 * extract(day FROM day.bucket))
-- As they are stored: a day after the other, by domain.
ORDER BY day.bucket, domain
"""
"""A host uses the 80 commonest domains every day and the others the less the rarer they are: 411 a day."""
DAILY_ROWS_OF_A_HOST = 411

QUERIES = {
    "applications of 12 months from traffic_1d": (
        100,
        "SELECT app_id, sum(bytes_in)::bigint, sum(bytes_out)::bigint FROM traffic_1d"
        " WHERE bucket >= $1 AND bucket < $2 GROUP BY app_id ORDER BY 2 DESC LIMIT 20",
        365,
    ),
    "days of 12 months from traffic_1d": (
        100,
        "SELECT bucket, sum(bytes_in)::bigint, sum(bytes_out)::bigint FROM traffic_1d"
        " WHERE bucket >= $1 AND bucket < $2 GROUP BY bucket ORDER BY bucket",
        365,
    ),
    "domains of 30 days from flow_1d": (
        200,
        "SELECT domain_id, sum(bytes_in)::bigint, sum(bytes_out)::bigint FROM flow_1d"
        " WHERE bucket >= $1 AND bucket < $2 GROUP BY domain_id ORDER BY 2 DESC LIMIT 20",
        30,
    ),
    "domains of 12 months from flow_1d": (
        200,
        "SELECT domain_id, sum(bytes_in)::bigint, sum(bytes_out)::bigint FROM flow_1d"
        " WHERE bucket >= $1 AND bucket < $2 GROUP BY domain_id ORDER BY 2 DESC LIMIT 20",
        365,
    ),
    "one domain, 100th by bytes, 12 months": (
        30,
        "SELECT bucket, app_id, sum(bytes_in)::bigint FROM flow_1d"
        " WHERE domain_id = 100 AND bucket >= $1 AND bucket < $2 GROUP BY bucket, app_id",
        365,
    ),
    "one domain, the largest, 12 months": (
        30,
        "SELECT bucket, app_id, sum(bytes_in)::bigint FROM flow_1d"
        " WHERE domain_id = 1 AND bucket >= $1 AND bucket < $2 GROUP BY bucket, app_id",
        365,
    ),
}
"""Name → most milliseconds wanted, statement, days of the range."""


def line(
    name: str, value: float | None, unit: str, against: str | None, ratio: float | None, workload: str
) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "against": against, "ratio": ratio, "workload": workload}


@asynccontextmanager
async def _migrated(create: CreateDatabase) -> AsyncIterator[tuple[asyncpg.Pool, str]]:
    """A pool on a new database, and its backend. Dropped with its server's others."""
    settings = HistoryDatabases.settings(await create())
    made = await migrate(settings, ZONE.key)
    pool = await open_pool(settings, "bench")
    try:
        yield pool, made.backend
    finally:
        await pool.close()


def raw_rows(count: int, start: int, seed: int = 5) -> Iterator[tuple[object, ...]]:
    """Rows of ``flow`` as agents send them: connections that last for some intervals, Zipf's order, 20 % IPv6, half of
    them small; the rows of one interval are received together.
    """
    chance = random.Random(seed)
    apps = [1 + int(APPS ** chance.random()) % APPS for _ in range(DOMAINS + 1)]
    addresses = [
        [chance.randbytes(16 if domain % 5 == 0 else 4) for _ in range(1 + domain % 4)] for domain in range(DOMAINS + 1)
    ]
    ports = [443 if chance.random() < 0.9 else chance.choice((80, 22, 53, 993, 5228, 8443)) for _ in range(DOMAINS + 1)]
    lasting: list[list[tuple[int, bytes]]] = [[] for _ in range(HOSTS + 1)]
    made, at = 0, start
    while True:
        received = at + 5 * SECOND + chance.randrange(20, 900)
        for host in range(1, HOSTS + 1):
            flows = [(flow, 0) for flow in lasting[host] if chance.random() < 0.7]
            for _ in range(chance.randrange(0, 8)):
                domain = min(int(DOMAINS ** chance.random()), DOMAINS)
                flows.append(((domain, chance.choice(addresses[domain])), 1))
            lasting[host] = [flow for flow, _ in flows]
            for (domain, remote), new in flows:
                small = chance.random() < 0.5
                packets_in = chance.randrange(1, 4) if small else int(chance.lognormvariate(2, 1.6)) + 1
                packets_out = max(1, int(packets_in * chance.uniform(0.3, 1)))
                size = chance.choice((52, 66, 83, 91, 120)) if small else chance.randrange(60, 1450)
                yield (
                    *(at, host, apps[domain], domain, 0, 1, 17 if ports[domain] == 53 else 6, ports[domain], 1, remote),
                    *(packets_in * size, packets_out * chance.choice((52, 66, 79, 91)), packets_in, packets_out),
                    *(0 if chance.random() < 0.97 else 1448 * chance.randrange(1, 20), new, 2, 2, received),
                )
                made += 1
                if made == count:
                    return
        at += 5 * SECOND


async def _fill_days(connection: asyncpg.Connection, kind: str, days: int, hosts: int) -> None:
    today = floor(NOW, "1d", ZONE)
    target = "flow_1d_rollup"
    if kind == "timescaledb":
        target = await connection.fetchval(
            "SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)"
            " FROM timescaledb_information.continuous_aggregates WHERE view_name = 'flow_1d'"
        )
    text = FILL_DAYS.format(target=target, days=days, hosts=hosts, apps=APPS, domains=DOMAINS)
    async with _without_indexes(connection, target if kind == "postgresql" else None):
        await connection.execute("SELECT setseed(0.5)")
        await connection.execute(text, today - DAY)
    if kind == "timescaledb":
        # What a refresh would have written: the aggregate is stored up to today.
        await connection.execute(
            "UPDATE _timescaledb_catalog.continuous_aggs_watermark SET watermark ="
            " _timescaledb_functions.to_unix_microseconds($1::timestamptz) WHERE mat_hypertable_id ="
            " (SELECT mat_hypertable_id FROM _timescaledb_catalog.continuous_agg WHERE user_view_name = 'flow_1d')",
            today,
        )
    for tier in ("1m", "1h", "1d"):
        await connection.execute("UPDATE tier SET watermark = $1 WHERE name = $2", today, tier)
    await backend.rewrite_relation(connection, kind, "traffic_1d", floor(NOW - 400 * DAY, "1d", ZONE), today)
    await backend.compress(connection, kind, NOW + 400 * DAY, limit=100)
    await connection.execute("VACUUM ANALYZE" if kind == "postgresql" else "ANALYZE")


@asynccontextmanager
async def _without_indexes(connection: asyncpg.Connection, table: str | None) -> AsyncIterator[None]:
    """Makes a table's indexes anew afterwards, which is quicker than row by row."""
    found = await connection.fetch("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = $1", table)
    for row in found:
        await connection.execute(f'DROP INDEX "{row["indexname"]}"')
    yield
    for row in found:
        await connection.execute(row["indexdef"])


async def _median(connection: asyncpg.Connection, statement: str, *arguments: object) -> float:
    """Milliseconds."""
    took = []
    for _ in range(RUNS + 2):
        began = time.perf_counter()
        await connection.fetch(statement, *arguments)
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took[2:])


async def _queries(create: CreateDatabase, hosts: int) -> list[dict[str, Any]]:
    rows = DAYS * hosts * DAILY_ROWS_OF_A_HOST
    lines = []
    async with _migrated(create) as (pool, kind), rollups.exclusive(pool) as connection:
        assert connection is not None
        await connection.execute("SET plan_cache_mode = force_custom_plan; SET work_mem = '32MB'")
        workload = f"about {rows:,} daily rows, {hosts} hosts, {APPS} applications, {DOMAINS:,} domains; {kind}"
        await _fill_days(connection, kind, DAYS, hosts)
        bare = await _median(connection, "SELECT sum(bytes_in) FROM flow_1d")
        for name, (wanted, statement, days) in QUERIES.items():
            took = await _median(connection, statement, NOW - days * DAY, NOW)
            lines.append(
                line(
                    f"history {name}, {rows / 1e6:.1f} million rows, {kind}",
                    round(took, 1),
                    "ms",
                    f"bare scan, {bare:.0f} ms; wanted at 3 million rows: {wanted} ms",
                    round(took / bare, 3),
                    workload,
                )
            )
    return lines


async def _refresh(create: CreateDatabase) -> list[dict[str, Any]]:
    start = NOW - 3 * HOUR
    async with _migrated(create) as (pool, kind):
        workload = f"{RAW_ROWS:,} raw rows; {kind}"
        await DayPartitions(pool, kind).ensure(days_of((start, NOW)))
        async with rollups.exclusive(pool) as connection:
            assert connection is not None
            await tables.copy(connection, tables.FLOW, raw_rows(RAW_ROWS, start))
            await connection.execute("ANALYZE flow")
            statement = (
                "CREATE TABLE bare AS SELECT date_trunc('minute', time) AS bucket, host_id, app_id, domain_id, site_id,"
                " scope, role, protocol, server_port, sum(bytes_in) AS a, sum(bytes_out) AS b, sum(packets_in) AS c,"
                " sum(packets_out) AS d, sum(retrans) AS e, sum(connections) AS f, max(time) AS g FROM flow"
                " GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9"
            )
            began = time.perf_counter()
            await connection.execute(statement)
            bare = RAW_ROWS / (time.perf_counter() - began)
            began = time.perf_counter()
            done = await rollups.refresh(connection, "1m", start, NOW, NOW, ZONE)
            rate = RAW_ROWS / (time.perf_counter() - began)
        lines = [
            line(
                f"refresh of minutes, {kind}",
                round(rate),
                "raw rows/s",
                f"bare GROUP BY into a table, {bare:,.0f} rows/s; wanted: 80,000",
                round(rate / bare, 2),
                f"{workload}, {done.rows:,} rows written",
            )
        ]
        lines += await _visible(pool, workload, kind)
    return lines


async def _visible(pool: asyncpg.Pool, workload: str, kind: str) -> list[dict[str, Any]]:
    """From the commit of a row of a stored minute to its being seen there, one turn of the maintenance in between."""
    clock = NOW
    maintenance = Maintenance(Ages, lambda: clock)
    await maintenance.turn(pool)
    took = []
    for number in range(5):
        clock += 3 * SECOND
        row = (NOW - 10 * MINUTE, 1, 1, 1, 0, 1, 6, 443, 1, b"\x01\x02\x03\x04", number, 0, 1, 1, 0, 1, 2, 2, NOW)
        async with pool.acquire() as connection, connection.transaction():
            await tables.copy(connection, tables.FLOW, [row])
            await rollups.touch(connection, [NOW - 10 * MINUTE])
        began = time.perf_counter()
        await maintenance.turn(pool)
        took.append(time.perf_counter() - began)
    worst = max(took)
    return [
        line(
            f"a late row seen in its minute after, {kind}",
            round(worst, 3),
            "s",
            "one turn of the maintenance, each 2 s; wanted with the pause: 5 s",
            None,
            workload,
        )
    ]


async def _columnstore(create: CreateDatabase, suffix: str) -> list[dict[str, Any]]:
    lines = []
    async with _migrated(create) as (pool, _), rollups.exclusive(pool) as connection:
        assert connection is not None
        start = NOW - 5 * DAY
        await tables.copy(connection, tables.FLOW, raw_rows(RAW_ROWS // 2, start))
        await _fill_days(connection, "timescaledb", 60, 10)
        heap = await connection.fetchval(
            "SELECT sum(before_compression_total_bytes)::bigint FROM chunk_compression_stats('flow')"
        )
        for relation in ("flow", "flow_1d"):
            rows = await connection.fetchval(f"SELECT count(*) FROM {relation}")
            packed = await connection.fetchval(
                "SELECT sum(bytes)::bigint FROM tier_part WHERE relation = $1 AND is_compressed", relation
            )
            lines.append(
                line(
                    f"columnstore bytes a row of {relation}",
                    round(packed / rows, 1),
                    "bytes",
                    f"as rows, {heap / rows:.0f} bytes; wanted: 20" if relation == "flow" else None,
                    round(packed / heap, 3) if relation == "flow" else None,
                    f"{rows:,} rows, every column; {suffix}",
                )
            )
    return lines


async def _times(create: CreateDatabase) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    curve = [HOSTS // 10, HOSTS]
    if os.environ.get("NETALLY_BENCH_LARGE"):
        curve.append(HOSTS * 10)
    for hosts in curve:
        lines += await _queries(create, hosts)
    return lines + await _refresh(create)


async def measure() -> list[dict[str, Any]]:
    """Lines of the bench table: name, value, unit, against, ratio, workload. A value of None was not measured."""
    async with database_server() as create:
        lines = await _times(create)
        async with _migrated(create) as (_, kind):
            pass
        if kind == "timescaledb":
            return lines + await _columnstore(create, "TimescaleDB")
    if given := os.environ.get("NETALLY_TEST_TIMESCALE_URL"):
        async with beside(given) as create:
            return lines + await _times(create) + await _columnstore(create, "TimescaleDB")
    why = "needs a TimescaleDB, named by NETALLY_BENCH_URL or NETALLY_TEST_TIMESCALE_URL"
    lines.append(line("history and refresh, timescaledb", None, "", why, None, ""))
    with engine_server() as server:
        return lines + await _columnstore(server.create_database, "TimescaleDB 2.23 compiled to WebAssembly")

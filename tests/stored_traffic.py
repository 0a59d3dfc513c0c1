"""Traffic of some hosts as rows of the database, made at random from a seed, with gaps, peers, loopback and replay."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, NamedTuple

from netally.contracts.codes import DomainSource, Mode, ProcessSource, Role, Scope
from netally.store import tables
from netally.store.database import DatabaseSettings, open_pool
from netally.store.partitions import DayPartitions, days_of

MINUTE = 60_000


class StoredHost(NamedTuple):
    id: int
    name: str
    kind: str = "agent"
    interval: int = 5


class StoredFlow(NamedTuple):
    """A row of table flow, in the order of its columns."""

    time: int
    host_id: int
    app_id: int
    domain_id: int
    site_id: int
    scope: int
    protocol: int
    server_port: int
    role: int
    remote: bytes
    bytes_in: int
    bytes_out: int
    packets_in: int
    packets_out: int
    retrans: int | None
    connections: int
    domain_source: int
    process_source: int
    received_at: int


class StoredCoverage(NamedTuple):
    time: int
    host_id: int
    interval_seconds: int
    measured_ms: int
    mode: int
    paused: bool


class StoredTraffic(NamedTuple):
    hosts: list[StoredHost]
    apps: dict[int, tuple[str, str, str]]
    """Name, executable and user of each id."""
    domains: dict[int, str]
    flows: list[StoredFlow]
    coverage: list[StoredCoverage]
    end: int
    """When the last interval of every host ends, epoch milliseconds."""


HOSTS = [
    StoredHost(1, "web-1.example.org"),
    StoredHost(2, "web-2.example.org", interval=10),
    StoredHost(3, "db-1", interval=15),
    StoredHost(4, "capture.pcap", kind="replay"),
]
_SCOPES = (
    [Scope.INTERNET] * 6 + [Scope.PRIVATE] * 2 + [Scope.PEER] * 2 + [Scope.LOOPBACK] + [Scope.UNKNOWN]
)  # fmt: skip


def make_traffic(
    seed: int, *, end: int, minutes: int, flows_per_interval: int = 3, apps: int = 9, domains: int = 30
) -> StoredTraffic:
    """Traffic of the last ``minutes`` before ``end`` (a whole minute). About one interval in ten was not measured."""
    chance = random.Random(seed)
    app_names = {0: ("", "", "")} | {n: (f"app-{n % (apps - 1)}", f"/usr/bin/app-{n}", "ada") for n in range(1, apps)}
    domain_names = {0: ""} | {n: f"host-{n}.example.org" for n in range(1, domains)}
    flows: list[StoredFlow] = []
    coverage: list[StoredCoverage] = []
    for host in HOSTS:
        for start, measured in _intervals(chance, host, end - minutes * MINUTE, end):
            coverage.append(StoredCoverage(start, host.id, host.interval, measured, int(Mode.PACKETS), measured == 0))
            if measured:
                flows += [
                    _flow(chance, start, host, apps, domains) for _ in range(chance.randrange(2 * flows_per_interval))
                ]
    return StoredTraffic(HOSTS, app_names, domain_names, flows, coverage, end)


def _intervals(chance: random.Random, host: StoredHost, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Start and measured milliseconds of the intervals that were reported, with gaps of several intervals."""
    length = host.interval * 1000
    gap = 0
    for at in range(start, end, length):
        if gap == 0 and chance.random() < 0.01:
            gap = chance.randrange(1, 20)
        if gap:
            gap -= 1
            continue
        yield at, 0 if chance.random() < 0.02 else chance.choice((length, length, length, length // 2))


def _flow(chance: random.Random, start: int, host: StoredHost, apps: int, domains: int) -> StoredFlow:
    # The square of an even draw: few names with much, many with little.
    app, domain = int(apps * chance.random() ** 2), int(domains * chance.random() ** 2)
    return StoredFlow(
        time=start,
        host_id=host.id,
        app_id=app,
        domain_id=domain,
        site_id=0,
        scope=int(Scope.REPLAY if host.kind == "replay" else chance.choice(_SCOPES)),
        protocol=chance.choice((6, 6, 17)),
        server_port=chance.choice((443, 443, 53, 22, 48_000)),
        role=int(chance.choice((Role.CLIENT, Role.SERVER))),
        remote=chance.randbytes(chance.choice((4, 16))),
        bytes_in=chance.randrange(100_000),
        bytes_out=chance.randrange(10_000),
        packets_in=chance.randrange(100),
        packets_out=chance.randrange(100),
        retrans=None,
        connections=chance.randrange(3),
        domain_source=int(chance.choice((DomainSource.TLS_SNI, DomainSource.DNS))) if domain else 0,
        process_source=int(ProcessSource.SOCK_DIAG) if app else 0,
        received_at=start + host.interval * 1000,
    )


async def store(url: str, traffic: StoredTraffic) -> None:
    """Put the traffic into a migrated PostgreSQL database; every host was last heard at ``traffic.end``."""
    pool = await open_pool(DatabaseSettings(url), "tests")
    try:
        await DayPartitions(pool, "postgresql").ensure(days_of(row.time for row in traffic.coverage))
        async with pool.acquire() as connection, connection.transaction():
            await _store_names(connection, traffic)
            await tables.copy(connection, tables.FLOW, traffic.flows)
            await tables.copy(connection, tables.COVERAGE, traffic.coverage)
    finally:
        await pool.close()


async def _store_names(connection: Any, traffic: StoredTraffic) -> None:
    await connection.copy_records_to_table(
        "host", records=[(host.id, host.name, host.kind) for host in traffic.hosts], columns=["id", "name", "kind"]
    )
    await connection.copy_records_to_table(
        "app",
        records=[(number, *names) for number, names in traffic.apps.items() if number],
        columns=["id", "name", "executable", "username"],
    )
    await connection.copy_records_to_table(
        "domain", records=[(number, name) for number, name in traffic.domains.items() if number], columns=["id", "name"]
    )
    await connection.copy_records_to_table(
        "ledger",
        records=[(host.id, "0" * 32, 1, traffic.end, traffic.end) for host in traffic.hosts],
        columns=["host_id", "epoch", "low_water", "complete_until", "updated_at"],
    )
    for host in traffic.hosts:
        if host.kind == "agent":
            await connection.execute(
                "INSERT INTO agent VALUES ($1, $2, $2, $2, '0.1.0', 'packets', '', $3, false, $4, 1, 0, 0, 0, 0, 0,"
                """ '[{"name": "eth0", "addresses": ["192.0.2.2"], "captured": true},"""
                """ {"name": "docker0", "addresses": [], "captured": false}]')""",
                host.id,
                traffic.end,
                host.interval,
                "0" * 32,
            )

"""What the history must be: every tier computed anew from a kept copy of all raw rows, in Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import msgspec

from netally.store import partitions, sql, tables
from netally.store.port_classes import port_class
from netally.store.rollups import touch
from netally.store.tiers import floor

Rows = dict[tuple[Any, ...], tuple[Any, ...]]
"""Key columns to value columns."""


class FlowRow(msgspec.Struct, frozen=True):
    """A row of ``flow``, in the order of its columns."""

    time: int
    host_id: int = 1
    app_id: int = 1
    domain_id: int = 1
    site_id: int = 0
    scope: int = 1
    protocol: int = 6
    server_port: int = 443
    role: int = 1
    remote: bytes = b"\xcb\x00\x71\x07"
    bytes_in: int = 1_500
    bytes_out: int = 300
    packets_in: int = 3
    packets_out: int = 2
    retrans: int | None = None
    connections: int = 1
    domain_source: int = 2
    process_source: int = 2
    received_at: int = 0


class CoverageRow(msgspec.Struct, frozen=True):
    """A row of ``coverage``."""

    time: int
    host_id: int = 1
    interval_seconds: int = 5
    measured_ms: int = 5_000
    mode: int = 2
    paused: bool = False


class TallyRow(msgspec.Struct, frozen=True):
    """A row of ``tally``."""

    time: int
    host_id: int = 1
    interface: str = "eth0"
    cause: int = 1
    bytes_in: int = 1_500
    bytes_out: int = 300
    packets_in: int = 3
    packets_out: int = 2


class TabRow(msgspec.Struct, frozen=True):
    """A row of ``tab_activity``."""

    time: int
    host_id: int = 1
    browser: str = "Firefox"
    site_id: int = 1
    seconds: int = 5


class History:
    """All rows that were ever accepted, less what was purged."""

    def __init__(self, zone: ZoneInfo) -> None:
        self.zone = zone
        self.flows: list[FlowRow] = []
        self.coverage: list[CoverageRow] = []
        self.tally: list[TallyRow] = []
        self.tabs: list[TabRow] = []

    async def write(
        self,
        pool: asyncpg.Pool,
        backend: str,
        flows: Sequence[FlowRow] = (),
        coverage: Sequence[CoverageRow] = (),
        tally: Sequence[TallyRow] = (),
        tabs: Sequence[TabRow] = (),
    ) -> None:
        """Ingest as the aggregator does: partitions, then rows and touched buckets in one transaction."""
        rows: list[FlowRow | CoverageRow | TallyRow | TabRow] = [*flows, *coverage, *tally, *tabs]
        given = (tables.FLOW, flows), (tables.COVERAGE, coverage), (tables.TALLY, tally), (tables.TAB_ACTIVITY, tabs)
        await partitions.DayPartitions(pool, backend).ensure(partitions.days_of(row.time for row in rows))
        async with pool.acquire() as connection, connection.transaction():
            for table, made in given:
                if made:
                    await tables.copy(connection, table, [msgspec.structs.astuple(row) for row in made])
            await touch(connection, [row.time for row in rows])
        self.flows += flows
        self.coverage += coverage
        self.tally += tally
        self.tabs += tabs

    def purge(self, keep: Callable[[FlowRow], bool]) -> None:
        self.flows = [row for row in self.flows if keep(row)]

    def expected(self, relation: str, since: int) -> Rows:
        """The relation's rows from the bucket that begins at ``since``."""
        kind, tier = relation.rsplit("_", 1)
        match kind:
            case "flow":
                return self._flow(tier, since, True)
            case "traffic":
                return self._flow(tier, since, False)
            case "coverage":
                return self._coverage(tier, since)
            case "tab_activity":
                return self._tabs(tier, since)
            case _:
                return self._tally(tier, since)

    def _flow(self, tier: str, since: int, names: bool) -> Rows:
        found: dict[tuple[Any, ...], list[Any]] = {}
        for row in self.flows:
            bucket = floor(row.time, tier, self.zone)
            if bucket < since:
                continue
            key: tuple[Any, ...] = (bucket, row.host_id, row.app_id, row.scope, row.role)
            if names:
                key += (row.domain_id, row.site_id, row.protocol, port_class(row.server_port))
            sums = found.setdefault(key, [0, 0, 0, 0, None, 0, 0])
            for at, value in enumerate((row.bytes_in, row.bytes_out, row.packets_in, row.packets_out)):
                sums[at] += value
            if row.retrans is not None:
                sums[4] = (sums[4] or 0) + row.retrans
            sums[5] += row.connections
            sums[6] = max(sums[6], row.time)
        return {key: tuple(sums) for key, sums in found.items()}

    def _coverage(self, tier: str, since: int) -> Rows:
        found: dict[tuple[Any, ...], list[Any]] = {}
        for row in self.coverage:
            bucket = floor(row.time, tier, self.zone)
            if bucket < since:
                continue
            sums = found.setdefault((bucket, row.host_id), [0, 0, 0, False])
            sums[0] += row.interval_seconds
            sums[1] += row.measured_ms
            sums[2] = max(sums[2], row.mode)
            sums[3] = sums[3] or row.paused
        return {key: tuple(sums) for key, sums in found.items()}

    def _tally(self, tier: str, since: int) -> Rows:
        found: dict[tuple[Any, ...], list[int]] = {}
        for row in self.tally:
            bucket = floor(row.time, tier, self.zone)
            if bucket < since:
                continue
            sums = found.setdefault((bucket, row.host_id, row.interface, row.cause), [0, 0, 0, 0])
            for at, value in enumerate((row.bytes_in, row.bytes_out, row.packets_in, row.packets_out)):
                sums[at] += value
        return {key: tuple(sums) for key, sums in found.items()}

    def _tabs(self, tier: str, since: int) -> Rows:
        found: dict[tuple[Any, ...], int] = {}
        for row in self.tabs:
            bucket = floor(row.time, tier, self.zone)
            if bucket >= since:
                key = (bucket, row.host_id, row.browser, row.site_id)
                found[key] = found.get(key, 0) + row.seconds
        return {key: (seconds,) for key, seconds in found.items()}


KEYS = {
    "flow": "bucket, host_id, app_id, scope, role, domain_id, site_id, protocol, port_class",
    "traffic": "bucket, host_id, app_id, scope, role",
    "coverage": "bucket, host_id",
    "tally": "bucket, host_id, interface, cause",
    "tab_activity": "bucket, host_id, browser, site_id",
}
VALUES = {
    "flow": "bytes_in, bytes_out, packets_in, packets_out, retrans, connections, last_used",
    "traffic": "bytes_in, bytes_out, packets_in, packets_out, retrans, connections, last_used",
    "coverage": "interval_seconds, measured_ms, mode, paused",
    "tally": "bytes_in, bytes_out, packets_in, packets_out",
    "tab_activity": "seconds",
}
RELATIONS = tuple(
    f"{kind}_{tier}"
    for tier in ("1m", "1h", "1d")
    for kind in ("flow", "traffic", "coverage", "tally", "tab_activity")
    if (kind, tier) != ("traffic", "1m")
)


async def stored(connection: sql.Connection, relation: str) -> Rows:
    """All that the relation answers. A key that comes twice is a failure."""
    kind = relation.rsplit("_", 1)[0]
    width = len(KEYS[kind].split(","))
    found: Rows = {}
    for row in await connection.fetch(f"SELECT {KEYS[kind]}, {VALUES[kind]} FROM {relation}"):
        key = tuple(row)[:width]
        assert key not in found, f"{relation} has {key} twice"
        found[key] = tuple(row)[width:]
    return found


async def differences(connection: sql.Connection, history: History) -> dict[str, list[Any]]:
    """Per relation what is not as it must be: (key, stored, expected). Empty when the history is right."""
    dropped = {row["name"]: row["dropped_before"] for row in await sql.fetch(connection, "tiers")}
    wrong: dict[str, list[Any]] = {}
    for relation in RELATIONS:
        tier = relation.rsplit("_", 1)[1]
        there, wanted = await stored(connection, relation), history.expected(relation, dropped[tier])
        keys = sorted(there.keys() | wanted.keys(), key=repr)
        found = [(key, there.get(key), wanted.get(key)) for key in keys if there.get(key) != wanted.get(key)]
        if found:
            wrong[relation] = found
    return wrong

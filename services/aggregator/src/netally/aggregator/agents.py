"""Agent reports: the sink of stream AGENTS, which keeps the newest report of each host."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import asyncpg
import structlog
from nats.aio.msg import Msg

from netally.aggregator.dimensions import Dimensions, PurgedError
from netally.aggregator.metrics import AGENT_REPORTS
from netally.bus import subjects
from netally.contracts.agent import CLOCK_TOLERANCE_MS, AgentReported
from netally.contracts.wire import UndecodableError, decode_json, encode_json
from netally.store import sql

KINDS = ("agent", "replay")

log = structlog.get_logger()


class Received(NamedTuple):
    report: AgentReported
    clock_offset: int | None
    """Milliseconds by which the agent's clock is ahead of the bus's. Not of ours: a report may wait for days in the
    stream. None for a replay, which speaks of another time.
    """


class AgentSink:
    """Decodes reports and keeps the newest of each host in the database."""

    lanes = 1

    def __init__(self, pool: asyncpg.Pool, clock: Callable[[], int]) -> None:
        self._pool = pool
        self._dimensions = Dimensions(pool)
        self._clock = clock
        self._off: set[str] = set()

    def dimensions(self) -> Dimensions:
        """Its caches of ids."""
        return self._dimensions

    def decode(self, message: Msg) -> Received:
        report = decode_json(message.data, AgentReported)
        if not report.host or subjects.agents(report.host) != message.subject:
            raise UndecodableError(f"it says it is from host {report.host!r}, which publishes elsewhere")
        if report.kind not in KINDS:
            raise UndecodableError(f"kind {report.kind!r} is none of {', '.join(KINDS)}")
        for name in ("time", "started_at"):
            if not 0 <= getattr(report, name) < 2**53:
                raise UndecodableError(f"{name} {getattr(report, name)} is out of range")
        if report.kind != "agent":
            return Received(report, None)
        return Received(report, report.time - round(message.metadata.timestamp.timestamp() * 1000))

    def weight(self, item: Received) -> int:
        return 1

    async def write(self, items: Sequence[Received]) -> None:
        while True:
            with contextlib.suppress(PurgedError):
                return await self._write(items)

    async def _write(self, items: Sequence[Received]) -> None:
        purges = self._dimensions.purges
        # By the bus's clock: the agent's own may have been set back.
        newest = {item.report.host: item for item in sorted(items, key=_stored_at)}
        ids = await self._dimensions.hosts.ids(newest)
        received = [newest[host] for host in sorted(newest, key=lambda host: ids[host])]
        reports = [item.report for item in received]
        host_ids = [ids[report.host] for report in reports]
        async with self._pool.acquire() as connection, connection.transaction():
            await self._dimensions.hold(connection, purges)
            await sql.execute(
                connection,
                "set_agents",
                host_ids=host_ids,
                reported_ats=[report.time for report in reports],
                received_ats=[self._clock()] * len(reports),
                started_ats=[report.started_at for report in reports],
                versions=[report.version for report in reports],
                modes=[report.mode for report in reports],
                mode_reasons=[report.mode_reason for report in reports],
                intervals=[report.interval for report in reports],
                pauseds=[report.paused for report in reports],
                epochs=[report.epoch for report in reports],
                sequences=[report.sequence for report in reports],
                spool_batches=[report.spool_batches for report in reports],
                spool_bytes=[report.spool_bytes for report in reports],
                lost_batches=[report.lost_batches for report in reports],
                ring_drops=[report.ring_drops for report in reports],
                settings_versions=[report.settings_version for report in reports],
                interfaces=[encode_json(report.interfaces).decode() for report in reports],
                clock_offsets=[item.clock_offset for item in received],
            )
            await sql.execute(
                connection, "set_host_kinds", host_ids=host_ids, kinds=[report.kind for report in reports]
            )
        AGENT_REPORTS.inc(len(reports))
        for item in received:
            self._watch_clock(item)

    def _watch_clock(self, item: Received) -> None:
        host, offset = item.report.host, item.clock_offset or 0
        if abs(offset) <= CLOCK_TOLERANCE_MS:
            self._off.discard(host)
        elif host not in self._off:
            self._off.add(host)
            log.warning("clock of an agent is off: its rows are placed wrongly", host=host, ahead_seconds=offset / 1000)

    async def write_off(self, item: Received) -> None:
        """Nothing waits for a report."""

    def forget(self) -> None:
        self._dimensions.forget()


def _stored_at(item: Received) -> int:
    return item.report.time - (item.clock_offset or 0)

"""An agent that was offline for two days drains its spool: its rows reach the right buckets of every tier, in raw and
in what was stored long ago, on both databases.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import msgspec
import pytest

from netally.aggregator.writer import Writer
from netally.capture.spool import Spool
from netally.contracts.flow import FlowsObserved
from netally.contracts.wire import decode_batch
from netally.store import sql
from netally.store.rollups import exclusive, refresh_outstanding
from netally.store.tiers import DAY, HOUR, MINUTE, SECOND
from tests.builders import make_batch, make_flow_record, make_tally_row
from tests.history_model import CoverageRow, FlowRow, History, TallyRow, differences
from tests.timescale.fixtures import ZONE, HistoryDatabases

NOW = int(datetime(2026, 11, 22, 10, 30, tzinfo=UTC).timestamp()) * SECOND
RETENTION_DAYS = 7


def observed(host: str, start: int, amount: int) -> FlowsObserved:
    return make_batch(
        [make_flow_record(bytes_in=amount), make_flow_record(bytes_in=1, domain=0, app=0, server_port=50_000)],
        host=host,
        start=start,
        tally=[make_tally_row(bytes_in=amount + 1)],
    )


def in_order(batch: FlowsObserved, sequence: int) -> FlowsObserved:
    return msgspec.structs.replace(batch, sequence=sequence)


def spooled(path: Path, batches: list[FlowsObserved]) -> Iterator[list[FlowsObserved]]:
    """The batches as the agent's spool hands them out, in groups."""
    spool = Spool(path, max_bytes=10**9, max_age=5 * DAY / SECOND)
    try:
        for batch in batches:
            assert spool.append([batch], batch.start / SECOND) == [spool.sequence]
        assert spool.lost_batches == 0
        while group := spool.oldest(40):
            yield [decode_batch(kept.body) for kept in group]
            spool.delete([kept.sequence for kept in group])
    finally:
        spool.close()


async def refreshed(pool: asyncpg.Pool, now: int) -> None:
    async with exclusive(pool) as connection:
        assert connection is not None
        await refresh_outstanding(connection, now, ZONE)


async def remember(pool: asyncpg.Pool, history: History, batches: list[FlowsObserved], now: int) -> None:
    """Add to the model what the batches must have become."""
    hosts = {row["name"]: row["id"] for row in await pool.fetch("SELECT name, id FROM host")}
    app = await pool.fetchval("SELECT id FROM app WHERE name = 'curl'")
    domain = await pool.fetchval("SELECT id FROM domain WHERE name = 'example.org'")
    for batch in batches:
        host, start = hosts[batch.host], batch.start
        history.coverage.append(CoverageRow(start, host))
        history.tally += [
            TallyRow(
                start, host, row.interface, row.cause, row.bytes_in, row.bytes_out, row.packets_in, row.packets_out
            )
            for row in batch.tally
        ]
        history.flows += [
            FlowRow(
                time=start,
                host_id=host,
                app_id=app if record.app else 0,
                domain_id=domain if record.domain else 0,
                server_port=record.server_port,
                bytes_in=record.bytes_in,
                bytes_out=record.bytes_out,
                packets_out=record.packets_out,
                received_at=now,
            )
            for record in batch.records
        ]


@pytest.mark.slow
async def test_two_days_of_spool_reach_the_right_buckets_of_every_tier(
    history_databases: HistoryDatabases, tmp_path: Path
) -> None:
    history = History(ZONE)
    clock = [NOW - 3 * DAY]
    async with history_databases.pool() as pool:
        writer = Writer(pool, history_databases.backend, RETENTION_DAYS, lambda: clock[0])
        # The other host reported all the time, so that every bucket was stored without the late one.
        for start in range(NOW - 3 * DAY, NOW, 6 * HOUR):
            clock[0] = start + MINUTE
            batch = observed("online", start, 1_000)
            await writer.write([in_order(batch, start // SECOND)])
            await remember(pool, history, [batch], clock[0])
            await refreshed(pool, start + 5 * HOUR)
        clock[0] = NOW
        await refreshed(pool, NOW)
        assert await differences(pool, history) == {}

        offline = [observed("offline", start, 77) for start in range(NOW - 2 * DAY, NOW, 25 * MINUTE)]
        for group in spooled(tmp_path / "spool.db", offline):
            await writer.write(group)
            # The acknowledgement was lost: it comes again.
            await writer.write(group[-5:])
        await remember(pool, history, offline, NOW)
        await refreshed(pool, NOW)
        await refreshed(pool, NOW + HOUR)
        assert await differences(pool, history) == {}


@pytest.mark.slow
async def test_too_old_and_future_rows_follow_the_rules_and_are_counted(history_databases: HistoryDatabases) -> None:
    history = History(ZONE)
    async with history_databases.pool() as pool:
        writer = Writer(pool, history_databases.backend, RETENTION_DAYS, lambda: NOW)
        edge = NOW - (RETENTION_DAYS - 1) * DAY
        good = [observed("a", edge, 10), observed("a", NOW - 5 * SECOND, 20)]
        old = [observed("a", edge - 5 * SECOND, 30), observed("a", NOW - 400 * DAY, 40)]
        future = [observed("a", NOW + 5 * SECOND, 50), observed("a", NOW + 400 * DAY, 60)]
        await writer.write([in_order(batch, number) for number, batch in enumerate((*good, *old, *future), 1)])
        await remember(
            pool, history, [*good, *(observed("a", NOW, batch.records[0].bytes_in) for batch in future)], NOW
        )
        await refreshed(pool, NOW)
        # The moved rows are visible at once, and they are not ahead of the clock.
        assert await differences(pool, history) == {}
        await refreshed(pool, NOW + 2 * HOUR)
        assert await differences(pool, history) == {}
        found = {
            row["reason"]: (row["rows"], row["bytes"]) for row in await sql.fetch(pool, "refused", hosts=[1], since=NOW)
        }
        assert found == {"too_old": (4, 30 + 40 + 2 + 4 * 300), "future": (4, 50 + 60 + 2 + 4 * 300)}


async def test_rows_of_a_time_that_was_dropped_are_refused_though_retention_was_raised_since(
    history_databases: HistoryDatabases,
) -> None:
    """No tier is made anew where raw was dropped: such rows would be counted until the next cleanup, then be gone."""
    async with history_databases.pool() as pool:
        writer = Writer(pool, history_databases.backend, RETENTION_DAYS, lambda: NOW)
        await writer.write([in_order(observed("web-1", NOW - DAY, 10), 1)])
        dropped = NOW // DAY * DAY - RETENTION_DAYS * DAY
        await sql.execute(pool, "set_dropped_before", tier="raw", before=dropped)
        writer.keep_raw(30)
        late = [in_order(observed("web-1", dropped + shift, 10), 2 + place) for place, shift in enumerate((-5_000, 0))]
        await writer.write(late)
        times = [row["time"] for row in await pool.fetch("SELECT DISTINCT time FROM flow ORDER BY time")]
        assert times == [dropped, NOW - DAY]
        refused = await pool.fetch("SELECT reason, rows, bytes FROM refused")
        assert [tuple(row) for row in refused] == [
            ("too_old", 2, sum(r.bytes_in + r.bytes_out for r in late[0].records))
        ]

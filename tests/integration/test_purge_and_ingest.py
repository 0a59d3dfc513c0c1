"""A purge while batches come in: no row is ever written under a purged id, however late its writer hears of it."""

from __future__ import annotations

import asyncio
from typing import cast
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from netally.aggregator.agents import AgentSink, Received
from netally.aggregator.dimensions import Dimensions
from netally.aggregator.maintenance import Maintenance
from netally.aggregator.tabs import TabSink
from netally.aggregator.writer import Writer
from netally.contracts.tabs import TabSpan, TabsReported
from netally.store import backend, retention, rollups
from netally.store.retention import Ages
from tests.builders import START, make_agent_report, make_batch, make_epoch
from tests.migrated_database import DEPLOYMENT_ZONE
from tests.services import eventually

NOW = START + 3_600_000
ZONE = ZoneInfo(DEPLOYMENT_ZONE)
HOST, DOMAIN = "box.example", "example.net"


async def purge(pool: asyncpg.Pool, dimension: str, name: str) -> int:
    """Without telling anybody, as if every broadcast were lost; the id that is purged."""
    async with rollups.exclusive(pool) as connection:
        assert connection is not None
        gone = int(
            await connection.fetchval(f"SELECT id FROM {dimension} WHERE name = $1 AND deleted_at IS NULL", name)
        )
        await retention.purge(connection, dimension, gone, NOW, ZONE)
    return gone


async def make_writer(pool: asyncpg.Pool) -> Writer:
    async with pool.acquire() as connection:
        kind = await backend.find(cast("asyncpg.Connection", connection))
    return Writer(pool, kind, 7, lambda: NOW)


async def write(writer: Writer, sequence: int) -> None:
    start = START + sequence * 5_000
    await writer.write([make_batch(host=HOST, domains=[DOMAIN], epoch=make_epoch(), start=start)])


async def names(pool: asyncpg.Pool, relation: str, column: str, dimension: str) -> list[str]:
    """Of each row, in the order of time; empty for an id that is purged."""
    rows = await pool.fetch(
        f"SELECT name FROM {relation} JOIN {dimension} ON id = {column} WHERE deleted_at IS NULL"
        f" UNION ALL SELECT '' FROM {relation} JOIN {dimension} ON id = {column} WHERE deleted_at IS NOT NULL"
    )
    return [row["name"] for row in rows]


@pytest.mark.parametrize(("dimension", "name"), [("host", HOST), ("app", "curl"), ("domain", DOMAIN)])
async def test_a_writer_that_never_heard_of_a_purge_takes_a_new_id(
    history_database: asyncpg.Pool, dimension: str, name: str
) -> None:
    writer = await make_writer(history_database)
    await write(writer, 1)
    await purge(history_database, dimension, name)
    assert await history_database.fetchval("SELECT count(*) FROM flow") == 0
    await write(writer, 2)
    assert await names(history_database, "flow", f"{dimension}_id", dimension) == [name]
    await write(writer, 3)
    assert await names(history_database, "flow", f"{dimension}_id", dimension) == [name, name]


async def test_reports_of_agents_and_browsers_take_new_ids_as_well(history_database: asyncpg.Pool) -> None:
    async def oldest(now: int) -> int:
        return 0

    async with history_database.acquire() as connection:
        kind = await backend.find(cast("asyncpg.Connection", connection))
    agents = AgentSink(history_database, lambda: NOW)
    tabs = TabSink(history_database, kind, oldest, lambda: NOW)

    async def report(number: int) -> None:
        await agents.write([Received(make_agent_report(host=HOST), 0)])
        spans = [TabSpan(DOMAIN, START, 60)]
        await tabs.write([TabsReported(HOST, f"{number:032x}", "a", "Firefox", START, spans)])

    await report(1)
    await purge(history_database, "host", HOST)
    await purge(history_database, "domain", DOMAIN)
    await report(2)
    assert await names(history_database, "agent", "host_id", "host") == [HOST]
    assert await names(history_database, "tab_activity", "host_id", "host") == [HOST]
    assert await names(history_database, "tab_activity", "site_id", "domain") == [DOMAIN]


async def waiting(pool: asyncpg.Pool, kind: str) -> None:
    """Until somebody of this database waits for a lock of a kind."""

    async def so() -> bool:
        return bool(
            await pool.fetchval(
                "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) "
                "WHERE datname = current_database() AND NOT granted AND locktype = $1",
                kind,
            )
        )

    await eventually(so)


async def test_a_purge_waits_for_a_group_that_is_being_written_and_takes_its_rows(pool: asyncpg.Pool) -> None:
    writer = await make_writer(pool)
    await write(writer, 1)
    async with pool.acquire() as blocker:
        transaction = blocker.transaction()
        await transaction.start()
        # Entered last: the rows are in the table by then, not committed.
        await blocker.execute("LOCK TABLE touched IN EXCLUSIVE MODE")
        writing = asyncio.create_task(write(writer, 2))
        await waiting(pool, "relation")
        purging = asyncio.create_task(purge(pool, "host", HOST))
        await waiting(pool, "advisory")
        # Who comes after the purge waits for it, and goes on as soon as it has begun.
        late = asyncio.create_task(write(writer, 3))
        await transaction.rollback()
    await writing
    gone = await purging
    await late
    assert await pool.fetchval("SELECT count(*) FROM flow WHERE host_id = $1", gone) == 0
    assert await names(pool, "flow", "host_id", "host") == [HOST]
    assert await names(pool, "ledger", "host_id", "host") == [HOST]


async def test_a_group_whose_ids_are_purged_before_it_begins_looks_them_up_again(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = await make_writer(pool)
    await write(writer, 1)
    hold = Dimensions.hold
    purged: list[int] = []

    async def late(dimensions: Dimensions, connection: asyncpg.Connection, purges: int) -> None:
        # The ids are looked up, the transaction is about to begin.
        if not purged:
            purged.append(await purge(pool, "domain", DOMAIN))
        await hold(dimensions, connection, purges)

    monkeypatch.setattr(Dimensions, "hold", late)
    await write(writer, 2)
    assert await pool.fetchval("SELECT count(*) FROM flow WHERE domain_id = $1", purged[0]) == 0
    assert await names(pool, "flow", "domain_id", "domain") == [DOMAIN]


async def test_ids_that_were_asked_for_before_a_purge_are_not_remembered_after_it(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = await make_writer(pool)
    dimensions = writer.dimensions()
    await write(writer, 1)
    dimensions.forget()
    learn = dimensions.domains._learn

    async def slowly(keys: list[str]) -> dict[str, int]:
        found = await learn(keys)
        monkeypatch.undo()
        await purge(pool, "domain", DOMAIN)
        # The other group of this process hears of it first.
        await write(writer, 2)
        return found

    monkeypatch.setattr(dimensions.domains, "_learn", slowly)
    await write(writer, 3)
    await write(writer, 4)
    assert await names(pool, "flow", "domain_id", "domain") == [DOMAIN] * 3


async def test_writers_go_on_while_rows_are_deleted(pool: asyncpg.Pool) -> None:
    writer = await make_writer(pool)
    await write(writer, 1)
    async with pool.acquire() as blocker:
        transaction = blocker.transaction()
        await transaction.start()
        await blocker.execute("LOCK TABLE flow_1d_rollup IN ACCESS EXCLUSIVE MODE")
        purging = asyncio.create_task(purge(pool, "host", HOST))
        await waiting(pool, "relation")
        await asyncio.wait_for(write(writer, 2), 20)
        await transaction.rollback()
    gone = await purging
    assert await pool.fetchval("SELECT count(*) FROM flow WHERE host_id = $1", gone) == 0
    assert await names(pool, "flow", "host_id", "host") == [HOST]


async def test_totals_that_an_interrupted_purge_left_are_corrected_by_the_next_maintenance(
    history_database: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = await make_writer(history_database)
    await write(writer, 1)
    at = NOW + 4 * 3_600_000
    async with rollups.exclusive(history_database) as connection:
        assert connection is not None
        await rollups.refresh_outstanding(connection, at, ZONE)
    total = "SELECT coalesce(sum(bytes_in), 0) FROM traffic_1h"
    assert await history_database.fetchval(total) > 0

    async def dies(*_: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(retention, "correct_totals", dies)
        with pytest.raises(ConnectionError):
            await purge(history_database, "domain", DOMAIN)
    assert await history_database.fetchval("SELECT count(*) FROM flow_1h") == 0
    assert await history_database.fetchval(total) > 0
    assert await Maintenance(Ages, lambda: at).turn(history_database)
    assert await history_database.fetchval(total) == 0
    assert await history_database.fetchval("SELECT count(*) FROM stale_total") == 0

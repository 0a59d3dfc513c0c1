"""Commands for hosts, with real agents: pause and resume, intervals, log levels, caches; what the batches then say."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from netally.contracts.codes import Cause
from netally.store import sql
from tests.aggregator_process import AggregatorProcess
from tests.ordering import Orders
from tests.services import NatsServer, die_with_parent, eventually

pytestmark = pytest.mark.root

HOST = "box.example"


def start_agent(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "netally.capture"], env=environment, preexec_fn=die_with_parent)


@pytest.fixture
def environment(nats_url: str, tmp_path: Path) -> dict[str, str]:
    """Of the agent."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NETALLY_")}
    return kept | {
        "NETALLY_NATS_URL": nats_url, "NETALLY_DATA_DIR": str(tmp_path / "agent"), "NETALLY_HOST": HOST,
        "NETALLY_INTERVAL": "1", "NETALLY_INTERFACES": "lo", "NETALLY_CAPTURE_PORT": "0",
    }  # fmt: skip


@pytest.fixture
async def agent(
    aggregator: AggregatorProcess, environment: dict[str, str], pool: asyncpg.Pool
) -> AsyncIterator[subprocess.Popen[bytes]]:
    """An agent on loopback, whose counters the tests' own traffic moves."""
    process = start_agent(environment)

    async def reported() -> bool:
        return bool(await pool.fetchval("SELECT count(*) FROM agent JOIN host ON id = host_id WHERE name = $1", HOST))

    await eventually(reported, within=20)
    yield process
    process.terminate()
    assert await asyncio.to_thread(process.wait, 15) == 0


async def test_paused_and_resumed(
    agent: subprocess.Popen[bytes], orders: Orders, pool: asyncpg.Pool, nats_server: NatsServer
) -> None:
    done = await orders.run("pause", {"hosts": [HOST]})
    assert done.state == "succeeded", done
    told = done.result["hosts"][HOST]
    assert (told["before"]["paused"], told["after"]["paused"], told["acknowledged"]) == (False, True, True)

    async def paused_seconds() -> int:
        return int(await pool.fetchval("SELECT count(*) FROM coverage WHERE paused AND measured_ms = 0"))

    await eventually(lambda: _at_least(paused_seconds, 2), within=15)
    # The restart of the bus changes nothing; what it was told is followed afterwards as well.
    await asyncio.to_thread(nats_server.stop)
    await asyncio.to_thread(nats_server.start)
    began = time.monotonic()
    done = await orders.run("resume", {})
    assert done.state == "succeeded", done
    assert time.monotonic() - began < 10
    counted = await pool.fetchval("SELECT sum(bytes_in + bytes_out) FROM tally WHERE cause = $1", int(Cause.PAUSED))
    assert counted > 0

    async def measured_again() -> bool:
        newest = await pool.fetchrow("SELECT paused, measured_ms FROM coverage ORDER BY time DESC LIMIT 1")
        return bool(newest and not newest["paused"] and newest["measured_ms"] >= 900)

    await eventually(measured_again, within=15)
    # Every second has its row, and only one: the intervals that were cut in two count as one.
    doubled = await pool.fetch("SELECT time FROM coverage GROUP BY time HAVING count(*) > 1")
    assert doubled == []


async def test_a_paused_host_that_starts_without_the_bus_stays_paused(
    agent: subprocess.Popen[bytes],
    environment: dict[str, str],
    orders: Orders,
    pool: asyncpg.Pool,
    nats_server: NatsServer,
) -> None:
    assert (await orders.run("pause", {"hosts": [HOST]})).state == "succeeded"
    await asyncio.to_thread(nats_server.stop)
    agent.terminate()
    assert await asyncio.to_thread(agent.wait, 15) == 0
    began = int(time.time() + 1) * 1000
    again = start_agent(environment)
    try:
        # What it counts before the bus is back tells whether it remembered.
        spool = Path(environment["NETALLY_DATA_DIR"]) / "capture" / "spool.sqlite3"

        async def spooled() -> bool:
            with contextlib.closing(sqlite3.connect(spool)) as database:
                (last,) = database.execute("SELECT max(sequence) FROM batch").fetchone()
            return bool(last and time.time() * 1000 > began + 3_000)

        await eventually(spooled, within=20)
        await asyncio.to_thread(nats_server.start)
        since = "FROM coverage WHERE time >= to_timestamp($1 / 1000.0)"

        async def arrived() -> bool:
            return bool(await pool.fetchval(f"SELECT count(*) {since}", began) >= 3)

        await eventually(arrived, within=20)
        assert await pool.fetchval(f"SELECT bool_and(paused AND measured_ms = 0) {since}", began)
    finally:
        again.terminate()
        assert await asyncio.to_thread(again.wait, 15) == 0


async def _at_least(count: Any, number: int) -> bool:
    return bool(await count() >= number)


async def test_the_interval_changes_the_batches_that_arrive(
    agent: subprocess.Popen[bytes], orders: Orders, pool: asyncpg.Pool
) -> None:
    began = time.monotonic()
    done = await orders.run("set-interval", {"interval": 2})
    assert done.state == "succeeded", done
    assert time.monotonic() - began < 3
    told = done.result["hosts"][HOST]
    assert (told["before"]["interval"], told["after"]["interval"]) == (1, 2)

    async def seconds() -> bool:
        return bool(await pool.fetchval("SELECT count(*) FROM coverage WHERE interval_seconds = 2") >= 2)

    await eventually(seconds, within=15)
    assert await pool.fetchval("SELECT interval_seconds FROM agent") == 2
    # A long interval that is cut short is complete up to the cut, not up to its end, which is yet to come.
    for interval in (60, 1):
        assert (await orders.run("set-interval", {"interval": interval})).state == "succeeded"
    before = time.time() * 1000

    async def complete() -> bool:
        (row,) = await sql.fetch(pool, "agents_complete", hosts=None)
        assert row["complete_until"] <= time.time() * 1000
        return bool(row["complete_until"] > before)

    await eventually(complete, within=15)


async def test_caches_are_dropped_everywhere_and_the_silent_are_named(
    agent: subprocess.Popen[bytes], orders: Orders, pool: asyncpg.Pool
) -> None:
    await pool.execute(
        "WITH gone AS (INSERT INTO host (name) VALUES ('gone.example') RETURNING id) INSERT INTO agent "
        "SELECT gone.id, now(), now(), now(), '', 'packets', '', 5, false, '', 1, 0, 0, 0, 0, 0, '[]' FROM gone"
    )
    done = await orders.run("refresh-cache", {"wait_seconds": 1})
    assert done.state == "succeeded"
    by_service = {one["service"]: one for one in done.result["instances"]}
    assert by_service["capture"]["instance"] == HOST
    assert by_service["capture"]["dropped"]["processes"] > 0
    assert by_service["aggregator"]["dropped"]["hosts"] > 0
    assert done.result["silent"] == ["gone.example"]
    done = await orders.run("pause", {"hosts": ["nobody"]})
    assert (done.state, done.field) == ("failed", "hosts")


async def test_naming_rules_name_the_next_interval_on_every_host(
    agent: subprocess.Popen[bytes],
    environment: dict[str, str],
    orders: Orders,
    pool: asyncpg.Pool,
    nats_server: NatsServer,
    tmp_path: Path,
) -> None:
    def another(host: str) -> subprocess.Popen[bytes]:
        return start_agent(environment | {"NETALLY_DATA_DIR": str(tmp_path / host), "NETALLY_HOST": host})

    async def names(host: str) -> set[str]:
        """Applications of the host's newest interval."""
        rows = await pool.fetch(
            "WITH own AS (SELECT time, app_id FROM flow JOIN host ON host.id = host_id WHERE host.name = $1) "
            "SELECT DISTINCT name FROM own JOIN app ON app.id = app_id WHERE time = (SELECT max(time) FROM own)",
            host,
        )
        return {row["name"] for row in rows} - {""}

    async def named(wanted: str, *hosts: str) -> None:
        async def so() -> bool:
            return all([await names(host) == {wanted} for host in hosts])

        await eventually(so, within=20)

    both = (HOST, "second.example")
    agents = [another(both[1])]
    try:

        async def seen() -> bool:
            return all([len(await names(host)) > 1 for host in both])

        await eventually(seen, within=20)
        began = time.monotonic()
        done = await orders.run("set-naming-rules", {"rules": "name=* -> first"})
        assert (done.state, time.monotonic() - began < 3) == ("succeeded", True), done
        assert {host: told["acknowledged"] for host, told in done.result["hosts"].items()} == dict.fromkeys(both, True)
        await named("first", *both)
        # The restart of the bus changes nothing, and a host that is new follows as well.
        await asyncio.to_thread(nats_server.stop)
        await asyncio.to_thread(nats_server.start)
        agents.append(another("third.example"))
        await named("first", *both, "third.example")
        done = await orders.run("set-naming-rules", {"rules": "name=* -> second", "hosts": [both[1]]})
        assert done.state == "succeeded", done
        await named("second", both[1])
        assert await names(HOST) == {"first"}
    finally:
        for each in agents:
            each.terminate()
        assert [await asyncio.to_thread(each.wait, 15) for each in agents] == [0] * len(agents)


async def test_log_levels(agent: subprocess.Popen[bytes], orders: Orders) -> None:
    done = await orders.run("set-log-level", {"target": "hosts", "level": "debug"})
    assert (done.state, done.result["hosts"][HOST]["after"]["log_level"]) == ("succeeded", "debug"), done
    done = await orders.run("set-log-level", {"target": "aggregator", "level": "warning"})
    assert done.result["changes"]["log_level"] == {"before": None, "after": "warning"}
    assert [one["log_level"] for one in done.result["instances"].values()] == ["warning"]

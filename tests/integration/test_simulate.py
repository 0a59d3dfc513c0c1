"""``simulate`` through the real bus: every row it counts is in the database, once, and peers are known as such."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import asyncpg

from netally.contracts.codes import Scope
from tests.aggregator_process import AggregatorProcess
from tests.services import NatsServer, eventually


async def simulate(nats_url: str, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "netally.capture", "simulate", *arguments),
        env={**os.environ, "NETALLY_NATS_URL": nats_url},
        stdout=asyncio.subprocess.PIPE,
    )


async def test_what_is_sent_arrives_once_and_ctrl_c_ends_it_cleanly(
    nats_server: NatsServer, empty_database_url: str, tmp_path: Path
) -> None:
    aggregator = AggregatorProcess(nats_server.url, empty_database_url)
    aggregator.start()
    await aggregator.ready()
    database = await asyncpg.connect(empty_database_url)
    kept = tmp_path / "summary.json"
    try:
        running = await simulate(nats_server.url, "--hosts", "30", "--minutes", "0", "--summary", str(kept))

        async def flows() -> bool:
            return bool(await database.fetchval("SELECT count(*) > 100 FROM flow"))

        await eventually(flows, within=30)
        running.send_signal(signal.SIGINT)
        said, _ = await asyncio.wait_for(running.communicate(), 30)
        assert running.returncode == 130
        summary: dict[str, Any] = json.loads(kept.read_text())
        assert f"{summary['batches']:,} batches acknowledged, {summary['rows']:,} rows".encode() in said

        async def all_there() -> bool:
            return bool(await database.fetchval("SELECT count(*) FROM flow") == summary["rows"])

        await eventually(all_there, within=20)
        totals = await database.fetch(
            "SELECT name, sum(bytes_in)::bigint AS into, sum(bytes_out)::bigint AS out"
            " FROM flow JOIN host ON host.id = host_id WHERE scope <> $1 GROUP BY name",
            int(Scope.LOOPBACK),
        )
        sent = {name: tuple(amounts) for name, amounts in summary["host_bytes"].items() if any(amounts)}
        assert {row["name"]: (row["into"], row["out"]) for row in totals} == sent
        assert await database.fetchval("SELECT count(*) FROM agent") == 30
    finally:
        await database.close()
        await aggregator.stop()


async def test_history_is_filled_without_a_hole_and_only_where_it_is_missing(
    nats_server: NatsServer, empty_database_url: str, tmp_path: Path
) -> None:
    aggregator = AggregatorProcess(nats_server.url, empty_database_url)
    aggregator.start()
    await aggregator.ready()
    database = await asyncpg.connect(empty_database_url)
    since = tmp_path / "since.json"
    since.write_text("{}")

    async def fill() -> None:
        running = await simulate(
            nats_server.url, "--hosts", "2", "--history", "2", "--fill-only", "--prefix", "", "--since", str(since)
        )
        await asyncio.wait_for(running.communicate(), 60)
        assert running.returncode == 0

    try:
        await fill()
        once = await database.fetchrow(
            "SELECT count(*) AS rows, min(time) AS first, max(time) AS last, sum(measured_ms)::bigint AS ms"
            " FROM coverage WHERE host_id = (SELECT id FROM host WHERE name LIKE 'nas%')"
        )
        assert once is not None
        # All but a pause, if there was one.
        assert once["ms"] >= 0.95 * (once["last"] - once["first"]).total_seconds() * 1000
        ends = await database.fetch(
            "SELECT name, (extract(epoch FROM max(complete_until)) * 1000)::bigint AS at"
            " FROM ledger JOIN host ON host.id = host_id GROUP BY name"
        )
        since.write_text(json.dumps({row["name"]: row["at"] for row in ends}))
        await fill()
        again = await database.fetch("SELECT host_id, time, count(*) FROM coverage GROUP BY 1, 2 HAVING count(*) > 1")
        assert again == []
    finally:
        await database.close()
        await aggregator.stop()

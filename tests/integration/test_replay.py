"""A capture sent with ``replay FILE`` is in the database: its bytes, its names, its kind, its times."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import asyncpg

from tests.accuracy import OWN
from tests.aggregator_process import AggregatorProcess
from tests.services import NatsServer, eventually


def replay(nats_url: str, *arguments: str) -> str:
    run = subprocess.run(
        [sys.executable, "-m", "netally.capture", "replay", *arguments],
        env={**os.environ, "NETALLY_NATS_URL": nats_url},
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    return run.stdout


async def test_a_capture_becomes_a_host_of_its_own(
    nats_server: NatsServer, empty_database_url: str, tmp_path: Path
) -> None:
    aggregator = AggregatorProcess(nats_server.url, empty_database_url)
    aggregator.start()
    await aggregator.ready()
    database = await asyncpg.connect(empty_database_url)
    try:
        file = tmp_path / "holiday.pcap"
        file.write_bytes((OWN / "quic-versions.pcap").read_bytes())
        before = time.time()
        said = replay(nats_server.url, str(file))
        assert "as host replay-holiday" in said

        async def arrived() -> bool:
            rows = await database.fetchval("SELECT count(*) FROM flow")
            kind = await database.fetchval("SELECT kind FROM host WHERE name = 'replay-holiday'")
            return bool(rows == 3 and kind == "replay")

        await eventually(arrived, within=20)
        rows = await database.fetch(
            """SELECT domain.name AS domain, scope, server_port, bytes_out, bytes_in, extract(epoch FROM time) AS time
               FROM flow JOIN domain ON domain.id = domain_id ORDER BY domain.name"""
        )
        assert [row["domain"] for row in rows] == ["google.example", "quic.example", "two.example"]
        assert {(row["scope"], row["server_port"]) for row in rows} == {(5, 443)}
        # Two datagrams of 1,200 bytes out, one in, each with 28 bytes of IP and UDP.
        assert (rows[1]["bytes_out"], rows[1]["bytes_in"]) == (2_456, 1_228)
        assert all(before - 15 <= row["time"] <= time.time() for row in rows)

        replay(nats_server.url, str(file), "--keep-time", "--host", "then")

        async def refused_or_there() -> bool:
            return bool(await database.fetchval("SELECT count(*) FROM host WHERE name = 'then' AND kind = 'replay'"))

        await eventually(refused_or_there, within=20)
    finally:
        await database.close()
        aggregator.kill()

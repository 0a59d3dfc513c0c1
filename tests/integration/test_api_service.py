"""The API as a process of its own, with real servers that come, go, and are slow."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import pytest

from netally.api.app import wall_clock
from netally.api.database import BUSY, CONNECTIONS, Database, reading_url
from netally.store.database import DatabaseSettings
from netally.store.migrate import migrate
from tests.api_in_process import BEARER, running_api
from tests.api_process import api_process
from tests.services import PostgresServer, eventually
from tests.stored_traffic import MINUTE, make_traffic, store


async def test_it_answers_before_anything_is_there_and_stops_at_once() -> None:
    async with api_process() as api:
        for path in ("/api/applications", "/api/domains", "/api/hosts", "/api/stats/timeline"):
            answer = await api.client.get(path)
            assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
        assert (await api.client.get("/api/ready")).status_code == 503
        assert (await api.client.get("/api/stats/bandwidth")).json()["total"]["bytes_in"] is None
        assert "cannot reach NATS" in (await api.parts())["bus"]
        started = time.monotonic()
        api.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(api.process.wait, 10) == 0
        assert time.monotonic() - started < 5


async def test_an_open_live_stream_does_not_hold_it_and_resumes_where_it_ended() -> None:
    async with api_process() as api:
        seen: list[int] = []

        async def read(count: int, **headers: str) -> None:
            async with api.client.stream("GET", "/api/live", headers=headers) as answer:
                assert answer.headers["content-type"].startswith("text/event-stream")
                async for line in answer.aiter_lines():
                    if line.startswith("id: "):
                        seen.append(int(line[4:]))
                    if line.startswith("data: "):
                        assert json.loads(line[6:])["total"] == {"bytes_in": None, "bytes_out": None}
                    if len(seen) >= count and not line:
                        return

        await read(3)
        missed_from = seen[-1]
        await asyncio.sleep(3)
        await read(6, **{"Last-Event-ID": str(missed_from)})
        gaps = [(later - earlier) / 1000 for earlier, later in itertools.pairwise(seen)]
        assert all(0.9 < gap < 1.2 for gap in gaps), gaps

        stream = asyncio.create_task(read(1000))
        await asyncio.sleep(0.5)
        started = time.monotonic()
        api.process.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(api.process.wait, 10) == 0
        assert time.monotonic() - started < 5
        with contextlib.suppress(httpx.HTTPError):
            await stream


async def test_a_taken_port_is_said_in_plain_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "netally.api"],
            env={**os.environ, "NETALLY_API_PORT": str(port)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == f"netally api: cannot listen on 127.0.0.1 port {port}: Address already in use\n"


@pytest.mark.parametrize(("variable", "value"), [("NETALLY_API_PORT", "http"), ("NETALLY_API_PORT", "70000")])
async def test_a_wrong_setting_is_named_without_a_traceback(variable: str, value: str) -> None:
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "netally.api"],
        env={**os.environ, variable: value},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, variable in done.stderr, "Traceback" in done.stderr) == (1, True, False)


async def test_it_recovers_from_a_database_that_comes_late_and_goes(own_postgres_server: PostgresServer) -> None:
    url = await own_postgres_server.create_database()
    await asyncio.to_thread(own_postgres_server.stop)
    async with api_process(url) as api:

        async def waits_for(words: str) -> bool:
            answer = await api.client.get("/api/applications")
            assert answer.status_code == 503, answer.text
            return words in answer.json()["detail"]

        await eventually(lambda: waits_for("cannot reach the database"))
        await asyncio.to_thread(own_postgres_server.start)
        # There, and without the tables that the aggregator makes.
        await eventually(lambda: waits_for("the aggregator makes them"), within=20)
        assert "the aggregator makes them" in (await api.parts())["database"]

        await migrate(DatabaseSettings(url), "UTC")
        assert (await api.client.get("/api/applications")).status_code == 200
        await asyncio.to_thread(own_postgres_server.kill)
        assert (await api.client.get("/api/applications")).status_code == 503
        await asyncio.to_thread(own_postgres_server.start)

        async def answers_again() -> bool:
            return (await api.client.get("/api/applications")).status_code == 200

        await eventually(answers_again, within=20)


async def _running_statements(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        found: int = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = 'netally-api' AND state = 'active' AND datname = current_database()"
        )
        return found
    finally:
        await connection.close()


@asynccontextmanager
async def _locked(url: str) -> AsyncIterator[None]:
    """Nobody can read table app meanwhile, so that a query takes as long as it may."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE app IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


async def test_the_query_of_a_client_that_left_is_cancelled(migrated_database_url: str) -> None:
    async with api_process(migrated_database_url) as api, _locked(migrated_database_url):

        async def is_running(count: int) -> bool:
            return await _running_statements(migrated_database_url) == count

        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", headers=BEARER) as leaver:
            request = asyncio.create_task(leaver.get("/api/applications", timeout=30))
            await eventually(lambda: is_running(1))
            request.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await request
        # Well before the time limit of a statement.
        await eventually(lambda: is_running(0), within=5)
        metrics = (await api.client.get("/metrics")).text
        assert 'netally_api_queries_cancelled_total{reason="client_left"} 1.0' in metrics


async def test_a_statement_that_takes_too_long_is_503_and_says_what_to_narrow(migrated_database_url: str) -> None:
    async with running_api(migrated_database_url, statement_timeout=0.3) as api, _locked(migrated_database_url):
        started = time.monotonic()
        answer = await api.client.get("/api/applications?range=30d")
        assert time.monotonic() - started < 5
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "10"
    assert "shorter range" in answer.json()["detail"]


async def test_more_slow_queries_than_connections_are_503_and_pass_by(migrated_database_url: str) -> None:
    async with api_process(migrated_database_url) as api:
        async with _locked(migrated_database_url):
            asked = [asyncio.create_task(api.client.get("/api/applications")) for _ in range(50)]
            _, waiting = await asyncio.wait(asked, timeout=9)
            # As many as there are connections wait for the lock, nobody else for them.
            assert len(waiting) == CONNECTIONS
            for task in set(asked) - waiting:
                answer = task.result()
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
                assert "all connections to the database are busy" in answer.json()["detail"]
            # What needs no database is told meanwhile.
            assert (await api.client.get("/api/stats/bandwidth")).status_code == 200
        assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200] * CONNECTIONS
        assert (await api.client.get("/api/applications")).status_code == 200


async def test_queries_share_the_databases_cores_once_there_are_several(migrated_database_url: str) -> None:
    database = Database(migrated_database_url)
    await database.run()
    workers: list[str] = []
    try:
        async with contextlib.AsyncExitStack() as open_:
            for _ in range(BUSY + 1):
                connection, _ = await open_.enter_async_context(database._snapshot(""))
                workers.append(await connection.fetchval("SHOW max_parallel_workers_per_gather"))
        async with database._snapshot("") as (connection, _):
            workers.append(await connection.fetchval("SHOW max_parallel_workers_per_gather"))
    finally:
        await database.close()
    assert workers[:BUSY] == [workers[-1]] * BUSY
    assert (workers[BUSY], workers[-1] == "0") == ("0", False)


async def test_it_cannot_write(migrated_database_url: str) -> None:
    connection = await asyncpg.connect(reading_url(migrated_database_url, 1))
    try:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await connection.execute("DELETE FROM app")
    finally:
        await connection.close()


async def test_hostile_parameters_are_refused_or_harmless(migrated_database_url: str) -> None:
    now = wall_clock() // MINUTE * MINUTE
    await store(migrated_database_url, make_traffic(seed=1, end=now, minutes=5))
    quotes = "'; DROP TABLE flow; --"
    queries: list[tuple[str, dict[str, Any]]] = [
        ("/api/applications", {"host": quotes}),
        ("/api/applications", {"sort": quotes}),
        ("/api/stats/timeline", {"split": quotes}),
        ("/api/stats/timeline", {"bucket": quotes}),
        ("/api/domains", {"from": quotes}),
        ("/api/domains", {"host": "\x00"}),
        ("/api/domains", {"limit": "9" * 400}),
        ("/api/domains", {quotes: "1"}),
        ("/api/hosts", {"to": "9" * 30}),
        ("/api/hosts", {"from": "0001-01-01"}),
        ("/api/hosts", {"to": "9999-12-31T23:59:59.999999-23:59"}),
        ("/api/hosts", {"host": ["x"] * 101}),
        ("/api/hosts", {"host": "x" * 300}),
        ("/api/domains", {"limit": "1001"}),
        ("/api/domains", {"offset": "-1"}),
        ("/api/flows", {"limit": str(2**63)}),
        ("/api/stats/breakdown", {"by": f"app,{quotes}"}),
        ("/api/stats/breakdown", {"by": "app,app"}),
        ("/api/historical/daily", {"tz": "../../etc/passwd"}),
        ("/api/historical/daily", {"tz": "Europe/Vienna\x00"}),
        ("/api/filter/complete", {"range": quotes}),
        ("/api/filter/complete", {"text": "x" * 3_000}),
        ("/api/filter/complete", {"cursor": "-1"}),
        ("/api/filter/complete", {"tz": quotes}),
        ("/api/conservation", {"range": "2y"}),
        ("/api/stats/breakdown", {"filter": f"app = {quotes}"}),
        ("/api/stats/breakdown", {"filter": "(" * 1_000 + "app = x" + ")" * 900}),
        ("/api/stats/summary", {"filter": "not " * 450 + "app = x or"}),
        ("/api/flows", {"filter": "bytes > " + "9" * 500 + "GB"}),
        ("/api/flows", {"filter": "app = \U0001f600\u202e\u0000"}),
        ("/api/flows", {"filter": "\uff41pp = x"}),
        ("/api/flows", {"filter": "x" * 2_001}),
    ]
    async with running_api(migrated_database_url) as api:
        for path, query in queries:
            answer = await api.client.get(path, params=query)
            assert answer.status_code == 400, (path, query, answer.text)
            assert answer.headers["content-type"] == "application/problem+json", answer.headers
            told = answer.json()
            assert told["parameter"] == next(iter(query))[:100], answer.text
            assert (told["status"], told["title"], bool(told["detail"])) == (400, "Bad Request", True)
        # A name may be anything: it is only ever compared.
        for name in (quotes.replace('"', ""), "\U0001f600\u202e", "%", "\\", "é" * 200):
            asked = {"filter": f'app = "{name}"'.replace("\\", "\\\\"), "range": "15m"}
            assert (await api.get("/api/applications", **asked))["applications"] == []
            await api.get("/api/filter/complete", text=f'domain = "{name}', range="15m")
        assert (await api.get("/api/applications", range="15m"))["total_bytes_in"] > 0

"""``netally run`` and ``netally export`` as people type them, against a real API, aggregator, bus and database."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import httpx
import pytest
from nats.aio.client import Client

from tests.accuracy import OWN
from tests.aggregator_process import AggregatorProcess, publish
from tests.builders import START, make_batch, make_epoch, make_flow_record
from tests.services import die_with_parent, eventually, free_port

TOKEN = "a-token"
NETALLY = str(Path(sys.executable).with_name("netally"))
HOUR = 3_600_000


class Installation(NamedTuple):
    url: str
    nats_url: str
    environment: dict[str, str]
    aggregator: AggregatorProcess

    async def netally(self, *words: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(
            subprocess.run,
            [NETALLY, *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30)


def _start_api(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "netally.api"], env=environment, preexec_fn=die_with_parent)


@pytest.fixture
async def installation(nats_url: str, migrated_database_url: str, tmp_path: Path) -> AsyncIterator[Installation]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NETALLY_")}
    environment |= {"NETALLY_API_URL": url, "NETALLY_ADMIN_TOKEN": TOKEN, "NETALLY_DATA_DIR": str(tmp_path)}
    aggregator = AggregatorProcess(nats_url, migrated_database_url)
    aggregator.start()
    api = _start_api(
        {
            **environment,
            "NETALLY_API_PORT": str(port),
            "NETALLY_NATS_URL": nats_url,
            "NETALLY_DATABASE_URL": migrated_database_url,
        }
    )

    async def is_ready() -> bool:
        async with httpx.AsyncClient() as client:
            return (await client.get(f"{url}/api/ready")).status_code == 200

    await eventually(is_ready, within=30)
    await aggregator.ready()
    yield Installation(url, nats_url, environment, aggregator)
    api.terminate()
    await asyncio.to_thread(api.wait, 15)
    aggregator.kill()


async def test_operations_and_their_exit_status(installation: Installation) -> None:
    done = await installation.netally("run", "aggregate", "--tier", "hourly")
    assert (done.returncode, done.stdout.startswith("aggregate succeeded: ")) == (0, True), done
    done = await installation.netally("run", "cleanup", "--dry-run")
    assert (done.returncode, "cleanup succeeded" in done.stdout) == (0, True), done
    done = await installation.netally("run", "--json", "refresh-cache", "--answer-within", "0.2")
    services = [one["service"] for one in json.loads(done.stdout)["result"]["instances"]]
    assert (done.returncode, services) == (0, ["aggregator", "api"])
    for words in (
        ("set-retention", "--raw", "9"),
        ("set-config", "--ledger-days", "100"),
        ("set-log-level", "api", "warning"),
        ("set-naming-rules", "name=* (python3) -> Python of {user}"),
        ("set-log-level", "aggregator", "warning"),
        ("save-view", "Nightly backup", "/explore?range=7d"),
    ):
        done = await installation.netally("run", *words)
        assert done.returncode == 0, done
    done = await installation.netally("run", "aggregate", "--tier", "weekly")
    assert (done.returncode, "tier: invalid enum value 'weekly'" in done.stderr.lower()) == (2, True), done
    for order in ("pause", "resume", "set-interval 5", "purge --domain example.net --yes"):
        done = await installation.netally("run", *order.split())
        assert (done.returncode, "Traceback" in done.stderr) == (1, False), done
    async with installation.client() as client:
        config = (await client.get("/api/config")).json()
    assert (config["retention"]["raw"], config["ledger_days"]) == (9, 100)
    assert config["naming_rules"] == "name=* (python3) -> Python of {user}"
    assert config["log_levels"] == {"aggregator": "warning", "api": "warning"}
    nowhere = installation._replace(environment={**installation.environment, "NETALLY_API_URL": "http://127.0.0.1:9"})
    done = await nowhere.netally("run", "aggregate")
    assert (done.returncode, "does not answer" in done.stderr, "Traceback" in done.stderr) == (1, True, False)


async def test_a_command_that_waits_ends_with_its_own_status(installation: Installation) -> None:
    await installation.aggregator.stop()
    done = await installation.netally("run", "--wait", "1", "--key", "k", "aggregate")
    assert (done.returncode, "waiting" in done.stderr) == (5, True), done
    installation.aggregator.start()
    done = await installation.netally("run", "--key", "k", "aggregate")
    assert done.returncode == 0, done


async def test_what_runs_is_streamed_while_it_runs(installation: Installation, migrated_database_url: str) -> None:
    busy = await asyncpg.connect(migrated_database_url)
    await busy.execute("SELECT pg_advisory_lock(hashtextextended('netally.maintenance', 0))")
    seen: list[str] = []
    try:
        async with installation.client() as client:
            answer = await client.post("/api/config/aggregate")
            assert (answer.status_code, answer.json()["state"] in ("accepted", "waiting", "progress")) == (202, True)
            async with client.stream("GET", f"/api/commands/{answer.json()['id']}/events") as events:
                async for line in events.aiter_lines():
                    if line.startswith("data: "):
                        seen.append(json.loads(line.removeprefix("data: "))["state"])
                    if seen[-1:] == ["progress"] and not busy.is_closed():
                        # It was told of while it runs: only now it can end.
                        await busy.close()
    finally:
        await busy.close()
    assert (seen[0], seen[-1]) == ("accepted", "succeeded")


async def _traffic(installation: Installation, client: Client) -> int:
    now = START - 48 * HOUR
    epoch = make_epoch()
    for number in range(12):
        batch = make_batch(
            [make_flow_record(bytes_in=1_000 + number)], epoch=epoch, sequence=number + 1, start=now + number * 300_000
        )
        await publish(client.jetstream(), batch)

    async def arrived() -> bool:
        return await installation.aggregator.counter('netally_aggregator_batches_total{outcome="committed"}') == 12

    await eventually(arrived)
    return now


async def test_an_export_by_the_command_line_and_by_the_api(
    installation: Installation, nats_client: Client, tmp_path: Path
) -> None:
    start = await _traffic(installation, nats_client)
    span: dict[str, Any] = {"from": start, "to": start + HOUR, "tier": "raw"}
    for format_ in ("csv", "json", "parquet"):
        file = tmp_path / f"export.{format_}"
        done = await installation.netally(
            *("export", "--from", str(start), "--to", str(start + HOUR), "--tier", "raw", "--format", format_),
            *("--manifest", "-o", str(file)),
        )
        assert done.returncode == 0, done
        manifest = json.loads(Path(f"{file}.manifest.json").read_text())
        assert (manifest["rows"], manifest["sha256"]) == (12, hashlib.sha256(file.read_bytes()).hexdigest())
    async with installation.client() as client:
        answer = await client.get("/api/export", params={**span, "format": "csv"})
        assert answer.status_code == 200, answer.text
        assert answer.content == (tmp_path / "export.csv").read_bytes()
        disposition = answer.headers["content-disposition"]
        assert disposition.startswith('attachment; filename="netally-raw-')
        assert disposition.isascii()
        lines = answer.text.splitlines()
        assert (len(lines), sum(int(line.split(",")[12]) for line in lines[1:])) == (13, 12_000 + 66), lines[0]
        again = await client.get(f"/api/exports/{answer.headers['netally-command']}")
        assert again.content == answer.content
        told = (await client.get(f"/api/exports/{answer.headers['netally-command']}/manifest")).json()
        assert told["bytes"] == len(answer.content)
        answer = await client.get("/api/export", params={**span, "sha256": "0" * 64})
        assert answer.status_code == 409, answer.text
        answer = await client.get("/api/export", params={**span, "host": "no\r\nSet-Cookie: a=b"})
        assert (answer.status_code, answer.json()["parameter"]) == (400, "host")
        assert "set-cookie" not in answer.headers
        assert (await client.get("/api/exports/nothing")).status_code == 404


async def test_the_file_is_there_whole_or_not_at_all(installation: Installation, tmp_path: Path) -> None:
    directory = tmp_path / "exports"
    directory.mkdir()
    file = directory / "export.csv"
    words = ("export", "--from", "2026-11-20T00:00+00:00", "--to", "2026-11-20T01:00+00:00", "-o", str(file))
    done = await installation.netally(*words, "--host", "nobody")
    assert (done.returncode, "there is no host" in done.stderr) == (1, True), done
    assert list(directory.iterdir()) == []
    done = await installation.netally(*words)
    assert (done.returncode, [one.name for one in directory.iterdir()]) == (0, ["export.csv"]), done


async def test_a_replayed_capture_is_deleted_and_nothing_else(installation: Installation) -> None:
    file = OWN / "quic-versions.pcap"

    async def hosts() -> dict[str, str]:
        async with installation.client() as client:
            return {row["name"]: row["kind"] for row in (await client.get("/api/hosts")).json()["hosts"]}

    async def is_there() -> bool:
        return (await hosts()).get("replay-quic-versions") == "replay"

    environment = {**installation.environment, "NETALLY_NATS_URL": installation.nats_url}
    sent = installation._replace(environment=environment)
    assert (await sent.netally("replay", str(file))).returncode == 0
    await eventually(is_there, within=20)
    done = await installation.netally("replay", str(file), "--delete")
    assert (done.returncode, done.stderr) == (0, "")
    assert "replay-quic-versions" not in await hosts()
    again = await installation.netally("replay", str(file), "--delete")
    assert (again.returncode, again.stdout) == (1, "")
    assert "is no replayed capture" in again.stderr

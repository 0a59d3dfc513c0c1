"""The OpenAPI document against the service: thousands of valid and invalid requests, none answered in a way that the
document does not tell, and none with a failure.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from netally.api.app import wall_clock
from tests.aggregator_process import AggregatorProcess
from tests.api_in_process import TOKEN
from tests.api_process import api_process
from tests.stored_traffic import MINUTE, make_traffic, store

ORDERS = "^/api/(commands|config|exports?|tokens)(/|$)"
NOT_ASKED = "^/api/commands/{command_id}/events$"
"""It lasts as long as the command."""
CONFIG = """
[parameters]
"query.wait" = 0
"query.seconds" = 1

[checks]
negative_data_rejection.expected-statuses = ["400", "401", "403", "404", "409", "413", "422", "429"]

[[operations]]
include-path = "/api/live"
phases.fuzzing.enabled = false
"""
"""Orders are answered as soon as they are taken: what becomes of them has tests of its own. A live stream ends soon."""


async def ask_all(port: int, directory: Path, examples: int, *which: str) -> None:
    """Requests by the document, valid and invalid; fails with what was answered against it."""
    (directory / "schemathesis.toml").write_text(CONFIG)
    done = await asyncio.to_thread(
        subprocess.run,
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{port}/api/openapi.json"),
            *("--header", f"Authorization: Bearer {TOKEN}", "--no-color", "--generation-database", "none"),
            *("--mode", "all", "--max-examples", str(examples), "--seed", "1", "--no-shrink"),
            *("--exclude-path-regex", NOT_ASKED, *which),
            # Times, zones and filters have grammars, and parameters exclude each other: a schema cannot tell that.
            # The framework answers OPTIONS, with the methods of the handler that came first.
            # A command that is taken back stays in the ledger.
            *("--exclude-checks", "positive_data_acceptance,allow_header_conformance,use_after_free"),
        ],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_answers_are_those_of_the_document(migrated_database_url: str, nats_url: str, tmp_path: Path) -> None:
    now = wall_clock() // MINUTE * MINUTE
    await store(migrated_database_url, make_traffic(seed=4, end=now, minutes=30))
    async with api_process(migrated_database_url, nats_url) as api:
        await ask_all(api.port, tmp_path, 2, "--exclude-path-regex", ORDERS)


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_orders_are_answered_as_the_document_says(
    migrated_database_url: str, nats_url: str, tmp_path: Path
) -> None:
    aggregator = AggregatorProcess(nats_url, migrated_database_url, NETALLY_LOG_LEVEL="warning")
    aggregator.start()
    try:
        await aggregator.ready()
        async with api_process(migrated_database_url, nats_url) as api:
            await ask_all(api.port, tmp_path, 8, "--include-path-regex", ORDERS, "--max-time", "15")
        assert aggregator.exit_code() is None
    finally:
        aggregator.kill()

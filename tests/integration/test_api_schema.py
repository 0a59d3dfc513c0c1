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
from tests.api_in_process import TOKEN
from tests.api_process import api_process
from tests.stored_traffic import MINUTE, make_traffic, store

NOT_ASKED = "^/api/((commands|config|export|asyncapi)|live$)"
"""Orders are not taken without an aggregator, and an open stream has no end."""


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_answers_are_those_of_the_document(migrated_database_url: str, nats_url: str, tmp_path: Path) -> None:
    now = wall_clock() // MINUTE * MINUTE
    await store(migrated_database_url, make_traffic(seed=4, end=now, minutes=30))
    async with api_process(migrated_database_url, nats_url) as api:
        done = await asyncio.to_thread(
            subprocess.run,
            [
                *(sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{api.port}/api/openapi.json"),
                *("--header", f"Authorization: Bearer {TOKEN}", "--no-color", "--generation-database", "none"),
                *("--mode", "all", "--max-examples", "8", "--seed", "1", "--no-shrink", "--max-time", "45"),
                *("--exclude-path-regex", NOT_ASKED),
                # Times, zones and filters have grammars, and parameters exclude each other: a schema cannot tell that.
                # The framework answers OPTIONS, with the methods of the handler that came first.
                *("--exclude-checks", "positive_data_acceptance,allow_header_conformance"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]

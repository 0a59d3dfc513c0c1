"""The aggregator as people run it, a process, to be stopped, killed and asked; and a publisher of batches."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import pytest
from nats.js import JetStreamContext

from netally.bus import subjects
from netally.contracts.flow import FlowsObserved
from netally.contracts.wire import ENCODING_HEADER, ZSTD, encode_batch
from tests.services import die_with_parent, eventually, free_port


class AggregatorProcess:
    """``python -m netally.aggregator`` against the given bus and database."""

    def __init__(self, nats_url: str, database_url: str, **environment: str) -> None:
        self.port = free_port()
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("NETALLY_")},
            "NETALLY_NATS_URL": nats_url,
            "NETALLY_DATABASE_URL": database_url,
            "NETALLY_AGGREGATOR_PORT": str(self.port),
            # What a killed one had in hand comes again after this.
            "NETALLY_ACK_WAIT_SECONDS": "3",
            "NETALLY_FLOWS_MAX_BYTES": str(64 * 1024**2),
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "netally.aggregator"], env=self._environment, preexec_fn=die_with_parent
        )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it runs."""
        assert self._process is not None
        return self._process.poll()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    async def stop(self, how: signal.Signals = signal.SIGTERM, within: float = 30) -> int:
        """Its exit code."""
        assert self._process is not None
        self._process.send_signal(how)
        process, self._process = self._process, None
        return await asyncio.to_thread(process.wait, within)

    async def waiting_for(self) -> dict[str, str]:
        """What ``/readyz`` says is missing. Raises OSError while nothing listens."""
        answer = await asyncio.to_thread(self._get, "/readyz")
        missing: dict[str, str] = json.loads(answer)["waiting_for"]
        return missing

    async def counter(self, line: str) -> float:
        """Value of a line of ``/metrics``; 0 when it is not there."""
        answer = await asyncio.to_thread(self._get, "/metrics")
        for found in answer.decode().splitlines():
            name, _, value = found.rpartition(" ")
            if name == line:
                return float(value)
        return 0.0

    def _get(self, path: str) -> bytes:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                body: bytes = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                body = error.read()
        return body

    async def ready(self, within: float = 20) -> None:
        async def is_ready() -> bool:
            return not await self.waiting_for()

        await eventually(is_ready, within=within)


async def publish(js: JetStreamContext, batch: FlowsObserved, message_id: str | None = None) -> None:
    """As an agent does; ``message_id`` defaults to the batch's identity."""
    headers: dict[str, Any] = {
        ENCODING_HEADER: ZSTD,
        "Nats-Msg-Id": message_id or f"{batch.host}:{batch.epoch}:{batch.sequence}",
    }
    await js.publish(subjects.flows(batch.host), encode_batch(batch), headers=headers)


@pytest.fixture
async def aggregator(nats_url: str, migrated_database_url: str) -> AsyncIterator[AggregatorProcess]:
    """One that is ready, on the test's own bus and database."""
    process = AggregatorProcess(nats_url, migrated_database_url)
    process.start()
    await process.ready()
    yield process
    process.kill()

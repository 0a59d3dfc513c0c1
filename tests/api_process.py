"""The API as a process of its own, on a port of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import httpx

from tests.api_in_process import BEARER, NOWHERE, TOKEN
from tests.services import die_with_parent, eventually, free_port


class ApiProcess(NamedTuple):
    process: subprocess.Popen[bytes]
    client: httpx.AsyncClient
    port: int

    async def parts(self) -> dict[str, str]:
        """Why each part is not ready."""
        answer = await self.client.get("/api/health")
        return {part["name"]: part["reason"] for part in answer.json()["parts"]}


@asynccontextmanager
async def api_process(database_url: str = "", nats_url: str = NOWHERE, **environment: str) -> AsyncIterator[ApiProcess]:
    port = free_port()
    process = subprocess.Popen(  # noqa: ASYNC220  (returns at once)
        [sys.executable, "-m", "netally.api"],
        env={
            **os.environ,
            "NETALLY_ADMIN_TOKEN": TOKEN,
            "NETALLY_DATABASE_URL": database_url,
            "NETALLY_NATS_URL": nats_url,
            "NETALLY_API_PORT": str(port),
            **environment,
        },
        preexec_fn=die_with_parent,
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=BEARER, timeout=20) as client:

            async def answers() -> bool:
                return (await client.get("/api/health")).status_code == 200

            await eventually(answers, within=30)
            yield ApiProcess(process, client, port)
    finally:
        process.kill()
        process.wait()

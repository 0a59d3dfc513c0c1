"""Pages in front of an API, a process each, as a browser meets them."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import httpx

from tests.api_process import ApiProcess, api_process
from tests.services import die_with_parent, eventually, free_port


class Site(NamedTuple):
    url: str
    client: httpx.AsyncClient
    """Sends no credentials; remembers cookies as a browser does."""
    api: ApiProcess


@asynccontextmanager
async def site(tls: ssl.SSLContext | None = None, api_scheme: str = "http", **environment: str) -> AsyncIterator[Site]:
    port = free_port()
    async with api_process(**{name: value for name, value in environment.items() if "WEB_TLS" not in name}) as api:
        process = subprocess.Popen(  # noqa: ASYNC220  (returns at once)
            [sys.executable, "-m", "netally.web"],
            env={
                **os.environ,
                "NETALLY_WEB_PORT": str(port),
                "NETALLY_API_URL": f"{api_scheme}://127.0.0.1:{api.port}",
                **environment,
            },
            preexec_fn=die_with_parent,
        )
        url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        try:
            async with httpx.AsyncClient(base_url=url, verify=tls or True, trust_env=False, timeout=20) as client:

                async def answers() -> bool:
                    return (await client.get("/readyz")).status_code == 200

                await eventually(answers, within=30)
                yield Site(url, client, api)
        finally:
            process.kill()
            process.wait()

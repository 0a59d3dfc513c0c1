"""The API application in this process, without a listening socket: its lifespan and an HTTP client for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx
from litestar import Litestar

from netally.api.app import create_app, wall_clock
from netally.api.settings import Settings
from tests.services import eventually

TOKEN = "an-admin-token"
BEARER = {"Authorization": f"Bearer {TOKEN}"}

NOWHERE = "nats://127.0.0.1:9"
"""Nothing listens on the discard port of a test machine."""


class RunningApi(NamedTuple):
    client: httpx.AsyncClient
    """Sends the admin token."""
    anonymous: httpx.AsyncClient
    app: Litestar

    async def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        """JSON of an answer that must be 200."""
        answer = await self.client.get(path, params={name.rstrip("_"): value for name, value in parameters.items()})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@asynccontextmanager
async def _lifespan_in_a_task(app: Litestar) -> AsyncIterator[None]:
    """A fixture is set up and torn down in different tasks, which the lifespan's own task group does not bear."""
    started, stop = asyncio.Event(), asyncio.Event()

    async def run() -> None:
        async with app.lifespan():
            started.set()
            await stop.wait()

    task = asyncio.create_task(run())
    await started.wait()
    try:
        yield
    finally:
        stop.set()
        await task


@asynccontextmanager
async def running_api(
    database_url: str = "",
    nats_url: str = NOWHERE,
    *,
    clock: Callable[[], int] = wall_clock,
    statement_timeout: float = 10.0,
    client_address: str = "127.0.0.1",
    statement_cache: int = 200,
) -> AsyncIterator[RunningApi]:
    """The application with its connections; waits for the database when there is one."""
    settings = Settings(
        database_url=database_url, nats_url=nats_url, admin_token=TOKEN, database_statement_cache=statement_cache
    )
    app = create_app(settings, clock=clock, statement_timeout=statement_timeout)
    asgi: Any = app
    transport = httpx.ASGITransport(asgi, client=(client_address, 50_000))
    async with (
        _lifespan_in_a_task(app),
        httpx.AsyncClient(transport=transport, base_url="http://netally.test", headers=BEARER) as client,
        httpx.AsyncClient(transport=transport, base_url="http://netally.test") as anonymous,
    ):
        api = RunningApi(client, anonymous, app)
        if database_url:

            async def database_answers() -> bool:
                parts = (await anonymous.get("/api/health")).json()["parts"]
                return all(part["ready"] for part in parts if part["name"] == "database")

            await eventually(database_answers, within=15)
        yield api

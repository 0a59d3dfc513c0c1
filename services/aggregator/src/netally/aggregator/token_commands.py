"""Handlers of the commands for tokens: create-token, revoke-token. The secret never comes here, its hash does."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import asyncpg
import nats.errors
from nats.aio.client import Client

from netally.aggregator.command_runner import Done, Run
from netally.bus import subjects
from netally.contracts.commands import CreateToken, RefusedError, RevokeToken
from netally.store import sql


class TokenCommands:
    """The handlers. Every API instance is told at once what has changed; they look by themselves as well."""

    def __init__(self, pool: asyncpg.Pool, client: Client, clock: Callable[[], int]) -> None:
        self._pool = pool
        self._client = client
        self._clock = clock

    async def create(self, run: Run, wanted: CreateToken) -> Done:
        now = self._clock()
        if wanted.expires_at is not None and wanted.expires_at <= now:
            raise RefusedError("expires_at is over already", "expires_at")
        hosts = None if wanted.hosts is None else sorted(set(wanted.hosts))
        if wanted.role == "browser":
            await self._check_browser(hosts)
        added = await sql.fetch_value(
            self._pool,
            "add_token",
            id=wanted.token,
            name=wanted.name,
            role=wanted.role,
            hosts=hosts,
            hash=wanted.hash,
            created_at=now,
            created_by=run.command.actor[:200],
            expires_at=wanted.expires_at,
        )
        if added is None:
            raise RefusedError(f"there is a token {wanted.token} already", "token")
        await self._tell()
        scope = "all hosts" if hosts is None else _many(len(hosts), "host")
        return Done(f"token {wanted.name} ({wanted.token}) is a {wanted.role} of {scope}", {"token": wanted.token})

    async def _check_browser(self, hosts: list[str] | None) -> None:
        if hosts is None or len(hosts) != 1:
            raise RefusedError("a browser is paired with one host: name it", "hosts")
        if not await sql.fetch(self._pool, "fleet", visible=hosts):
            raise RefusedError(f"no host {hosts[0]} has reported yet", "hosts")

    async def revoke(self, run: Run, wanted: RevokeToken) -> Done:
        found = await sql.fetch_row(self._pool, "revoke_token", id=wanted.token, now=self._clock())
        if found is None:
            raise RefusedError(f"there is no token {wanted.token}", "token")
        await self._tell()
        return Done(
            f"token {found['name']} ({wanted.token}) is of no use any more",
            {"token": wanted.token, "revoked_at": found["revoked_at"]},
        )

    async def _tell(self) -> None:
        with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
            await self._client.publish(subjects.access_changed())


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"

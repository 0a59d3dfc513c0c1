"""What is known of tokens and sessions: read from the database, at most a second old, and heard on the bus at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import msgspec

from netally.api.database import Database
from netally.api.problems import ProblemError
from netally.contracts.access import SessionUse

FRESH: Final = 1.0
"""Seconds. A revoked token is of no use after this, also where nothing was heard on the bus."""
BEARABLE: Final = 30.0
"""Seconds for which the last reading counts while the database is away: nothing can be revoked there meanwhile."""
PATIENCE: Final = 2.0
MOST_HEARD: Final = 50_000


class KnownToken(msgspec.Struct, frozen=True):
    id: str
    name: str
    role: str
    hosts: list[str] | None
    hash: str
    expires_at: int | None

    def __repr__(self) -> str:
        return f"KnownToken({self.id})"

    @property
    def actor(self) -> str:
        """Who it is, in the ledger. The id ends it, whatever the name holds."""
        return f"{self.name} ({self.id})"


class AccessState:
    """``clock`` gives epoch milliseconds."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._database = database
        self._clock = clock
        self._tokens: dict[str, KnownToken] = {}
        self._sessions: dict[str, tuple[int, bool]] = {}
        self._read_at: float | None = None
        self._tried_at = float("-inf")
        self._generation = 0
        self._reading: asyncio.Task[None] | None = None

    def changed(self) -> None:
        """What was read is not so any more."""
        self._generation += 1
        self._tried_at = float("-inf")

    def heard(self, use: SessionUse) -> None:
        """An instance, this one or another, tells of a session."""
        last_used, ended = self._sessions.pop(use.number, (0, False))
        self._sessions[use.number] = (max(last_used, use.last_used), ended or use.ended)
        while len(self._sessions) > MOST_HEARD:
            del self._sessions[next(iter(self._sessions))]

    async def token(self, token: str) -> KnownToken | None:
        """A token that was not revoked, expired or not."""
        await self.refresh()
        return self._tokens.get(token)

    async def session(self, number: str) -> tuple[int, bool] | None:
        """When a session was last used (epoch milliseconds) and whether it was ended; None when it is not known."""
        await self.refresh()
        return self._sessions.get(number)

    @property
    def is_known(self) -> bool:
        """Whether what is known can be relied on."""
        return self._read_at is not None and time.monotonic() - self._read_at <= BEARABLE

    async def refresh(self) -> None:
        """Read again what is older than `FRESH`; many who ask at once cause one reading. Never raises."""
        if time.monotonic() - self._tried_at <= FRESH:
            return
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        await asyncio.shield(self._reading)

    async def _read(self) -> None:
        while True:
            generation, began = self._generation, time.monotonic()
            try:
                async with asyncio.timeout(PATIENCE), self._database.read("") as (rows, _):
                    tokens = await rows("usable_tokens")
                    sessions = await rows("sessions_used", now=self._clock())
            except (ProblemError, TimeoutError):
                self._tried_at = time.monotonic()
                return
            self._tokens = {
                row["id"]: KnownToken(row["id"], row["name"], row["role"], row["hosts"], row["hash"], row["expires_at"])
                for row in tokens
            }
            for row in sessions:
                self.heard(SessionUse(row["number"], "", 0, 0, row["last_used"], row["ended"]))
            self._read_at = began
            if generation == self._generation:
                self._tried_at = began
                return

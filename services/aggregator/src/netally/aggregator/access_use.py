"""Use of tokens and sessions: the sink of stream ACCESS, which keeps when each was last used and which were ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import asyncpg
import msgspec
from nats.aio.msg import Msg

from netally.contracts.access import AccessUsed, SessionUse
from netally.contracts.wire import UndecodableError, decode_json
from netally.store import sql

LATEST = 2**53
KEPT_MS = 86_400_000
"""So long after its end a session is still known, should clocks differ."""


class AccessSink:
    """Decodes reports of API instances and merges them into the database."""

    lanes = 1

    def __init__(self, pool: asyncpg.Pool, clock: Callable[[], int]) -> None:
        self._pool = pool
        self._clock = clock

    def decode(self, message: Msg) -> AccessUsed:
        report = decode_json(message.data, AccessUsed)
        moments = [one.last_used for one in report.tokens]
        for session in report.sessions:
            moments += [session.opened_at, session.expires_at, session.last_used]
        if not all(0 <= moment < LATEST for moment in moments):
            raise UndecodableError("a time is out of range")
        return report

    def weight(self, item: AccessUsed) -> int:
        return 1 + len(item.sessions) + len(item.tokens)

    async def write(self, items: Sequence[AccessUsed]) -> None:
        sessions = merged(items)
        tokens: dict[str, int] = {}
        for item in items:
            for one in item.tokens:
                tokens[one.token] = max(one.last_used, tokens.get(one.token, 0))
        async with self._pool.acquire() as connection, connection.transaction():
            await sql.execute(
                connection, "use_tokens", ids=sorted(tokens), last_useds=[tokens[one] for one in sorted(tokens)]
            )
            await sql.execute(
                connection,
                "use_sessions",
                numbers=[one.number for one in sessions],
                tokens=[one.token for one in sessions],
                opened_ats=[one.opened_at for one in sessions],
                expires_ats=[one.expires_at for one in sessions],
                last_useds=[one.last_used for one in sessions],
                endeds=[one.ended for one in sessions],
            )
            await sql.execute(connection, "forget_sessions", before=self._clock() - KEPT_MS)

    async def write_off(self, item: AccessUsed) -> None:
        """Nothing waits for a report."""

    def forget(self) -> None:
        """Nothing is remembered."""


def merged(items: Sequence[AccessUsed]) -> list[SessionUse]:
    """One row a session, by number: used when it was last, ended when anybody said so."""
    found: dict[str, SessionUse] = {}
    for one in (session for item in items for session in item.sessions):
        known = found.get(one.number, one)
        found[one.number] = msgspec.structs.replace(
            known, last_used=max(known.last_used, one.last_used), ended=known.ended or one.ended
        )
    return [found[number] for number in sorted(found)]

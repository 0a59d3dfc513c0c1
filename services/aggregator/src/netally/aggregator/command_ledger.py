"""The command ledger: every command, and every event of it, in the database; told on the bus after the commit.

The ledger is the queue as well: a command that is ``accepted`` waits for its turn, one in ``progress`` runs or was
interrupted.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import msgspec

from netally.contracts.commands import Command, Outcome
from netally.store import sql

SOURCE = "aggregator"

Tell = Callable[[Outcome, str], Awaitable[None]]
"""Publishes an outcome; the text identifies the event, so that telling it twice does no harm."""


class Entry(msgspec.Struct, frozen=True):
    """What a new command meets in the ledger."""

    id: str
    """Of the command with the same id or key."""
    name: str
    arguments: dict[str, Any]
    dry_run: bool
    state: str
    message: str
    result: dict[str, Any]


class CommandLedger:
    """Reads and writes the ledger. Every method raises what the database raises."""

    def __init__(self, pool: asyncpg.Pool, clock: Callable[[], int], tell: Tell) -> None:
        self._pool = pool
        self._clock = clock
        self._tell = tell

    async def accept(self, command: Command, target: str, message: str) -> bool:
        """Enter a command that is to run; False when one with its id or key is there already."""
        return await self._enter(command, target, "accepted", message, {}, None)

    async def refuse(self, command: Command, target: str, message: str, field: str | None) -> bool:
        """Enter a command that is not to run, with the reason; False when it is there already."""
        return await self._enter(command, target, "failed", message, {"field": field} if field else {}, field)

    async def _enter(
        self, command: Command, target: str, state: str, message: str, result: dict[str, Any], field: str | None
    ) -> bool:
        now = self._clock()
        async with self._pool.acquire() as connection, connection.transaction():
            added = await sql.fetch_value(
                connection,
                "add_command",
                id=command.id,
                name=command.name[:100],
                target=target,
                arguments=_text(command.arguments),
                actor=command.actor[:200],
                actor_verified=command.actor_verified,
                dry_run=command.dry_run,
                idempotency_key=command.idempotency_key,
                state=state,
                issued_at=command.issued_at or now,
                deadline=command.deadline,
                message=message,
                result=_text(result),
                ended_at=None if state == "accepted" else now,
            )
            if added is None:
                return False
            number = await self._add_event(connection, command.id, now, state, message, result)
        await self._tell(Outcome(command.id, SOURCE, state, now, message, result, field), f"{command.id}:{number}")
        return True

    async def same_key(self, key: str) -> Entry | None:
        """The command that had this key first."""
        row = await sql.fetch_row(self._pool, "command_of_key", key=key)
        if row is None:
            return None
        return Entry(
            row["id"], row["name"], json.loads(row["arguments"]), row["dry_run"], row["state"], row["message"],
            json.loads(row["result"]),
        )  # fmt: skip

    async def repeated(self, command: Command, first: Entry) -> None:
        """Note, with the first command, that its key came again, and answer the second."""
        now = self._clock()
        message = f"the same key as {first.id}: not run again"
        async with self._pool.acquire() as connection, connection.transaction():
            await self._add_event(
                connection, first.id, now, first.state, f"asked again by {command.actor or 'nobody'}: not run again", {}
            )
        outcome = Outcome(command.id, SOURCE, first.state, now, message, {**first.result, "same_as": first.id})
        await self._tell(outcome, f"{command.id}:repeat")

    async def begin(self, command_id: str, message: str) -> bool:
        """False when it was cancelled meanwhile."""
        now = self._clock()
        async with self._pool.acquire() as connection, connection.transaction():
            if await sql.fetch_value(connection, "begin_command", id=command_id, now=now, message=message) is None:
                return False
            number = await self._add_event(connection, command_id, now, "progress", message, {})
        await self._tell(Outcome(command_id, SOURCE, "progress", now, message), f"{command_id}:{number}")
        return True

    async def progress(self, command_id: str, message: str, detail: dict[str, Any]) -> None:
        now = self._clock()
        async with self._pool.acquire() as connection, connection.transaction():
            await sql.execute(connection, "describe_command", id=command_id, message=message)
            number = await self._add_event(connection, command_id, now, "progress", message, detail)
        await self._tell(Outcome(command_id, SOURCE, "progress", now, message, detail), f"{command_id}:{number}")

    async def end(
        self, command_id: str, state: str, message: str, result: dict[str, Any] | None = None, field: str | None = None
    ) -> bool:
        """False when it had ended before."""
        now = self._clock()
        found = {**(result or {}), **({"field": field} if field else {})}
        async with self._pool.acquire() as connection, connection.transaction():
            ended = await sql.fetch_value(
                connection, "end_command", id=command_id, state=state, now=now, message=message, result=_text(found)
            )
            if ended is None:
                return False
            number = await self._add_event(connection, command_id, now, state, message, found)
        await self._tell(Outcome(command_id, SOURCE, state, now, message, found, field), f"{command_id}:{number}")
        return True

    async def end_waiting(self, command_id: str, state: str, message: str) -> bool:
        """End a command that has not begun; False when it has, or is none."""
        now = self._clock()
        async with self._pool.acquire() as connection, connection.transaction():
            ended = await sql.fetch_value(
                connection, "end_waiting_command", id=command_id, state=state, now=now, message=message
            )
            if ended is None:
                return False
            number = await self._add_event(connection, command_id, now, state, message, {})
        await self._tell(Outcome(command_id, SOURCE, state, now, message), f"{command_id}:{number}")
        return True

    async def requeue(self, command_id: str, message: str) -> int:
        """Let an interrupted command wait for its turn again; how often it has waited by now."""
        now = self._clock()
        async with self._pool.acquire() as connection, connection.transaction():
            await sql.execute(connection, "requeue_command", id=command_id, message=message)
            number = await self._add_event(connection, command_id, now, "accepted", message, {})
            times = await sql.fetch_value(connection, "command_interruptions", id=command_id)
        await self._tell(Outcome(command_id, SOURCE, "accepted", now, message), f"{command_id}:{number}")
        return int(times)

    async def unfinished(self, names: list[str]) -> list[tuple[Command, str]]:
        """Commands of these names that wait or run, oldest first, with their state."""
        return [
            (
                Command(
                    id=row["id"],
                    name=row["name"],
                    arguments=json.loads(row["arguments"]),
                    actor=row["actor"],
                    actor_verified=row["actor_verified"],
                    dry_run=row["dry_run"],
                    idempotency_key=row["idempotency_key"],
                    issued_at=row["issued_at"],
                    deadline=row["deadline"],
                ),
                row["state"],
            )
            for row in await sql.fetch(self._pool, "unfinished_commands", names=names)
        ]

    async def state(self, command_id: str) -> tuple[str, str] | None:
        """Name and state of a command; None when there is none."""
        row = await sql.fetch_row(self._pool, "command", id=command_id)
        return None if row is None else (row["name"], row["state"])

    async def forget(self, before: int) -> None:
        """Drop what ended before a time."""
        await sql.execute(self._pool, "forget_commands", before=before)

    async def _add_event(
        self, connection: sql.Connection, command_id: str, time: int, state: str, message: str, detail: dict[str, Any]
    ) -> int:
        number = await sql.fetch_value(
            connection,
            "add_command_event",
            command_id=command_id,
            time=time,
            source=SOURCE,
            state=state,
            message=message,
            detail=_text(detail),
        )
        return int(number)


def _text(value: dict[str, Any]) -> str:
    # PostgreSQL's jsonb takes no NUL.
    return msgspec.json.encode(value).decode().replace("\\u0000", "\\ufffd")

"""Orders commands on the bus, signed, and reads what becomes of them: from the ledger, told by outcomes when to look.

The API changes nothing by itself. A command that no aggregator has taken yet is in the stream COMMANDS and is shown as
``waiting``.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from netally.api.bus import LiveBus
from netally.api.database import Database
from netally.api.permissions import allowed_command, shown
from netally.api.problems import ProblemError, forbidden, problem, unavailable
from netally.api.reading import Clock
from netally.bus import streams, subjects
from netally.contracts.command_answers import CommandEventRow, CommandRow
from netally.contracts.commands import FINAL_STATES, Command
from netally.contracts.queries import Session
from netally.contracts.signing import SIGNATURE_HEADER, sign
from netally.contracts.wire import UndecodableError, decode_json, encode_json

BUS_TROUBLE = (nats.errors.Error, JetStreamError, OSError, TimeoutError)
ADVICE = "Ask again in a moment."
TAKEN_WITHIN = 1.0
"""Seconds an aggregator has to take or refuse a command before it is told as waiting."""
LONGEST_UNTAKEN = 30.0
"""Seconds after which a command that no aggregator has taken is not waited for, however long its end would be."""
LOOK_EVERY = 1.0
"""Seconds after which the ledger is read although no outcome was heard."""
MOST_WAITING = 50


class CommandBus:
    """What the handlers use."""

    def __init__(self, bus: LiveBus, database: Database, clock: Clock) -> None:
        self._bus = bus
        self._database = database
        self._clock = clock
        self._key = ""

    def client(self) -> Client:
        """The connection. Raises the 503 problem while the bus is away."""
        client = self._bus.client
        if client is None or not client.is_connected:
            raise unavailable(f"The bus is away: {self._bus.reason}.")
        return client

    async def order(
        self,
        name: str,
        arguments: dict[str, Any],
        *,
        by: Session,
        dry_run: bool = False,
        key: str | None = None,
        deadline: int | None = None,
        wait: float = 0.0,
    ) -> CommandRow:
        """Order a command and wait so many seconds for its end; the state it is in then.

        The same key gives the same command. Raises the problem for one that was refused, or for a key that belongs to
        another command, and the 403 for what ``by`` may not.
        """
        if by.hosts is not None:
            # Another's key must not tell what it was used for.
            key = f"{by.token}:{key}" if key else None
            by = msgspec.structs.replace(by, hosts=await self._known(by.hosts))
        arguments = allowed_command(by, name, arguments)
        identity = hashlib.sha256(f"key:{key}".encode()).hexdigest()[:32] if key else uuid.uuid4().hex
        command = Command(
            id=identity,
            name=name,
            arguments=arguments,
            actor=by.actor,
            actor_verified=True,
            dry_run=dry_run,
            idempotency_key=key,
            issued_at=self._clock(),
            deadline=deadline,
        )
        known = await self._of_key(key) or await self.find(identity) if key else None
        if known is not None and not _is_same(known, command):
            raise ProblemError(
                problem(
                    409, f"The key was used for another command ({known.name}): take a new one.",
                    parameter="idempotency_key",
                )
            )  # fmt: skip
        async with self.news(identity) as news:
            if known is None:
                await self._publish(command)
            row = await self._wait(command, news, wait)
        if row.state == "failed" and row.started_at is None:
            raise ProblemError(
                msgspec.structs.replace(
                    problem(400, f"{row.message[:1].upper()}{row.message[1:]}.", parameter=row.field), command=row.id
                )
            )
        return row

    async def _known(self, hosts: list[str]) -> list[str]:
        """Those of a token's hosts that have reported. Raises the 403 when none has."""
        async with self._database.read(ADVICE) as (rows, _):
            known = {row["name"] for row in await rows("fleet", visible=hosts)}
        found = [name for name in hosts if name in known]
        if not found:
            raise forbidden("The token is limited to hosts of which none has reported yet.")
        return found

    async def _wait(self, command: Command, news: asyncio.Event, wait: float) -> CommandRow:
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            news.clear()
            row = await self.row(command.id)
            if row is None and command.idempotency_key:
                # The key came by another way at the same time, under another id.
                first = await self._of_key(command.idempotency_key)
                row = first if first is not None and _is_same(first, command) else None
            passed = loop.time() - began
            if row is not None and (row.state in FINAL_STATES or passed >= wait):
                return row
            if row is None and passed >= min(max(wait, TAKEN_WITHIN), LONGEST_UNTAKEN):
                return waiting_row(command)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(LOOK_EVERY, max(0.05, max(wait, TAKEN_WITHIN) - passed))):
                    await news.wait()

    async def _publish(self, command: Command) -> None:
        body = encode_json(command)
        headers = {SIGNATURE_HEADER: sign(body, await self._signing_key())}
        try:
            await (
                self.client()
                .jetstream()
                .publish(subjects.command_to_aggregator(_token(command.name)), body, headers=headers)
            )
        except BUS_TROUBLE as error:
            raise unavailable(f"The bus did not take the command: {error or type(error).__name__}.") from None

    async def _signing_key(self) -> str:
        if not self._key:
            async with self._database.read(ADVICE) as (rows, _):
                self._key = (await rows("command_signing_key"))[0]["key"]
        return self._key

    @asynccontextmanager
    async def news(self, command_id: str) -> AsyncIterator[asyncio.Event]:
        """Set whenever an outcome of the command is heard."""
        heard = asyncio.Event()

        async def hear(_: object) -> None:
            heard.set()

        subscription = await self.client().subscribe(f"{subjects.OUTCOMES}.*.{command_id}", cb=hear)
        try:
            yield heard
        finally:
            with contextlib.suppress(*BUS_TROUBLE):
                await subscription.unsubscribe()

    async def row(self, command_id: str, actor: str | None = None) -> CommandRow | None:
        """The command in the ledger; only when it is of this actor, where one is given."""
        async with self._database.read(ADVICE) as (rows, _):
            found = await rows("command", id=command_id)
        return row_of(found[0]) if found and actor in (None, found[0]["actor"]) else None

    async def _of_key(self, key: str) -> CommandRow | None:
        """The command in the ledger that had this key first, whichever way it came."""
        async with self._database.read(ADVICE) as (rows, _):
            found = await rows("command_of_key", key=key)
        return row_of(found[0]) if found else None

    async def find(self, command_id: str, actor: str | None = None) -> CommandRow | None:
        """The command in the ledger, or on its way there; only when it is of this actor, where one is given."""
        row = await self.row(command_id, actor)
        if row is None:
            row = next((one for one in await self.waiting(actor) if one.id == command_id), None)
        return row

    async def events(self, command_id: str, after: int) -> list[CommandEventRow]:
        """Events of a command with a higher id, in order."""
        async with self._database.read(ADVICE) as (rows, _):
            found = await rows("command_events", id=command_id, after=after)
        return [
            CommandEventRow(
                row["id"], row["time"], row["source"], row["state"], row["message"], json.loads(row["detail"])
            )
            for row in found
        ]

    async def waiting(self, actor: str | None = None) -> list[CommandRow]:
        """Commands that no aggregator has taken yet, oldest first, of this actor where one is given; empty when the bus
        cannot be asked.
        """
        client = self._bus.client
        found: list[CommandRow] = []
        if client is None or not client.is_connected:
            return found
        js = client.jetstream()
        try:
            state = (await js.stream_info(streams.COMMANDS)).state
            sequence = state.first_seq
            while sequence <= state.last_seq and len(found) < MOST_WAITING and state.messages:
                message = await js.get_msg(
                    streams.COMMANDS, seq=sequence, next=True, subject=f"{subjects.COMMANDS}.aggregator.*"
                )
                sequence = (message.seq or sequence) + 1
                with contextlib.suppress(UndecodableError):
                    command = decode_json(message.data or b"", Command)
                    if actor in (None, command.actor):
                        found.append(waiting_row(command))
        except NotFoundError:
            pass
        except BUS_TROUBLE:
            return found
        return found


def _is_same(row: CommandRow, command: Command) -> bool:
    return (row.name, row.arguments, row.dry_run) == (command.name, command.arguments, command.dry_run)


def _token(name: str) -> str:
    """A subject token; what is none of ours is refused by the aggregator, which is to see it."""
    return name if name.replace("-", "").isalnum() and name.isascii() else "unknown"


def waiting_row(command: Command) -> CommandRow:
    return CommandRow(
        id=command.id,
        name=command.name,
        target=subjects.AGGREGATOR,
        arguments=shown(command.arguments, command.name),
        actor=command.actor,
        actor_verified=command.actor_verified,
        dry_run=command.dry_run,
        idempotency_key=command.idempotency_key,
        state="waiting",
        message="no aggregator has taken it yet; it runs when one is there",
        result={},
        field=None,
        issued_at=command.issued_at,
        started_at=None,
        ended_at=None,
        deadline=command.deadline,
    )


def row_of(row: Any) -> CommandRow:
    """A command from a row of the ledger."""
    result: dict[str, Any] = json.loads(row["result"])
    return CommandRow(
        id=row["id"],
        name=row["name"],
        target=row["target"],
        arguments=shown(json.loads(row["arguments"]), row["name"]),
        actor=row["actor"],
        actor_verified=row["actor_verified"],
        dry_run=row["dry_run"],
        idempotency_key=row["idempotency_key"],
        state=row["state"],
        message=row["message"],
        result=result,
        field=result.get("field"),
        issued_at=row["issued_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        deadline=row["deadline"],
    )

"""Commands from the bus into the ledger: checked, entered, acknowledged. The ledger's lanes do the rest.

A message is acknowledged within milliseconds, after it is in the ledger: so a command that waits for another is seen to
wait, and one that was interrupted is found again at the next start rather than after a redelivery.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable

import asyncpg
import msgspec
import structlog
from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, NatsMessage, NatsRouter, PullSub
from faststream.nats.security import NatsNKey

from netally.aggregator.command_ledger import CommandLedger
from netally.bus import streams, subjects
from netally.bus.credentials import BusAccess
from netally.contracts import commands
from netally.contracts.commands import Command, RefusedError
from netally.contracts.signing import SIGNATURE_HEADER, is_signed
from netally.contracts.wire import UndecodableError, decode_json
from netally.store import sql
from netally.store.database import AWAY, can_never_succeed

log = structlog.get_logger()

RETRY_SECONDS = 2.0


class Intake:
    """Takes one command at a time. ``waits_for`` says what a command of a lane would have to wait for, ``wake`` tells a
    lane that there is something to do.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        ledger: CommandLedger,
        waits_for: Callable[[str], Awaitable[str]],
        wake: Callable[[str], None],
    ) -> None:
        self._pool = pool
        self._ledger = ledger
        self._waits_for = waits_for
        self._wake = wake
        self._key: str | None = None

    async def take(self, subject: str, body: bytes, signature: str | None, sequence: int) -> None:
        """Enter what came. Raises what the database raises; then nothing is entered."""
        name = subject.rpartition(".")[2]
        try:
            command = decode_json(body, Command)
        except UndecodableError as error:
            # It has no id that could be read: the message's place in the stream makes one.
            identity = hashlib.sha256(f"{sequence}:".encode() + body).hexdigest()[:32]
            await self._ledger.refuse(
                Command(id=identity, name=name), subjects.AGGREGATOR, f"this is no command: {error}", "body"
            )
            return
        verified = is_signed(body, signature, await self._signing_key())
        command = msgspec.structs.replace(command, actor_verified=verified)
        try:
            if command.name in commands.COMMANDS and command.name != name:
                raise RefusedError(f"the subject says {name!r}, the command {command.name[:60]!r}", "name")
            arguments = commands.check(command)
            if commands.COMMANDS[command.name].signed and not verified:
                raise RefusedError(f"{command.name} is taken from the API alone: it says who orders it", "name")
        except RefusedError as refused:
            await self._refuse(command, sequence, refused)
            return
        lane = commands.COMMANDS[command.name].lane
        waits_for = await self._waits_for(lane)
        target = _target(arguments)
        if await self._ledger.accept(command, target, f"waits for {waits_for}" if waits_for else "accepted"):
            log.info("command accepted", command=command.name, id=command.id, actor=command.actor)
            self._wake(lane)
            return
        first = await self._ledger.same_key(command.idempotency_key) if command.idempotency_key else None
        if first is None or first.id == command.id:
            return  # Delivered a second time.
        if (first.name, first.arguments, first.dry_run) == (command.name, command.arguments, command.dry_run):
            await self._ledger.repeated(command, first)
            return
        reused = RefusedError(
            f"the key was used for {first.name} {first.id} with other arguments: take a new one", "idempotency_key"
        )
        await self._refuse(command, sequence, reused)

    async def _refuse(self, command: Command, sequence: int, refused: RefusedError) -> None:
        identity = command.id
        if refused.field == "id":
            identity = hashlib.sha256(f"{sequence}:{identity}".encode()).hexdigest()[:32]
        # Times as they came may not fit, and the key belongs to the command that runs.
        entered = msgspec.structs.replace(command, id=identity, idempotency_key=None, deadline=None, issued_at=0)
        await self._ledger.refuse(entered, subjects.AGGREGATOR, str(refused), refused.field)
        log.info("command refused", command=command.name, id=identity, reason=str(refused))

    async def _signing_key(self) -> str:
        if self._key is None:
            self._key = str(await sql.fetch_value(self._pool, "command_signing_key"))
        return self._key


def _target(arguments: commands.Arguments) -> str:
    """Whom a command is for, in a word or a few."""
    match arguments:
        case commands.SetLogLevel(target="api" | "aggregator" as service):
            return service
        case commands.Pause(hosts=hosts) | commands.Resume(hosts=hosts) | commands.SetInterval(hosts=hosts):
            return _hosts(hosts)
        case commands.SetLogLevel(hosts=hosts):
            return _hosts(hosts)
        case commands.RefreshCache(hosts=hosts):
            return f"{_hosts(hosts)}, services"
    return subjects.AGGREGATOR


def _hosts(names: list[str] | None) -> str:
    if names is None:
        return "all hosts"
    return ", ".join(names) if len(names) <= 3 else f"{len(names)} hosts"


def make_router(intake: Intake) -> NatsRouter:
    """The subscriber of stream COMMANDS. The stream and the durable are made elsewhere (`netally.bus.streams`)."""
    router = NatsRouter()

    @router.subscriber(
        f"{subjects.COMMANDS}.aggregator.*",
        durable=streams.AGGREGATOR,
        # Not by name: FastStream would set the stream's limits to its defaults.
        stream=JStream(streams.COMMANDS, declare=False),
        pull_sub=PullSub(batch_size=1, timeout=5.0),
        # Its default rejects a message whose handler failed: a hiccup of the database would lose the command.
        ack_policy=AckPolicy.MANUAL,
        title="commands",
        description="Every manual operation and every change of state. The stream's acknowledgement means stored; what "
        "becomes of the command is told on outcomes.v1.aggregator.<id>.",
    )
    async def take_command(message: NatsMessage) -> None:
        raw = message.raw_message
        try:
            await intake.take(
                raw.subject, raw.data, (raw.headers or {}).get(SIGNATURE_HEADER), raw.metadata.sequence.stream
            )
        except AWAY as error:
            if can_never_succeed(error):
                log.error("command cannot be entered and is dropped", subject=raw.subject, reason=str(error))
                await message.reject()
                return
            log.warning("command waits for the database", subject=raw.subject, reason=str(error))
            await message.nack(delay=RETRY_SECONDS)
            return
        await message.ack()

    return router


async def run(url: str, access: BusAccess, name: str, intake: Intake, stop: asyncio.Event) -> None:
    """Take commands until ``stop`` is set. FastStream keeps a connection of its own, which never gives up."""
    security = NatsNKey.from_seed(access.seed, ssl_context=access.tls) if access.seed else None
    broker = NatsBroker(
        [one.strip() for one in url.split(",")],
        name=name,
        inbox_prefix=access.inbox,
        security=security,
        max_reconnect_attempts=-1,
        reconnect_time_wait=1,
        connect_timeout=5,
        ping_interval=10,
        max_outstanding_pings=2,
        graceful_timeout=10.0,
        apply_types=True,
        logger=None,
    )
    broker.include_router(make_router(intake))
    await broker.start()
    try:
        await stop.wait()
    finally:
        await broker.stop()

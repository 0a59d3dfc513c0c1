"""The command side of the aggregator put together: intake, ledger, lanes, handlers, broadcasts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

import nats.errors
import structlog
from nats.aio.client import Client
from nats.js.errors import Error as JetStreamError

from netally.aggregator import command_intake
from netally.aggregator.broadcasts import Broadcasts
from netally.aggregator.command_intake import Intake
from netally.aggregator.command_ledger import CommandLedger
from netally.aggregator.command_runner import CommandRunner, Handler
from netally.aggregator.dimensions import Dimensions
from netally.aggregator.export_command import ExportCommand
from netally.aggregator.fleet_commands import FleetCommands
from netally.aggregator.live_settings import LiveConfig
from netally.aggregator.maintenance_commands import MaintenanceCommands
from netally.aggregator.token_commands import TokenCommands
from netally.aggregator.view_commands import ViewCommands
from netally.bus import subjects
from netally.bus.credentials import BusAccess
from netally.contracts.commands import Outcome
from netally.contracts.wire import encode_json
from netally.store import database

log = structlog.get_logger()

NAME = "netally-commands"
CONNECTIONS = 8
"""One holds the lock, one maintains the history, one exports; the rest is for the ledger."""
FORGET_EVERY = 3600.0
FOLLOW_EVERY = 10.0
"""Seconds after which settings are read again whatever was heard: a broadcast may be missed while the bus is away."""
DAY_MS = 86_400_000


async def run(
    url: str,
    access: BusAccess,
    database_settings: database.DatabaseSettings,
    client: Client,
    live: LiveConfig,
    dimensions: Sequence[Dimensions],
    clock: Callable[[], int],
    stop: asyncio.Event,
) -> None:
    """Carry out commands until ``stop`` is set. Returns early when stopped while the database is away."""
    pool = await database.connect_unless_stopped(database_settings, NAME, CONNECTIONS, stop)
    if pool is None:
        return

    def explain(error: BaseException) -> str:
        return database.plain_words(error, database_settings.database_url)

    js = client.jetstream()

    async def tell(outcome: Outcome, identity: str) -> None:
        # The ledger is what counts: an outcome that cannot be told is read from there.
        try:
            await js.publish(
                subjects.outcome(outcome.source, outcome.command_id),
                encode_json(outcome),
                headers={"Nats-Msg-Id": identity},
            )
        except (nats.errors.Error, JetStreamError, OSError, TimeoutError) as error:
            log.warning("outcome not told", id=outcome.command_id, state=outcome.state, reason=str(error))

    try:
        ledger = CommandLedger(pool, clock, tell)
        fleet = FleetCommands(pool, client, ledger, live)

        async def tell_services(command_id: str) -> None:
            await fleet.tell_services(command_id)

        maintenance = MaintenanceCommands(pool, js, live, clock, tell_services=tell_services)
        tokens = TokenCommands(pool, client, clock)
        views = ViewCommands(pool, clock)
        handlers: dict[str, Handler] = {
            "aggregate": maintenance.aggregate,
            "cleanup": maintenance.cleanup,
            "purge": maintenance.purge,
            "set-retention": maintenance.set_retention,
            "set-config": maintenance.set_config,
            "export": ExportCommand(pool, js, clock).export,
            "refresh-cache": fleet.refresh_cache,
            "pause": fleet.pause,
            "resume": fleet.resume,
            "set-interval": fleet.set_interval,
            "set-log-level": fleet.set_log_level,
            "set-naming-rules": fleet.set_naming_rules,
            "save-view": views.save,
            "delete-view": views.delete,
            "cancel": fleet.cancel,
            "create-token": tokens.create,
            "revoke-token": tokens.revoke,
        }
        runner = CommandRunner(pool, ledger, handlers, clock, explain)
        intake = Intake(pool, ledger, runner.waits_for, runner.wake)
        broadcasts = Broadcasts(client, dimensions, live, runner.stop_command)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(runner.run(stop))
            tasks.create_task(broadcasts.run(stop))
            tasks.create_task(command_intake.run(url, access, NAME, intake, stop))
            tasks.create_task(_follow(client, live, stop))
            tasks.create_task(_forget_old(ledger, live, clock, explain, stop))
    finally:
        pool.terminate()


async def _follow(client: Client, live: LiveConfig, stop: asyncio.Event) -> None:
    told = False
    while True:
        with contextlib.suppress(nats.errors.Error, JetStreamError, OSError, TimeoutError, ValueError):
            if not told:
                await live.tell_defaults(client.jetstream())
                told = True
            await live.load(client.jetstream())
        if await _stopped(stop, FOLLOW_EVERY):
            return


async def _forget_old(
    ledger: CommandLedger,
    live: LiveConfig,
    clock: Callable[[], int],
    explain: Callable[[BaseException], str],
    stop: asyncio.Event,
) -> None:
    while True:
        try:
            await ledger.forget(clock() - live.config.ledger_days * DAY_MS)
        except database.AWAY as error:
            log.warning("old commands stay in the ledger for now", reason=explain(error))
        if await _stopped(stop, FORGET_EVERY):
            return


async def _stopped(stop: asyncio.Event, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
    return stop.is_set()

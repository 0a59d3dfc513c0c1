"""Composition root: settings in, a running aggregator out; waits for what is away, ends cleanly on SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg
import nats.errors
import structlog
import uvloop
from nats.aio.client import Client
from nats.js.errors import Error as JetStreamError

from netally.aggregator import command_service, maintenance
from netally.aggregator.access_use import AccessSink
from netally.aggregator.agents import AgentSink
from netally.aggregator.consumer import Consumer
from netally.aggregator.flows import FlowSink
from netally.aggregator.live_settings import LiveConfig
from netally.aggregator.readiness import Readiness
from netally.aggregator.settings import AggregatorSettings
from netally.aggregator.stream_watch import provision, watch
from netally.aggregator.tabs import TabSink
from netally.aggregator.writer import Writer
from netally.bus import connection, streams
from netally.bus.credentials import BusAccess, BusSettings, read_access, service_inbox
from netally.contracts.wire import UndecodableError
from netally.store import database, migrate
from netally.telemetry.logging import configure_logging
from netally.telemetry.probes import serve_probes
from netally.telemetry.settings import SettingsError, load_settings

NAME = "netally-aggregator"
GRACE_SECONDS = 10.0
"""Longest a stop waits for the running transaction; then it is given up, and its messages are delivered again."""
CANCEL_SECONDS = 3.0
"""Longest the cancellation after it may take."""
RESTART_SECONDS = 5.0
SETTINGS_SECONDS = 1.0

log = structlog.get_logger()

T = TypeVar("T")


def main() -> None:
    """Run until SIGTERM or SIGINT; exits 0 then, 2 on wrong settings, 1 when the probes' port is taken."""
    try:
        settings = load_settings(AggregatorSettings)
        database_settings = load_settings(database.DatabaseSettings)
        access = read_access(load_settings(BusSettings), service_inbox("aggregator"))
        configure_logging("aggregator", settings.log_level)
    except (SettingsError, ValueError) as error:
        sys.exit(_complain(f"netally aggregator: {error}", 2))
    # Rows are short-lived tuples by the hundred thousand, none in a cycle: at the default thresholds looking for cycles
    # among them costs as much as decoding them.
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)
    sys.exit(uvloop.run(run(settings, database_settings, access)))


def _complain(words: str, code: int) -> int:
    sys.stderr.write(words + "\n")
    return code


async def run(settings: AggregatorSettings, database_settings: database.DatabaseSettings, access: BusAccess) -> int:
    """Everything, until a signal; the exit code."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    readiness = Readiness()
    readiness.wait_for("database", "not connected yet")
    readiness.wait_for("bus", "not connected yet")
    readiness.wait_for("streams", "not looked at yet")
    readiness.wait_for("settings", "not read yet")
    probes = None
    if settings.aggregator_port:
        try:
            probes = await serve_probes(settings.aggregator_port, readiness.missing, host=settings.probe_bind)
        except OSError as error:
            return _complain(
                f"netally aggregator: cannot listen on port {settings.aggregator_port} ({error.strerror}): set "
                "NETALLY_AGGREGATOR_PORT to a free one",
                1,
            )
    work = asyncio.create_task(_work(settings, database_settings, access, readiness, stop))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((work, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            log.info("stopping")
            await asyncio.wait((work,), timeout=GRACE_SECONDS)
        if work.done():
            work.result()
        log.info("stopped")
    finally:
        for task in (work, stopping):
            task.cancel()
        _, hanging = await asyncio.wait((work, stopping), timeout=CANCEL_SECONDS)
        if probes is not None:
            probes.close()
        if hanging:
            # A database that hangs answers neither a statement nor the request to cancel it; asyncpg waits for both.
            # Nothing is lost: what is not committed is not acknowledged.
            log.warning("the database does not let go, leaving without it")
            os._exit(0)
    return 0


async def _work(
    settings: AggregatorSettings,
    database_settings: database.DatabaseSettings,
    access: BusAccess,
    readiness: Readiness,
    stop: asyncio.Event,
) -> None:
    opening = asyncio.gather(
        _open_database(settings, database_settings, readiness),
        connection.connect(settings.nats_url, NAME, lambda reason: readiness.set("bus", reason), access),
    )
    if not await _unless_stopped(opening, stop):
        return
    (pool, backend), client = opening.result()
    try:
        js = client.jetstream()
        provisioning = asyncio.ensure_future(provision(js, settings, readiness))
        if not await _unless_stopped(provisioning, stop):
            return
        provisioning.result()
        log.info("started", backend=backend)
        await _consume(settings, database_settings, access, pool, backend, client, readiness, stop)
    finally:
        with contextlib.suppress(Exception):
            await asyncio.wait_for(client.flush(), 5)
        with contextlib.suppress(Exception):
            await asyncio.wait_for(client.close(), 5)
        pool.terminate()


async def _unless_stopped(waiting: asyncio.Future[T], stop: asyncio.Event) -> bool:
    """Wait for something that may take for ever; False, and it is cancelled, when stopped before."""
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((waiting, stopping), return_when=asyncio.FIRST_COMPLETED)
        return waiting.done()
    finally:
        stopping.cancel()
        if not waiting.done():
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting


async def _open_database(
    settings: AggregatorSettings, database_settings: database.DatabaseSettings, readiness: Readiness
) -> tuple[asyncpg.Pool, str]:
    pause = 0.25
    while True:
        try:
            deployment = await migrate.migrate(database_settings, settings.timezone)
            pool = await database.open_pool(
                database_settings, NAME, statement_timeout=settings.database_timeout_seconds
            )
        except migrate.MigrationError as error:
            readiness.wait_for("database", str(error))
        except database.AWAY as error:
            readiness.wait_for("database", database.plain_words(error, database_settings.database_url))
        else:
            break
        await asyncio.sleep(pause)
        pause = min(pause * 2, 5.0)
    readiness.ready("database")
    if settings.timezone not in (None, deployment.timezone):
        log.warning(
            "the database keeps its time zone", timezone=deployment.timezone, NETALLY_TIMEZONE=settings.timezone
        )
    return pool, deployment.backend


async def _consume(
    settings: AggregatorSettings,
    database_settings: database.DatabaseSettings,
    access: BusAccess,
    pool: asyncpg.Pool,
    backend: str,
    client: Client,
    readiness: Readiness,
    stop: asyncio.Event,
) -> None:
    def clock() -> int:
        return time.time_ns() // 1_000_000

    def explain(error: BaseException) -> str:
        return database.plain_words(error, database_settings.database_url)

    async def database_answers() -> None:
        async with asyncio.timeout(10), pool.acquire() as one:
            await migrate.is_migrated(one)

    writer = Writer(pool, backend, settings.raw_retention_days, clock)
    flows = Consumer(
        client,
        streams.FLOWS,
        FlowSink(writer),
        ack_wait=settings.ack_wait_seconds,
        clock=clock,
        readiness=readiness,
        explain=explain,
        database_answers=database_answers,
    )
    live = LiveConfig(settings.raw_retention_days, on_raw_days=writer.keep_raw)
    if not await _follow_settings(live, client, readiness, stop):
        return
    agent_sink = AgentSink(pool, clock)
    agents = Consumer(
        client,
        streams.AGENTS,
        agent_sink,
        ack_wait=settings.ack_wait_seconds,
        clock=clock,
        readiness=readiness,
        explain=explain,
        database_answers=database_answers,
    )
    access_use = Consumer(
        client,
        streams.ACCESS,
        AccessSink(pool, clock),
        ack_wait=settings.ack_wait_seconds,
        clock=clock,
        readiness=readiness,
        explain=explain,
        database_answers=database_answers,
    )
    tab_sink = TabSink(pool, backend, writer.oldest, clock)
    tabs = Consumer(
        client,
        streams.TABS,
        tab_sink,
        ack_wait=settings.ack_wait_seconds,
        clock=clock,
        readiness=readiness,
        explain=explain,
        database_answers=database_answers,
    )
    dimensions = (writer.dimensions(), agent_sink.dimensions(), tab_sink.dimensions())
    async with asyncio.TaskGroup() as tasks:
        for part in (
            flows.run,
            agents.run,
            access_use.run,
            tabs.run,
            lambda stop: watch(client.jetstream(), settings, readiness, stop),
            lambda stop: maintenance.run(database_settings, live.ages, stop),
            lambda stop: command_service.run(
                settings.nats_url, access, database_settings, client, live, dimensions, clock, stop
            ),
        ):
            tasks.create_task(_keep_running(part, client, stop))


async def _follow_settings(live: LiveConfig, client: Client, readiness: Readiness, stop: asyncio.Event) -> bool:
    """Read what is set before anything is done: with the retention of the process alone, what is to be kept for longer
    would be refused and dropped. False when stopped before.
    """
    while not stop.is_set():
        try:
            await live.load(client.jetstream())
        except (nats.errors.Error, JetStreamError, OSError, TimeoutError, UndecodableError) as error:
            readiness.wait_for("settings", f"not readable from the bus: {error or type(error).__name__}")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), SETTINGS_SECONDS)
        else:
            readiness.ready("settings")
            return True
    return False


async def _keep_running(part: Callable[[asyncio.Event], Awaitable[None]], client: Client, stop: asyncio.Event) -> None:
    """Run a part until it is told to stop. A fault in it is logged and it begins again: what it had in hand is
    delivered again.
    """
    while not stop.is_set():
        try:
            await part(stop)
        except Exception:
            if client.is_closed:
                raise
            log.exception("unexpected fault, beginning again", pause=RESTART_SECONDS)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), RESTART_SECONDS)

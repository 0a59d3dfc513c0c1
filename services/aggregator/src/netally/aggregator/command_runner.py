"""Carries out the commands of the ledger: lane by lane, one after the other within a lane.

Of several aggregators one does it at a time: it holds a lock of the database's, which goes with its connection. Whoever
gets the lock first looks for what the last one left running, and lets it run again or ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any, Protocol

import asyncpg
import msgspec
import nats.errors
import structlog
from nats.js.errors import Error as JetStreamError

from netally.aggregator.command_ledger import CommandLedger
from netally.contracts import commands
from netally.contracts.commands import COMMANDS, LANES, Command, RefusedError
from netally.store import sql
from netally.store.database import AWAY, can_never_succeed

log = structlog.get_logger()

POLL_SECONDS = 2.0
"""How often a lane looks without being told: another aggregator may have taken a command in."""
SWEEP_SECONDS = 0.5
HEARTBEAT_SECONDS = 10.0
LEAST_PROGRESS_SECONDS = 1.0
MOST_STARTS = 3
"""A command that was interrupted so often is given up: it may be what ends the aggregator."""
AWAY_SECONDS = 2.0


class Done(msgspec.Struct, frozen=True):
    """What a command did."""

    message: str
    """For people."""
    result: dict[str, Any] = {}


class FailedError(Exception):
    """A command could not be carried out; the message says why, in plain words."""

    def __init__(self, message: str, result: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.result = result or {}


class Run:
    """One command being carried out, as its handler sees it."""

    def __init__(self, command: Command, ledger: CommandLedger) -> None:
        self.command = command
        self._ledger = ledger
        self._told_at = time.monotonic()
        self._began = self._told_at
        self._message = "running"

    async def progress(self, message: str, **detail: Any) -> None:
        """Tell how far it is; at most once a second."""
        self._message = message
        if time.monotonic() - self._told_at >= LEAST_PROGRESS_SECONDS:
            self._told_at = time.monotonic()
            await self._ledger.progress(self.command.id, message, detail)

    async def beat(self) -> None:
        """Tell that it still runs, when it has not for a while. Until cancelled."""
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS / 4)
            if time.monotonic() - self._told_at >= HEARTBEAT_SECONDS:
                self._told_at = time.monotonic()
                seconds = round(time.monotonic() - self._began)
                with contextlib.suppress(*AWAY):
                    await self._ledger.progress(self.command.id, f"{self._message} ({seconds} s so far)", {})


class Handler(Protocol):
    """Carries out commands of one name. Raises RefusedError or FailedError; a cancellation ends it cleanly."""

    async def __call__(self, run: Run, arguments: Any, /) -> Done: ...


class _Stopping(msgspec.Struct):
    task: asyncio.Task[Done]
    by: str | None = None


class CommandRunner:
    """``explain`` tells a database error in plain words."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        ledger: CommandLedger,
        handlers: dict[str, Handler],
        clock: Callable[[], int],
        explain: Callable[[BaseException], str],
    ) -> None:
        self._pool = pool
        self._ledger = ledger
        self._handlers = handlers
        self._clock = clock
        self._explain = explain
        self._wakes = {lane: asyncio.Event() for lane in LANES}
        self._running: dict[str, _Stopping] = {}

    def wake(self, lane: str) -> None:
        """There is something to do."""
        self._wakes[lane].set()

    async def waits_for(self, lane: str) -> str:
        """Name and id of the command that is last in the lane now; empty when there is none."""
        found = await self._ledger.unfinished(_names(lane))
        return f"{found[-1][0].name} {found[-1][0].id}" if found else ""

    def stop_command(self, command_id: str, actor: str) -> bool:
        """Stop a command that runs here; False when it does not."""
        found = self._running.get(command_id)
        if found is None:
            return False
        found.by = actor or "nobody"
        found.task.cancel()
        return True

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop`` is set. What runs then stays unfinished in the ledger and is found at the next start."""
        while not stop.is_set():
            try:
                async with self._pool.acquire() as lock:
                    while not await sql.fetch_value(lock, "try_command_lock"):
                        if await _stopped(stop, POLL_SECONDS):
                            return
                    await self._recover()
                    await self._run_lanes(lock, stop)
            except AWAY as error:
                log.warning("commands wait for the database", reason=self._explain(error))
                await _stopped(stop, AWAY_SECONDS)

    async def _run_lanes(self, lock: sql.Connection, stop: asyncio.Event) -> None:
        tasks = [asyncio.create_task(self._lane(lane)) for lane in LANES]
        tasks += [asyncio.create_task(self._expire_waiting()), asyncio.create_task(_hold(lock))]
        stopping = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait({*tasks, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                task.result()
        finally:
            stopping.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, stopping, return_exceptions=True)

    async def _recover(self) -> None:
        """What the last one left running."""
        for command, state in await self._ledger.unfinished(list(COMMANDS)):
            if state != "progress":
                continue
            if not COMMANDS[command.name].resumes and not command.dry_run:
                await self._ledger.end(
                    command.id,
                    "failed",
                    "interrupted when the aggregator ended; what it had done until then stays done. Run it again for "
                    "the rest",
                )
            elif (
                await self._ledger.requeue(command.id, "interrupted when the aggregator ended; runs again")
                > MOST_STARTS
            ):
                await self._ledger.end(command.id, "failed", f"interrupted {MOST_STARTS} times, given up")
            else:
                log.info("interrupted command runs again", command=command.name, id=command.id)

    async def _lane(self, lane: str) -> None:
        wake = self._wakes[lane]
        while True:
            wake.clear()
            waiting = [command for command, state in await self._ledger.unfinished(_names(lane)) if state == "accepted"]
            if not waiting:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await wake.wait()
                continue
            await self._carry_out(waiting[0])

    async def _carry_out(self, command: Command) -> None:
        if command.deadline is not None and self._clock() >= command.deadline:
            await self._expire(command)
            return
        if not await self._ledger.begin(command.id, "running"):
            return
        run = Run(command, self._ledger)
        # Not to end before it is known here that it may be stopped. Whatever is logged on the way carries the id.
        with structlog.contextvars.bound_contextvars(command_id=command.id):
            task = asyncio.create_task(self._handlers[command.name](run, commands.check(command)))
        stopping = self._running[command.id] = _Stopping(task)
        beating = asyncio.create_task(run.beat())
        try:
            state, message, result, field = await self._outcome(command, task, stopping)
        finally:
            beating.cancel()
            await _end(task)
            del self._running[command.id]
        await self._ledger.end(command.id, state, message, result, field)
        log.info("command ended", command=command.name, id=command.id, state=state, outcome=message)

    async def _outcome(
        self, command: Command, task: asyncio.Task[Done], stopping: _Stopping
    ) -> tuple[str, str, dict[str, Any], str | None]:
        await asyncio.wait({task})
        try:
            done = task.result()
        except asyncio.CancelledError:
            if stopping.by is None:
                raise
            # What is repeated after an interruption does no harm half done either.
            stays = "" if COMMANDS[command.name].resumes else "; what it had done until then stays done"
            return "cancelled", f"stopped by {stopping.by}{stays}", {}, None
        except RefusedError as refused:
            return "failed", str(refused), {}, refused.field
        except FailedError as failed:
            return "failed", str(failed), failed.result, None
        except AWAY as error:
            if isinstance(error, nats.errors.Error | JetStreamError):
                return "failed", f"the bus does not answer: {error or type(error).__name__}", {}, None
            if not can_never_succeed(error) and not isinstance(error, asyncpg.PostgresError):
                # The connection: the lock is probably gone as well. Found again as interrupted.
                raise
            return "failed", self._explain(error), {}, None
        except (nats.errors.Error, JetStreamError) as error:
            return "failed", f"the bus does not answer: {error or type(error).__name__}", {}, None
        except Exception:
            log.exception("command failed", command=command.name, id=command.id)
            return "failed", "it failed through a fault of Netally's; the aggregator's log has the reason", {}, None
        return "succeeded", done.message, done.result, None

    async def _expire_waiting(self) -> None:
        """A deadline passes also while the lane is busy."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            for command, state in await self._ledger.unfinished(list(COMMANDS)):
                if state == "accepted" and command.deadline is not None and self._clock() >= command.deadline:
                    await self._expire(command)

    async def _expire(self, command: Command) -> None:
        await self._ledger.end_waiting(
            command.id, "expired", "its deadline passed before its turn came; nothing was done"
        )


def _names(lane: str) -> list[str]:
    return [kind.name for kind in COMMANDS.values() if kind.lane == lane]


async def _hold(lock: sql.Connection) -> None:
    """Raises what the database raises as soon as the connection, and with it the lock, is gone."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        async with asyncio.timeout(30):
            await lock.fetchval("SELECT 1")


async def _stopped(stop: asyncio.Event, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
    return stop.is_set()


async def _end(task: asyncio.Task[Any]) -> None:
    """Cancel and wait; again when the cancellation was swallowed (wait_for, before Python 3.12)."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=5)
    if not task.cancelled():
        task.exception()

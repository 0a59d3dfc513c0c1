"""Batches from the spool to the bus, in order and as often as it takes; states and live samples beside them.

A batch leaves the spool only after the stream has acknowledged it. Its message id is its identity, so that sending it
again is harmless.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Final, TypeVar

import nats.errors
import nats.js.errors
import structlog
from nats.aio.client import Client
from nats.js import JetStreamContext

from netally.bus import subjects
from netally.bus.credentials import PLAIN, BusAccess
from netally.capture import metrics
from netally.capture.spool import Spool, SpooledBatch
from netally.contracts.agent import AgentReported, LiveSample
from netally.contracts.wire import ENCODING_HEADER, ZSTD, encode_json

T = TypeVar("T")

WINDOW: Final = 64
"""Batches under way at once."""
ACK_SECONDS: Final = 5.0
_IDLE_SECONDS: Final = 30.0
_FIRST_RETRY: Final = 0.2
_LAST_RETRY: Final = 5.0
_STREAM_FULL: Final = 10077

log = structlog.get_logger()


class Publisher:
    """``disk`` runs the spool's calls one at a time, off the event loop."""

    def __init__(
        self,
        url: str,
        spool: Spool,
        disk: Executor,
        access: BusAccess = PLAIN,
    ) -> None:
        self._url = url
        self._access = access
        self._spool = spool
        self._disk = disk
        self._client: Client | None = None
        self._js: JetStreamContext | None = None
        self._wake = asyncio.Event()
        self.on_connected: Callable[[], None] = lambda: None
        """Called at each (re)connection."""
        self._connected = asyncio.Event()
        self._connection_problem = "not connected yet"
        self._ending = False
        self.problem = "not connected to the bus yet"
        """Why batches do not leave, in plain words; empty when they do."""

    @property
    def client(self) -> Client | None:
        """The connection, for what else the agent hears on the bus."""
        return self._client

    @property
    def connected(self) -> bool:
        return self._client is not None and self._client.is_connected

    def wake(self) -> None:
        """There is something new in the spool."""
        self._wake.set()

    async def run(self) -> None:
        """Connect, stay connected and drain the spool until cancelled."""
        await self._connect()
        retry = _FIRST_RETRY
        while True:
            await self._connected.wait()
            self._wake.clear()
            if await self._drain():
                retry = _FIRST_RETRY
                # Not wait_for: before Python 3.12 it swallows a cancellation that comes with the event.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_IDLE_SECONDS):
                        await self._wake.wait()
            else:
                await asyncio.sleep(retry)
                retry = min(retry * 2, _LAST_RETRY)

    async def _connect(self) -> None:
        async def on_error(error: Exception) -> None:
            self._connection_problem = str(error) or type(error).__name__
            if not self.connected:
                self.problem = f"no connection to the bus: {self._connection_problem}"

        async def on_disconnected() -> None:
            self._connected.clear()
            self.problem = "the connection to the bus is lost; batches wait in the spool"
            if not self._ending:
                log.warning("bus connection lost")

        async def on_reconnected() -> None:
            log.info("bus connection is back")
            self._connected.set()
            self.on_connected()

        retry = _FIRST_RETRY
        while True:
            try:
                # Known before it is connected, so that it is closed when the agent ends meanwhile.
                self._client = Client()
                await self._client.connect(
                    [one.strip() for one in self._url.split(",")],
                    name="netally-capture",
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=1,
                    connect_timeout=3,
                    error_cb=on_error,
                    disconnected_cb=on_disconnected,
                    reconnected_cb=on_reconnected,
                    **self._access.options(),
                )
                break
            except (nats.errors.Error, OSError) as error:
                self.problem = f"no connection to the bus: {error or type(error).__name__}"
                await asyncio.sleep(retry)
                retry = min(retry * 2, _LAST_RETRY)
        self._js = self._client.jetstream(timeout=ACK_SECONDS)
        self._connected.set()
        self.on_connected()
        log.info("bus connected")

    async def _drain(self) -> bool:
        """Send what waits; False when something could not be sent for now."""
        while True:
            try:
                batches = await self._on_disk(lambda: self._spool.oldest(WINDOW))
            except sqlite3.Error as error:
                if not self.problem:
                    log.error("spool cannot be read", error=str(error))
                self.problem = f"the spool cannot be read: {error}"
                return False
            if not batches:
                self.problem = ""
                return True
            results = await asyncio.gather(*(self._publish(batch) for batch in batches))
            sent = [batch.sequence for batch, problem in zip(batches, results, strict=True) if not problem]
            if sent:
                metrics.PUBLISHED.inc(len(sent))
                await self._on_disk(lambda sent=sent: self._spool.delete(sent))  # type: ignore[misc]
            problems = [problem for problem in results if problem]
            if problems:
                metrics.PUBLISH_FAILURES.inc(len(problems))
                if problems[0] != self.problem:
                    log.warning("batches wait in the spool", reason=problems[0], batches=self._spool.batches)
                self.problem = problems[0]
                return False

    async def _publish(self, batch: SpooledBatch) -> str:
        """Empty when the stream has the batch, else why not."""
        if self._js is None:
            return "not connected to the bus yet"
        try:
            await self._js.publish(
                subjects.flows(batch.host),
                batch.body,
                headers={
                    "Nats-Msg-Id": f"{batch.host}/{self._spool.epoch}/{batch.sequence}",
                    ENCODING_HEADER: ZSTD,
                },
            )
        except nats.js.errors.NoStreamResponseError:
            return "the bus has no stream for flows yet: is the aggregator running?"
        except nats.js.errors.APIError as error:
            if error.err_code == _STREAM_FULL:
                return "the bus is full: the aggregator does not keep up, or its database is away"
            return f"the bus refused a batch: {error.description}"
        except TimeoutError:
            # A nats-server that cannot write says nothing at all, neither now nor when there is space again.
            return (
                "the bus does not say that it stored a batch: if NATS is up, look into its log; when its disk was "
                "full, free space there and restart it"
            )
        except (nats.errors.Error, OSError) as error:
            return f"the bus does not answer: {error or type(error).__name__}"
        return ""

    async def report(self, state: AgentReported) -> bool:
        """Publish the agent's state; the stream keeps the last one. False when it was not stored: it may be that the
        stream is not there yet, at the very first start.
        """
        if self.connected and self._js is not None:
            with contextlib.suppress(nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError):
                await self._js.publish(subjects.agents(state.host), encode_json(state), timeout=2)
                return True
        return False

    async def live(self, sample: LiveSample) -> None:
        """Publish the last second; nobody keeps it."""
        if self.connected and self._client is not None:
            with contextlib.suppress(nats.errors.Error, OSError):
                await self._client.publish(subjects.live(sample.host), encode_json(sample))

    async def finish(self, seconds: float) -> None:
        """Try for so long to empty the spool, then close. Call it when `run` was cancelled."""
        if self._client is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                # Without a connection the batches stay for the next start.
                while self.connected and not await self._drain():  # noqa: ASYNC110  (the spool is no event)
                    await asyncio.sleep(_FIRST_RETRY)
        self._ending = True
        with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
            async with asyncio.timeout(1):
                await self._client.close()

    async def _on_disk(self, call: Callable[[], T]) -> T:
        work: Awaitable[T] = asyncio.get_running_loop().run_in_executor(self._disk, call)
        return await work

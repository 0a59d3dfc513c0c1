"""A durable consumer's loop: pull, decode, write, ack. Used for flow batches and for agent reports alike.

A message is acknowledged after its commit. When the database is in trouble it is given back with a delay, without
limit. When the data is at fault its group is split until the culprit stands alone, which becomes a dead letter; the
others land. Pulling and decoding go on while a group is being written.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from netally.aggregator.deadletters import bury
from netally.aggregator.metrics import BATCHES, COMMIT_SECONDS
from netally.aggregator.pull import pull
from netally.aggregator.readiness import Readiness
from netally.bus import streams
from netally.contracts.wire import UndecodableError
from netally.store.database import AWAY, can_never_succeed

log = structlog.get_logger()

FETCH_MESSAGES = 64
GROUP_WEIGHT = 32_000
"""Most rows of one transaction, about: enough that its fixed cost vanishes, little enough for memory."""
SHORTEST_DELAY, LONGEST_DELAY = 0.5, 15.0

T = TypeVar("T")


class Sink(Protocol[T]):
    """Where a stream's messages go."""

    lanes: int
    """Groups written at the same time: more than one when their order does not matter."""

    def decode(self, message: Msg) -> T:
        """What the message holds. Raises UndecodableError."""

    def weight(self, item: T) -> int:
        """Rows of the item, about."""

    async def write(self, items: Sequence[T]) -> None:
        """Commit all or none. Raises what the database raises."""

    async def write_off(self, item: T) -> None:
        """Note that the item can never be stored."""

    def forget(self) -> None:
        """Drop what is remembered of the database."""


def _headline(error: Exception) -> str:
    """What the database says without the row it says it of: dead letters are logged, addresses are not."""
    return str(error.args[0]) if error.args else type(error).__name__


class Delivery(NamedTuple, Generic[T]):
    message: Msg
    item: T


class Consumer(Generic[T]):
    """Moves one stream into one sink until told to stop."""

    def __init__(
        self,
        client: Client,
        stream: str,
        sink: Sink[T],
        *,
        ack_wait: float,
        clock: Callable[[], int],
        readiness: Readiness,
        explain: Callable[[BaseException], str],
        database_answers: Callable[[], Awaitable[object]],
    ) -> None:
        self._client = client
        self._js = client.jetstream()
        self._stream = stream
        self._sink = sink
        self._ack_wait = ack_wait
        self._clock = clock
        self._readiness = readiness
        self._explain = explain
        self._database_answers = database_answers
        self._in_hand: dict[int, Msg] = {}
        self._failures = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop`` is set; what is in hand then is committed and acknowledged first, or given back."""
        # One group waits while others are written: the next is decoded meanwhile, and no more than that is held.
        groups: asyncio.Queue[list[Delivery[T]] | None] = asyncio.Queue(maxsize=1)
        async with asyncio.TaskGroup() as tasks:
            heartbeat = tasks.create_task(self._heartbeat())
            lanes = [tasks.create_task(self._write_groups(groups, stop)) for _ in range(self._sink.lanes)]
            await self._pull_groups(groups, stop)
            for _ in lanes:
                await groups.put(None)
            await asyncio.wait(lanes)
            heartbeat.cancel()

    async def _pull_groups(self, groups: asyncio.Queue[list[Delivery[T]] | None], stop: asyncio.Event) -> None:
        group: list[Delivery[T]] = []
        weight = 0
        async for messages in pull(self._client, self._stream, streams.AGGREGATOR, FETCH_MESSAGES, stop):
            for message in messages:
                self._in_hand[id(message)] = message
            for message in messages:
                try:
                    item = self._sink.decode(message)
                except UndecodableError as error:
                    await self._bury(message, str(error))
                    continue
                group.append(Delivery(message, item))
                weight += self._sink.weight(item)
                if weight >= GROUP_WEIGHT:
                    await groups.put(group)
                    group, weight = [], 0
            # While more waits in the stream, a transaction may as well be large.
            if group and len(messages) < FETCH_MESSAGES:
                await groups.put(group)
                group, weight = [], 0
        if group:
            await groups.put(group)

    async def _write_groups(self, groups: asyncio.Queue[list[Delivery[T]] | None], stop: asyncio.Event) -> None:
        while (group := await groups.get()) is not None:
            began = asyncio.get_running_loop().time()
            try:
                await self._write(group)
            except Exception as error:  # noqa: BLE001  (whatever it is, the messages are kept and tried again)
                await self._give_back(group, error)
                await self._wait_for_database(stop)
            else:
                COMMIT_SECONDS.observe(asyncio.get_running_loop().time() - began)
                self._failures = 0
                self._readiness.ready("database")

    async def _write(self, group: Sequence[Delivery[T]], *, again: bool = False) -> None:
        """Write and acknowledge; split when the data is at fault. Raises what says that the database is."""
        try:
            await self._sink.write([delivery.item for delivery in group])
        except Exception as error:
            if not can_never_succeed(error):
                raise
            if not again:
                # The fault may be in what is remembered: a partition or an id that is no more.
                self._sink.forget()
                await self._write(group, again=True)
            elif len(group) == 1:
                (culprit,) = group
                await self._bury(culprit.message, f"the database refuses it: {_headline(error)}", culprit.item)
            else:
                middle = len(group) // 2
                await self._write(group[:middle], again=True)
                await self._write(group[middle:], again=True)
            return
        for delivery in group:
            await self._settle(delivery.message)

    async def _settle(self, message: Msg) -> None:
        # An acknowledgement that gets lost is made good by the ledger when the message comes again.
        with contextlib.suppress(nats.errors.Error):
            await message.ack()
        self._in_hand.pop(id(message), None)

    async def _bury(self, message: Msg, reason: str, item: T | None = None) -> None:
        try:
            await bury(self._js, self._stream, message, reason, self._clock())
        except (nats.errors.Error, TimeoutError) as error:
            log.warning("dead letter could not be stored", stream=self._stream, reason=str(error))
            await self._nak(message, LONGEST_DELAY)
            return
        if item is not None:
            await self._sink.write_off(item)
        await self._settle(message)

    async def _give_back(self, group: Sequence[Delivery[T]], error: Exception) -> None:
        reason = self._explain(error)
        self._failures += 1
        self._sink.forget()
        if not isinstance(error, AWAY):
            log.exception("group could not be written", stream=self._stream)
        self._readiness.wait_for("database", reason)
        unsettled = [delivery.message for delivery in group if id(delivery.message) in self._in_hand]
        for message in unsettled:
            await self._nak(message, self._delay())
        if self._stream == streams.FLOWS:
            BATCHES.labels("retried").inc(len(unsettled))

    def _delay(self) -> float:
        return float(min(SHORTEST_DELAY * 2 ** min(self._failures - 1, 10), LONGEST_DELAY))

    async def _nak(self, message: Msg, delay: float) -> None:
        with contextlib.suppress(nats.errors.Error):
            await message.nak(delay=delay)
        self._in_hand.pop(id(message), None)

    async def _wait_for_database(self, stop: asyncio.Event) -> None:
        """Return when the database answers again, or at once when stopping."""
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._delay())
            try:
                await self._database_answers()
            except AWAY as error:
                self._failures += 1
                self._readiness.wait_for("database", self._explain(error))
            else:
                return

    async def _heartbeat(self) -> None:
        """Tell the server that what is in hand is being worked on, so that it is not delivered again meanwhile."""
        while True:
            await asyncio.sleep(self._ack_wait / 3)
            for message in list(self._in_hand.values()):
                with contextlib.suppress(nats.errors.Error):
                    await message.in_progress()

"""The live stream: one message a second for every reader, the last sixty kept for those who come back."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final

import msgspec

from netally.api import metrics
from netally.api.live import LiveTraffic, total
from netally.contracts.queries import LiveEvent

RING: Final = 60
BEHIND: Final = 15
"""A reader with so many messages waiting is dropped."""
MOVERS: Final = 60
LONGEST_STREAM_MS: Final = 3_600_000
"""A stream ends after so long, so that one opened with a session does not outlive it by much."""

_encoder = msgspec.json.Encoder()


class LiveFeed:
    """Turns the state of `LiveTraffic` into messages. ``clock`` gives epoch milliseconds."""

    def __init__(self, traffic: LiveTraffic, clock: Callable[[], int]) -> None:
        self.traffic = traffic
        self._clock = clock
        self._ring: deque[tuple[int, bytes]] = deque(maxlen=RING)
        self._readers: set[asyncio.Queue[bytes | None]] = set()

    async def run(self) -> None:
        """Publish each second, until cancelled."""
        due = self._clock() // 1000 * 1000
        while True:
            # Counted on from the last one: a timer may fire a millisecond early, and would then fire twice.
            due += 1000
            now = self._clock()
            if not now - 1000 < due < now + 1500:
                due = now // 1000 * 1000 + 1000
            await asyncio.sleep(max(due - now, 0) / 1000)
            self.publish()

    def publish(self) -> None:
        now = self._clock()
        # Ids rise even when the wall clock is set back.
        number = max(now, self._ring[-1][0] + 1) if self._ring else now
        message = b"id: %d\nevent: live\ndata: %s\n\n" % (number, _encoder.encode(live_event(self.traffic, now)))
        self._ring.append((number, message))
        for reader in list(self._readers):
            if reader.qsize() >= BEHIND:
                metrics.STREAMS_DROPPED.inc()
                self._drop(reader)
            else:
                reader.put_nowait(message)

    async def read(self, after: int | None) -> AsyncIterator[bytes]:
        """Messages for one reader: those kept after id ``after`` (the newest alone without one), then each new one."""
        reader: asyncio.Queue[bytes | None] = asyncio.Queue()
        kept = list(self._ring)[-1:] if after is None else [entry for entry in self._ring if entry[0] > after]
        self._readers.add(reader)
        metrics.STREAMS.inc()
        end = self._clock() + LONGEST_STREAM_MS
        try:
            yield b"retry: 2000\n\n" + b"".join(message for _, message in kept)
            while self._clock() < end and (message := await reader.get()) is not None:
                yield message
        finally:
            self._readers.discard(reader)
            metrics.STREAMS.dec()

    def close(self) -> None:
        """End every stream."""
        for reader in list(self._readers):
            self._drop(reader)

    def _drop(self, reader: asyncio.Queue[bytes | None]) -> None:
        self._readers.discard(reader)
        while not reader.empty():
            reader.get_nowait()
        reader.put_nowait(None)


def live_event(traffic: LiveTraffic, now: int) -> LiveEvent:
    hosts = [traffic.bandwidth(name, now) for name in traffic.names(now)]
    return LiveEvent(time=now, total=total(hosts), hosts=hosts, movers=traffic.movers(now, MOVERS))

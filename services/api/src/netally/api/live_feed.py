"""The live stream: one message a second for every reader, the last sixty kept for those who come back."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final

import msgspec

from netally.api import metrics
from netally.api.live import LiveTraffic, total
from netally.api.live_view import EVERYTHING, Lens, LiveView
from netally.api.problems import too_many
from netally.contracts.queries import LiveEvent

RING: Final = 60
BEHIND: Final = 15
"""A reader with so many messages waiting is dropped."""
MOVERS: Final = 60
LONGEST_STREAM: Final = 3600
"""Seconds. A stream ends after so long, so that one opened with a session does not outlive it by much."""

MOST_VIEWS: Final = 200
"""Different ones at the same time: each costs a message a second."""

_encoder = msgspec.json.Encoder()


class _Channel:
    """The messages of one view, and who reads them."""

    def __init__(self, lens: Lens) -> None:
        self.lens = lens
        self.ring: deque[tuple[int, bytes]] = deque(maxlen=RING)
        self.readers: set[asyncio.Queue[bytes | None]] = set()
        self.idle = 0
        """Messages since the last reader left."""


class LiveFeed:
    """Turns the state of `LiveTraffic` into messages. ``clock`` gives epoch milliseconds.

    Readers of the same view share its messages. The view of everything is always kept, so that its newcomers see
    something at once; another is for as long as somebody who comes back could resume it.
    """

    def __init__(self, traffic: LiveTraffic, clock: Callable[[], int]) -> None:
        self.traffic = traffic
        self._clock = clock
        self._last_id = 0
        self._channels: dict[LiveView, _Channel] = {EVERYTHING.view: _Channel(EVERYTHING)}

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
        self._last_id = max(now, self._last_id + 1)
        for view, channel in list(self._channels.items()):
            if not channel.readers and view != EVERYTHING.view:
                channel.idle += 1
                if channel.idle > RING:
                    del self._channels[view]
                    continue
            message = self._message(channel.lens, now)
            channel.ring.append((self._last_id, message))
            for reader in list(channel.readers):
                if reader.qsize() >= BEHIND:
                    metrics.STREAMS_DROPPED.inc()
                    _drop(channel, reader)
                else:
                    reader.put_nowait(message)

    def _message(self, lens: Lens, now: int) -> bytes:
        event = _encoder.encode(live_event(self.traffic, now, lens))
        return b"id: %d\nevent: live\ndata: %s\n\n" % (self._last_id, event)

    def open(self, lens: Lens, after: int | None, seconds: int = LONGEST_STREAM) -> AsyncIterator[bytes]:
        """Messages for one reader: those kept after id ``after`` (the newest alone without one), then each new one.

        Raises the 429 while there are too many different views.
        """
        channel = self._channels.get(lens.view)
        if channel is None:
            if len(self._channels) >= MOST_VIEWS:
                raise too_many("Too many different live filters are open at the same time.", 30)
            channel = self._channels[lens.view] = _Channel(lens)
            if self._last_id:
                channel.ring.append((self._last_id, self._message(lens, self._clock())))
        return self._read(channel, after, seconds)

    async def _read(self, channel: _Channel, after: int | None, seconds: int) -> AsyncIterator[bytes]:
        reader: asyncio.Queue[bytes | None] = asyncio.Queue()
        kept = list(channel.ring)[-1:] if after is None else [entry for entry in channel.ring if entry[0] > after]
        # It may have been idle for so long that it is gone by now.
        self._channels.setdefault(channel.lens.view, channel).readers.add(reader)
        channel = self._channels[channel.lens.view]
        channel.idle = 0
        metrics.STREAMS.inc()
        end = self._clock() + seconds * 1000
        try:
            yield b"retry: 2000\n\n" + b"".join(message for _, message in kept)
            while self._clock() < end and (message := await reader.get()) is not None:
                yield message
        finally:
            channel.readers.discard(reader)
            metrics.STREAMS.dec()

    def close(self) -> None:
        """End every stream."""
        for channel in self._channels.values():
            for reader in list(channel.readers):
                _drop(channel, reader)


def _drop(channel: _Channel, reader: asyncio.Queue[bytes | None]) -> None:
    channel.readers.discard(reader)
    while not reader.empty():
        reader.get_nowait()
    reader.put_nowait(None)


def live_event(traffic: LiveTraffic, now: int, lens: Lens = EVERYTHING) -> LiveEvent:
    names = [name for name in traffic.names(now) if lens.host(name)]
    hosts = [traffic.bandwidth(name, now, lens) for name in names]
    movers = traffic.movers(now, MOVERS, lens=lens)
    return LiveEvent(time=now, total=total(hosts), hosts=hosts, movers=movers, filter=lens.view.filter)

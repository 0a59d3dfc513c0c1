"""The first bytes of what a client sends over TCP, put in order: the ground of TLS and HTTP names.

Segments come in any order and more than once; what is kept is bounded in size, number and age. Pure: time is given.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

MAX_STREAM: Final = 16 * 1024
MAX_STREAMS: Final = 4_096
MAX_AGE: Final = 5.0
"""Seconds from one new segment to the next."""
_MAX_SEGMENTS: Final = 64
_WRAP: Final = 2**32

Key = TypeVar("Key", bound=Hashable)


class _Stream:
    __slots__ = ("data", "last", "start", "waiting")

    def __init__(self, start: int, now: float) -> None:
        self.start = start
        self.last = now
        self.data = b""
        self.waiting: dict[int, bytes] = {}
        """Segments beyond a gap, by offset from the start."""


class ClientStreams(Generic[Key]):
    """Streams being put together. A stream begins with its SYN, or with a segment that looks like a beginning."""

    def __init__(self, limit: int = MAX_STREAMS) -> None:
        self._limit = limit
        self._streams: OrderedDict[Key, _Stream] = OrderedDict()

    def __len__(self) -> int:
        return len(self._streams)

    def __contains__(self, key: Key) -> bool:
        return key in self._streams

    def begin(self, key: Key, sequence: int, now: float) -> None:
        """Expect a stream whose first byte has this sequence number (that of the SYN plus one)."""
        self._streams[key] = _Stream(sequence % _WRAP, now)
        self._streams.move_to_end(key)
        while len(self._streams) > self._limit or now - next(iter(self._streams.values())).last > MAX_AGE:
            self._streams.popitem(last=False)
            if not self._streams:
                break

    def add(self, key: Key, sequence: int, payload: bytes, now: float) -> bytes | None:
        """The stream's bytes from its start up to the first gap; None when the stream is unknown or was given up."""
        stream = self._streams.get(key)
        if stream is None:
            return None
        offset = (sequence - stream.start) % _WRAP
        if now - stream.last > MAX_AGE:
            self.end(key)
            return None
        if offset >= _WRAP // 2:
            # Begins before the start: a keep-alive probe, or sent again together with what came before.
            payload, offset = payload[_WRAP - offset :], 0
        if offset < MAX_STREAM and payload and len(stream.waiting) < _MAX_SEGMENTS:
            known = stream.waiting.get(offset, b"")
            if len(payload) > len(known):
                stream.waiting[offset] = payload[: MAX_STREAM - offset]
                stream.last = now
                self._streams.move_to_end(key)
        self._join(stream)
        return stream.data

    def consume(self, key: Key, count: int) -> None:
        """Drop the first ``count`` bytes: a message was read, the next one begins behind it."""
        stream = self._streams.get(key)
        if stream is not None:
            stream.start = (stream.start + count) % _WRAP
            stream.data = stream.data[count:]
            stream.waiting = {offset - count: data for offset, data in stream.waiting.items() if offset >= count}

    def end(self, key: Key) -> None:
        """Forget a stream: its name is known, or it will have none."""
        self._streams.pop(key, None)

    @staticmethod
    def _join(stream: _Stream) -> None:
        for offset in sorted(stream.waiting):
            if offset > len(stream.data):
                break
            payload = stream.waiting.pop(offset)
            stream.data += payload[len(stream.data) - offset :]

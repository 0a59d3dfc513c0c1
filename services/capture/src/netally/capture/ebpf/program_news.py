"""Programs that open sockets, as the kernel tells them: a ring buffer (Documentation/bpf/ringbuf.rst)."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

_MESSAGE: Final = struct.Struct("=QII16s")
_BUSY: Final = 1 << 31
_DISCARDED: Final = 1 << 30
_HEADER: Final = 8


class ProgramNews(NamedTuple):
    namespace: int
    """Cookie of its network namespace."""
    pid: int
    uid: int
    command: str
    """As the kernel has it, 15 bytes at most."""


class NewsReader:
    """``bytes_`` is the ring's size. Its descriptor is readable when there is something."""

    def __init__(self, map_descriptor: int, bytes_: int) -> None:
        self._descriptor = map_descriptor
        self._size = bytes_
        # One page that this side writes, then one that the kernel writes and the data twice, so that none is cut.
        self._consumer = mmap.mmap(map_descriptor, mmap.PAGESIZE, mmap.MAP_SHARED)
        self._data = mmap.mmap(
            map_descriptor, mmap.PAGESIZE + 2 * bytes_, mmap.MAP_SHARED, mmap.PROT_READ, offset=mmap.PAGESIZE
        )

    def fileno(self) -> int:
        return self._descriptor

    def read(self) -> Iterator[ProgramNews]:
        """What was told since the last call, oldest first."""
        (at,) = struct.unpack_from("=Q", self._consumer, 0)
        while at < struct.unpack_from("=Q", self._data, 0)[0]:
            place = mmap.PAGESIZE + at % self._size
            (length,) = struct.unpack_from("=I", self._data, place)
            if length & _BUSY:
                return
            size = length & ~_DISCARDED
            message = None
            if not length & _DISCARDED and size >= _MESSAGE.size:
                namespace, pid, uid, command = _MESSAGE.unpack_from(self._data, place + _HEADER)
                message = ProgramNews(namespace, pid, uid, command_text(command))
            at += (size + _HEADER + 7) & ~7
            struct.pack_into("=Q", self._consumer, 0, at)
            if message is not None:
                yield message

    def close(self) -> None:
        self._consumer.close()
        self._data.close()


def command_text(command: bytes) -> str:
    return command.split(b"\0", 1)[0].decode("utf-8", "replace")

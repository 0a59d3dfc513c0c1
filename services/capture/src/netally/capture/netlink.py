"""Raw netlink (netlink(7)): requests out, message payloads and attributes in. No library: pyroute2 is 40 times slower
on socket dumps.
"""

from __future__ import annotations

import itertools
import os
import socket
import struct
from collections.abc import Iterator
from typing import Final

ROUTE: Final = 0
SOCK_DIAG: Final = 4

_HEADER: Final = struct.Struct("=IHHII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_REQUEST: Final = 0x01
_DUMP: Final = 0x300
_ERROR: Final = 2
_DONE: Final = 3
_OVERRUN: Final = 4
_RECEIVE_BYTES: Final = 256 * 1024
_TIMEOUT: Final = struct.pack("@ll", 2, 0)
"""struct timeval."""


class NetlinkSocket:
    """One kernel family. Blocking with a timeout; answers come within microseconds."""

    def __init__(self, family: int) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, family)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024 * 1024)
        # A timeout of Python's own would ask poll(2) before each call.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEOUT)
        self._socket.bind((0, 0))
        self._sequence = itertools.count(1)

    def close(self) -> None:
        self._socket.close()

    def dump(self, kind: int, body: bytes) -> list[memoryview]:
        """Payloads of all messages that answer a dump. OSError when the kernel refuses.

        Read to its end at once: the kernel is busy (EBUSY) for the socket as long as a dump is not.
        """
        return list(self._ask(kind, body, _REQUEST | _DUMP))

    def get(self, kind: int, body: bytes) -> memoryview | None:
        """Payload of the single answer; None when there is no such object (ENOENT)."""
        try:
            return next(self._ask(kind, body, _REQUEST), None)
        except FileNotFoundError:
            return None

    def _ask(self, kind: int, body: bytes, flags: int) -> Iterator[memoryview]:
        sequence = next(self._sequence) & 0xFFFFFFFF
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, sequence, 0) + body)
        while True:
            data = memoryview(self._socket.recv(_RECEIVE_BYTES))
            offset = 0
            while offset + _HEADER.size <= len(data):
                length, message, _, answers, _ = _HEADER.unpack_from(data, offset)
                if length < _HEADER.size:
                    break
                payload = data[offset + _HEADER.size : offset + length]
                offset += (length + 3) & ~3
                if answers != sequence:
                    # Left over from a question whose answer took too long.
                    continue
                if message == _DONE:
                    return
                if message == _ERROR:
                    (code,) = struct.unpack_from("=i", payload)
                    if code:
                        raise OSError(-code, os.strerror(-code))
                    return
                if message == _OVERRUN:
                    continue
                yield payload
                if not flags & _DUMP:
                    return


def payloads(data: memoryview) -> Iterator[memoryview]:
    """Payload of each message that nobody asked for; stops at the first broken one."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        (length,) = struct.unpack_from("=I", data, offset)
        if length < _HEADER.size or offset + length > len(data):
            return
        yield data[offset + _HEADER.size : offset + length]
        offset += (length + 3) & ~3


def attributes(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """(type, value) of each attribute; stops at the first broken one."""
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size or offset + length > len(data):
            return
        yield kind & 0x3FFF, data[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3

"""Packet sockets of one interface: the ring that counts every packet, and the tap that reads a few whole.

The ring is TPACKET_V3 with a virtio header before each frame, so that segmentation-offload super-packets can be counted
as the segments they become (Documentation/networking/packet_mmap.rst, linux/if_packet.h).
"""

from __future__ import annotations

import mmap
import socket
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netally.capture import cbpf

_SOL_PACKET: Final = 263
_PACKET_RX_RING: Final = 5
_PACKET_STATISTICS: Final = 6
_PACKET_VERSION: Final = 10
_PACKET_VNET_HDR: Final = 15
_PACKET_IGNORE_OUTGOING: Final = 23
_TPACKET_V3: Final = 2
_ETH_P_ALL: Final = 0x0003
_STATUS_WORD: Final = 2
_USED_WORD: Final = 5
"""Bytes of the block that are in use (blk_len of struct tpacket_hdr_v1)."""
_STATUS_USER: Final = 1
_BEYOND: Final = 64
"""Bytes behind the last packet that are copied too, so that its headers can be read as those of others are."""

BLOCK_BYTES: Final = 512 * 1024
RING_BYTES: Final = 8 * 1024 * 1024
LOOPBACK_RING_BYTES: Final = 2 * 1024 * 1024
BLOCK_TIMEOUT_MS: Final = 200
"""A block is handed over at the latest after this time; packets are that old at most when they are counted."""
SNAPLEN: Final = 128
_FRAME_BYTES: Final = 2048
_TAP_BUFFER: Final = 2 * 1024 * 1024
_TAP_BURST: Final = 256


class RingStatistics(NamedTuple):
    """Counted by the kernel since the last question."""

    packets: int
    """Drops included."""
    drops: int


class PacketRing:
    """Memory shared with the kernel; blocks come ready one after the other. Raises OSError (EPERM without CAP_NET_RAW,
    ENODEV for an unknown interface).
    """

    def __init__(self, interface: str, *, loopback: bool = False) -> None:
        ring_bytes = LOOPBACK_RING_BYTES if loopback else RING_BYTES
        self._blocks = ring_bytes // BLOCK_BYTES
        self._next = 0
        self._copy: NDArray[np.uint8] = np.empty(BLOCK_BYTES, np.uint8)
        # Protocol 0: nothing is received before the bind, when filter and ring are in place.
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        try:
            self._socket.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V3)
            self._socket.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
            if loopback:
                # Each packet of lo would be seen twice, on its way out and in.
                self._socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
            cbpf.attach(self._socket, cbpf.accept_all(SNAPLEN))
            frames = ring_bytes // _FRAME_BYTES
            request = struct.pack("=7I", BLOCK_BYTES, self._blocks, _FRAME_BYTES, frames, BLOCK_TIMEOUT_MS, 0, 0)
            self._socket.setsockopt(_SOL_PACKET, _PACKET_RX_RING, request)
            self._memory = mmap.mmap(self._socket.fileno(), ring_bytes, mmap.MAP_SHARED)
            self._socket.bind((interface, _ETH_P_ALL))
        except BaseException:
            self._socket.close()
            raise
        self._bytes: NDArray[np.uint8] | None = np.frombuffer(self._memory, np.uint8)
        self._words: NDArray[np.uint32] | None = self._bytes.view(np.uint32)

    def fileno(self) -> int:
        return self._socket.fileno()

    def blocks(self) -> Iterator[NDArray[np.uint8]]:
        """Ready blocks, oldest first, at most one round. Each holds until the next is asked for.

        What comes is a copy: the memory was written by another core, and following packets through it, each step
        waiting for the one before, costs several times what copying it in one go does.
        """
        for _ in range(self._blocks):
            if self._bytes is None or self._words is None:
                return
            first = self._next * (BLOCK_BYTES // 4)
            if not int(self._words[first + _STATUS_WORD]) & _STATUS_USER:
                return
            used = min(int(self._words[first + _USED_WORD]) + _BEYOND, BLOCK_BYTES)
            begin = self._next * BLOCK_BYTES
            self._copy[:used] = self._bytes[begin : begin + used]
            self._words[first + _STATUS_WORD] = 0
            self._next = (self._next + 1) % self._blocks
            yield self._copy[:used]

    @property
    def capacity(self) -> int:
        """Blocks."""
        return self._blocks

    def is_bound(self) -> bool:
        """Whether packets still come in: not from an interface that was away, even if it is back with its index."""
        return bool(self._socket.getsockname()[0])

    def take_error(self) -> None:
        """Take the error of an interface that went down. While it is there, the socket seems to have something to read
        without end.
        """
        self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def statistics(self) -> RingStatistics:
        """struct tpacket_stats_v3; reading resets it."""
        raw = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 12)
        packets, drops, _ = struct.unpack("=III", raw)
        return RingStatistics(packets, drops)

    def close(self) -> None:
        self._bytes = self._words = None
        self._socket.close()
        self._memory.close()


class TappedFrame(NamedTuple):
    frame: bytes
    outgoing: bool


class PacketTap:
    """Whole packets that a filter chooses, as soon as they pass. ``ethernet`` False gives them from the IP header on:
    tunnels have what they like before it.
    """

    def __init__(self, interface: str, program: bytes, *, loopback: bool = False, ethernet: bool = True) -> None:
        kind = socket.SOCK_RAW if ethernet else socket.SOCK_DGRAM
        self._socket = socket.socket(socket.AF_PACKET, kind | socket.SOCK_NONBLOCK, 0)
        try:
            if loopback:
                self._socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _TAP_BUFFER)
            cbpf.attach(self._socket, program)
            self._socket.bind((interface, _ETH_P_ALL))
        except BaseException:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def frames(self) -> Iterator[TappedFrame]:
        """Frames that wait, a bounded number at a time so that nobody else starves."""
        for _ in range(_TAP_BURST):
            try:
                frame, address = self._socket.recvfrom(cbpf.FULL)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                # The interface went down (ENETDOWN); the socket stays and works again when it is up.
                return
            yield TappedFrame(frame, address[2] == socket.PACKET_OUTGOING)

    def close(self) -> None:
        self._socket.close()

"""Blocks of a TPACKET_V3 ring as the kernel lays them out (linux/if_packet.h), for tests of the block decoder."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

HOST, BROADCAST, MULTICAST, OTHERHOST, OUTGOING = range(5)
BLOCK_BYTES = 512 * 1024
_LL_ADDRESS_AT = 48
_MAC_AT = 92
"""Where the kernel puts an Ethernet frame behind a virtio header: TPACKET_ALIGN(68 + 16) + 10 - 14."""


class RingFrame(NamedTuple):
    frame: bytes
    packet_type: int = HOST
    time: float = 1_000.0
    length: int | None = None
    """Original length; None for that of the frame."""
    gso_size: int = 0
    gso_type: int = 1
    network: int = 14
    """Where the kernel believes the network header to begin."""
    protocol: int | None = None
    """sll_protocol; None for the EtherType in the frame."""


def make_block(frames: Sequence[RingFrame], *, snaplen: int = 128) -> NDArray[np.uint8]:
    """One block, handed over to user space."""
    block = bytearray(BLOCK_BYTES)
    offset = 48
    struct.pack_into("=IIIII", block, 0, 1, 0, 1, len(frames), offset)
    for number, ring_frame in enumerate(frames):
        kept = ring_frame.frame[:snaplen]
        size = (_MAC_AT + len(kept) + 7) & ~7
        length = len(ring_frame.frame) if ring_frame.length is None else ring_frame.length
        protocol = ring_frame.protocol
        if protocol is None:
            protocol = int.from_bytes(ring_frame.frame[12:14], "big")
        seconds = int(ring_frame.time)
        struct.pack_into(
            "=IIIIIIHH",
            block,
            offset,
            size if number + 1 < len(frames) else 0,
            seconds,
            round((ring_frame.time - seconds) * 1e9),
            len(kept),
            length,
            1,
            _MAC_AT,
            _MAC_AT + ring_frame.network,
        )
        struct.pack_into("=H", block, offset + _LL_ADDRESS_AT, 17)
        struct.pack_into("!H", block, offset + _LL_ADDRESS_AT + 2, protocol)
        struct.pack_into("=iHBB", block, offset + _LL_ADDRESS_AT + 4, 2, 1, ring_frame.packet_type, 6)
        kind = ring_frame.gso_type if ring_frame.gso_size else 0
        struct.pack_into("=BBHHHH", block, offset + _MAC_AT - 10, 0, kind, 0, ring_frame.gso_size, 0, 0)
        block[offset + _MAC_AT : offset + _MAC_AT + len(kept)] = kept
        offset += size
    return np.frombuffer(bytes(block), np.uint8)

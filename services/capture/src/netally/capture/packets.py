"""Packets as columns, and what a flow is keyed by.

A flow key is a direction-free five-tuple and the interface, as five 64-bit words: endpoint A's address (high, low),
endpoint B's (high, low), and one word of ports, protocol, family and interface. A is the smaller endpoint, so that both
directions of a connection share one key. IPv4 addresses lie in the low word.
"""

from __future__ import annotations

import secrets
from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from netally.capture.dissector import Packet

Words = NDArray[np.uint64]
Number = TypeVar("Number", np.int64, np.uint64)

# Events of a flow, a bit mask that is OR-ed over its packets.
A_IS_CLIENT: Final = 1
"""A sent a SYN, or B answered one."""
B_IS_CLIENT: Final = 2
SYN: Final = 4
"""A SYN without ACK: a connection was opened."""
CLOSED: Final = 8
"""A FIN or RST was seen."""
A_IS_LOCAL: Final = 16
"""A packet of A left this machine, or one to A arrived."""
B_IS_LOCAL: Final = 32
A_SENT_FIRST: Final = 64
"""Set by the flow table on the first packet only."""

TCP_FIN: Final = 0x01
TCP_SYN: Final = 0x02
TCP_RST: Final = 0x04
TCP_PSH: Final = 0x08
TCP_ACK: Final = 0x10

INTERFACE_MASK: Final = (1 << 23) - 1
_MASK: Final = (1 << 64) - 1
# Random odd multipliers, so that nobody outside can aim packets at one hash value.
_MULTIPLIERS: Final = tuple(secrets.randbits(64) | 1 for _ in range(5))


class Columns(NamedTuple):
    """Packets as columns of one length n, in order of capture."""

    words: Words
    """(n, 5): flow keys."""
    reverse: NDArray[np.bool_]
    """Whether endpoint B is the sender."""
    lengths: NDArray[np.int64]
    """Bytes to count (L3 bytes on the wire in live capture, whole frames in a replay)."""
    counts: NDArray[np.int64]
    """Packets to count: wire segments."""
    events: NDArray[np.uint8]
    """Event bits of each packet."""
    times: NDArray[np.float64]
    """Epoch seconds."""

    def rows(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Columns:
        """The rows that a mask or an index array chooses."""
        return Columns._make(column[chosen] for column in self)


class FlowEnds(NamedTuple):
    """A flow key in words that people and the operating system use."""

    protocol: int
    a: bytes
    a_port: int
    b: bytes
    b_port: int
    interface: int


def address_words(address: bytes) -> tuple[int, int]:
    """(high, low) of a packed address."""
    if len(address) == 4:
        return 0, int.from_bytes(address, "big")
    return int.from_bytes(address[:8], "big"), int.from_bytes(address[8:], "big")


def address_bytes(high: int, low: int, family: int) -> bytes:
    return low.to_bytes(4, "big") if family == 4 else high.to_bytes(8, "big") + low.to_bytes(8, "big")


def last_word(a_port: int, b_port: int, protocol: int, family: int, interface: int) -> int:
    """Ports (16 bits each), protocol (8), interface index (23), and whether it is IPv6 (1)."""
    return a_port << 48 | b_port << 32 | protocol << 24 | (interface & INTERFACE_MASK) << 1 | (family == 6)


def key_words(
    protocol: int, src: bytes, src_port: int, dst: bytes, dst_port: int, interface: int
) -> tuple[tuple[int, ...], bool]:
    """Key words of a five-tuple, and whether its source became endpoint B."""
    source, target = (*address_words(src), src_port), (*address_words(dst), dst_port)
    reverse = source > target
    a, b = (target, source) if reverse else (source, target)
    family = 4 if len(src) == 4 else 6
    return (a[0], a[1], b[0], b[1], last_word(a[2], b[2], protocol, family, interface)), reverse


def ends_of_words(words: Words) -> FlowEnds:
    """Flow key of one row of words."""
    return ends_of(words.tolist())


def ends_of(words: list[int]) -> FlowEnds:
    """The same for words that are no array any more."""
    a_high, a_low, b_high, b_low, last = words
    family = 6 if last & 1 else 4
    return FlowEnds(
        protocol=last >> 24 & 0xFF,
        a=address_bytes(a_high, a_low, family),
        a_port=last >> 48,
        b=address_bytes(b_high, b_low, family),
        b_port=last >> 32 & 0xFFFF,
        interface=last >> 1 & INTERFACE_MASK,
    )


def among(values: NDArray[Number], chosen: NDArray[Number]) -> NDArray[np.bool_]:
    """Whether each value is one of ``chosen``, which ascend.

    Not by isin or setdiff1d: their first call imports numpy's masked arrays, up to 100 ms in which connections come
    and go.
    """
    if not len(chosen):
        return np.zeros(values.shape, np.bool_)
    found: NDArray[np.bool_] = chosen[np.minimum(np.searchsorted(chosen, values), len(chosen) - 1)] == values
    return found


def hash_words(words: Words) -> Words:
    """64-bit mix of each row of (n, 5) words. Readers compare the words as well: equal hashes are no proof."""
    mixed = np.zeros(len(words), np.uint64)
    for column, multiplier in enumerate(_MULTIPLIERS):
        mixed = (mixed ^ words[:, column]) * np.uint64(multiplier)
        mixed ^= mixed >> np.uint64(32)
    return mixed


def hash_one(words: tuple[int, ...]) -> int:
    """The same for a single key, without numpy's cost for each call."""
    mixed = 0
    for word, multiplier in zip(words, _MULTIPLIERS, strict=True):
        mixed = ((mixed ^ word) * multiplier) & _MASK
        mixed ^= mixed >> 32
    return mixed


def events_of(packet: Packet, reverse: bool, outgoing: bool | None) -> int:
    """Event bits of one packet; ``outgoing`` None where the capture point knows no direction (loopback, a file)."""
    events = 0
    if packet.tcp_flags & TCP_SYN:
        answered = bool(packet.tcp_flags & TCP_ACK)
        events |= (B_IS_CLIENT if reverse != answered else A_IS_CLIENT) | (0 if answered else SYN)
    if packet.tcp_flags & (TCP_FIN | TCP_RST):
        events |= CLOSED
    if outgoing is not None:
        events |= B_IS_LOCAL if reverse == outgoing else A_IS_LOCAL
    return events


class ColumnsBuilder:
    """Collects single packets into `Columns`: for odd packets of a live capture, and for capture files."""

    def __init__(self) -> None:
        self._rows: list[tuple[tuple[int, ...], bool, int, int, int, float]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(
        self,
        packet: Packet,
        *,
        length: int,
        time: float,
        interface: int = 0,
        outgoing: bool | None = None,
        count: int = 1,
    ) -> tuple[int, ...]:
        """Key words of the packet's flow."""
        words, reverse = key_words(packet.protocol, packet.src, packet.src_port, packet.dst, packet.dst_port, interface)
        self._rows.append((words, reverse, length, count, events_of(packet, reverse, outgoing), time))
        return words

    def take(self) -> Columns:
        """Everything added since the last call."""
        rows, self._rows = self._rows, []
        return Columns(
            words=np.array([row[0] for row in rows], np.uint64).reshape(-1, 5),
            reverse=np.array([row[1] for row in rows], np.bool_),
            lengths=np.array([row[2] for row in rows], np.int64),
            counts=np.array([row[3] for row in rows], np.int64),
            events=np.array([row[4] for row in rows], np.uint8),
            times=np.array([row[5] for row in rows], np.float64),
        )


def join(first: Columns, second: Columns) -> Columns:
    """Rows of both, by time."""
    both = Columns(
        words=np.concatenate((first.words, second.words)),
        reverse=np.concatenate((first.reverse, second.reverse)),
        lengths=np.concatenate((first.lengths, second.lengths)),
        counts=np.concatenate((first.counts, second.counts)),
        events=np.concatenate((first.events, second.events)),
        times=np.concatenate((first.times, second.times)),
    )
    return both.rows(np.argsort(both.times, kind="stable"))

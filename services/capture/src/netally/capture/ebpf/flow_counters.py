"""Readings of the kernel's counters in, what moved since the last one out, as `Columns` for the flow table. Sans-I/O.

Counters only grow, so nothing is lost between two readings. Entries that are silent are given back to be deleted.
"""

from __future__ import annotations

import secrets
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netally.capture.dissector import TCP
from netally.capture.packets import (
    A_IS_CLIENT,
    A_IS_LOCAL,
    B_IS_CLIENT,
    B_IS_LOCAL,
    SYN,
    Columns,
    Words,
    last_word,
)
from netally.capture.packets import CLOSED as FLOW_CLOSED

# struct key and struct counts of sockets.bpf.c.
KEY: Final = np.dtype(
    [
        # Bytes as on the wire: joining arrays would turn big-endian numbers round.
        ("local", "<u8", 2),
        ("remote", "<u8", 2),
        ("local_port", "<u2"),
        ("remote_port", "<u2"),
        ("interface", "<u4"),
        ("pid", "<u4"),
        ("protocol", "u1"),
        ("family", "u1"),
        ("unused", "<u2"),
        ("namespace", "<u8"),
    ]
)
VALUE: Final = np.dtype(
    [("amounts", "<u8", 4), ("uid", "<u4"), ("events", "<u4"), ("command", "S16")]
)  # amounts: bytes in, bytes out, packets in, packets out
LOCAL_OPENED: Final = 1
REMOTE_OPENED: Final = 2
CLOSED: Final = 4

CLOSED_IDLE: Final = 5.0
"""Seconds after which a closed connection's counters are deleted."""
TCP_IDLE: Final = 600.0
OTHER_IDLE: Final = 60.0
PRESSED_IDLE: Final = 0.5
"""The same for all, when the map is half full."""

_MULTIPLIERS: Final = [np.uint64(secrets.randbits(64) | 1) for _ in range(KEY.itemsize // 8)]


class Moved(NamedTuple):
    """Entries with something new, as columns of one length."""

    keys: NDArray[np.void]
    amounts: NDArray[np.int64]
    """(n, 4): bytes in, bytes out, packets in, packets out since the last reading."""
    events: NDArray[np.uint32]
    """Those of the whole connection for a new entry; else those that came since."""
    is_new: NDArray[np.bool_]
    values: NDArray[np.void]


class FlowCounters:
    """``entries`` is how many the map can hold."""

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._hashes: Words = np.zeros(0, np.uint64)
        self._keys = np.zeros(0, KEY)
        self._values = np.zeros(0, VALUE)
        self._moved_at: NDArray[np.float64] = np.zeros(0)
        self.fill = 0.0
        """Share of the map that was in use at the last reading."""

    def take(self, keys: NDArray[np.void], values: NDArray[np.void], now: float) -> Moved:
        """``keys`` and ``values`` are a whole reading, ``now`` any clock in seconds."""
        self.fill = len(keys) / self._entries
        hashes = hash_keys(keys)
        order = np.argsort(hashes, kind="stable")
        hashes, keys, values = hashes[order], keys[order], values[order]
        amounts = values["amounts"].astype(np.int64)
        events = values["events"].copy()
        known = np.zeros(len(keys), np.bool_)
        moved_at = np.full(len(keys), now)
        if len(self._hashes):
            at = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
            known = (self._hashes[at] == hashes) & (_words(self._keys[at]) == _words(keys)).all(axis=1)
            before = self._values["amounts"][at].astype(np.int64)
            # One that went back was deleted and is another now.
            known &= (amounts >= before).all(axis=1)
            amounts[known] -= before[known]
            events[known] &= ~self._values["events"][at][known]
            still = known & ~amounts.any(axis=1)
            moved_at[still] = self._moved_at[at][still]
        self._hashes, self._keys, self._values, self._moved_at = hashes, keys, values, moved_at
        chosen = np.flatnonzero(amounts.any(axis=1))
        return Moved(keys[chosen], amounts[chosen], events[chosen], ~known[chosen], values[chosen])

    def take_idle(self, now: float) -> NDArray[np.void]:
        """Keys that have been silent for long; they are forgotten here, and their owner deletes them from the map."""
        idle = now - self._moved_at
        closed = (self._values["events"] & CLOSED) != 0
        age = np.where(closed, CLOSED_IDLE, np.where(self._keys["protocol"] == TCP, TCP_IDLE, OTHER_IDLE))
        if self.fill > 0.5:
            age = np.full(len(age), PRESSED_IDLE)
        gone = idle > age
        keys = self._keys[gone]
        if len(keys):
            kept = ~gone
            self._hashes, self._keys = self._hashes[kept], self._keys[kept]
            self._values, self._moved_at = self._values[kept], self._moved_at[kept]
        return keys


def _words(keys: NDArray[np.void]) -> Words:
    return np.ascontiguousarray(keys).view(np.uint64).reshape(len(keys), KEY.itemsize // 8)


def hash_keys(keys: NDArray[np.void]) -> Words:
    """64-bit mix of each key."""
    words = _words(keys)
    mixed = np.zeros(len(words), np.uint64)
    for column, multiplier in enumerate(_MULTIPLIERS):
        mixed = (mixed ^ words[:, column]) * multiplier
        mixed ^= mixed >> np.uint64(32)
    return mixed


def flow_words(keys: NDArray[np.void], interfaces: NDArray[np.int64]) -> tuple[Words, NDArray[np.bool_]]:
    """Words of the flow table's key for each entry on the interface that carries it, and whether its local end is B."""
    six = keys["family"] == 6
    ends = []
    for name in ("local", "remote"):
        high, low = keys[name][:, 0].byteswap(), keys[name][:, 1].byteswap()
        ends.append((np.where(six, high, 0).astype(np.uint64), np.where(six, low, high >> np.uint64(32))))
    (local_high, local_low), (remote_high, remote_low) = ends
    local_port, remote_port = keys["local_port"].astype(np.uint64), keys["remote_port"].astype(np.uint64)
    is_b = local_high > remote_high
    tie = local_high == remote_high
    is_b |= tie & (local_low > remote_low)
    tie &= local_low == remote_low
    is_b |= tie & (local_port > remote_port)
    words = np.empty((len(keys), 5), np.uint64)
    words[:, 0] = np.where(is_b, remote_high, local_high)
    words[:, 1] = np.where(is_b, remote_low, local_low)
    words[:, 2] = np.where(is_b, local_high, remote_high)
    words[:, 3] = np.where(is_b, local_low, remote_low)
    a_port, b_port = np.where(is_b, remote_port, local_port), np.where(is_b, local_port, remote_port)
    words[:, 4] = (
        a_port << np.uint64(48) | b_port << np.uint64(32) | keys["protocol"].astype(np.uint64) << np.uint64(24)
        | interfaces.astype(np.uint64) << np.uint64(1) | np.uint64(last_word(0, 0, 0, 4, 0)) | six.astype(np.uint64)
    )  # fmt: skip
    return words, is_b


def columns(
    moved: Moved, words: Words, local_is_b: NDArray[np.bool_], loopback: NDArray[np.bool_], time: float
) -> Columns:
    """Two rows an entry, out and in. On loopback, where both ends are sockets that count, only what each sends."""
    opened = moved.is_new & (moved.events & (LOCAL_OPENED | REMOTE_OPENED) != 0)
    by_local, by_remote = (moved.events & LOCAL_OPENED) != 0, (moved.events & REMOTE_OPENED) != 0
    events = np.where(loopback, 0, np.where(local_is_b, B_IS_LOCAL, A_IS_LOCAL))
    events |= np.where(by_local, np.where(local_is_b, B_IS_CLIENT, A_IS_CLIENT), 0)
    events |= np.where(by_remote, np.where(local_is_b, A_IS_CLIENT, B_IS_CLIENT), 0)
    events |= np.where(opened & ~(loopback & by_remote), SYN, 0)
    events |= np.where((moved.events & CLOSED) != 0, FLOW_CLOSED, 0)
    # Who opened comes first, so that the first packet of a flow is taken for his.
    begins_in = by_remote & ~by_local
    out = moved.amounts[:, 3] > 0
    back = (moved.amounts[:, 2] > 0) & ~loopback
    rows = np.concatenate((np.flatnonzero(out), np.flatnonzero(back)))
    is_in = np.concatenate((np.zeros(out.sum(), np.bool_), np.ones(back.sum(), np.bool_)))
    order = np.argsort(is_in != begins_in[rows], kind="stable")
    rows, is_in = rows[order], is_in[order]
    return Columns(
        words=words[rows],
        reverse=local_is_b[rows] != is_in,
        lengths=np.where(is_in, moved.amounts[rows, 0], moved.amounts[rows, 1]),
        counts=np.where(is_in, moved.amounts[rows, 2], moved.amounts[rows, 3]),
        events=events[rows].astype(np.uint8),
        times=np.full(len(rows), time),
    )

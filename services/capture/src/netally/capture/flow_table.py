"""The bounded table of flows: `Columns` in, cumulated counters per connection out at each cut.

Columns of numpy instead of one object a flow: a block of packets is grouped by key hash, looked up by binary search and
added in a handful of vector operations. What the hash claims is verified against the real key.
"""

from __future__ import annotations

import secrets
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netally.capture.dissector import TCP, Packet
from netally.capture.flow_labels import FlowLabels
from netally.capture.packets import (
    A_IS_CLIENT,
    A_IS_LOCAL,
    A_SENT_FIRST,
    B_IS_CLIENT,
    B_IS_LOCAL,
    CLOSED,
    SYN,
    Columns,
    FlowEnds,
    Words,
    ends_of_words,
    events_of,
    hash_one,
    hash_words,
    key_words,
)
from netally.contracts.flow import App

Slots = NDArray[np.int64]
Counters = NDArray[np.int64]
"""(n, 4): bytes A→B, bytes B→A, packets A→B, packets B→A."""

START_CAPACITY: Final = 2_048
CLOSED_AGE: Final = 30.0
"""Seconds a closed connection stays, for its last packets."""
TCP_AGE: Final = 3_600.0
OTHER_AGE: Final = 300.0


class OtherCounts(NamedTuple):
    """What flows counted that were pushed out of a full table before their cut."""

    interface: int
    protocol: int
    outgoing_is_a: bool
    """Whether A was this machine; then A→B is out."""
    counters: tuple[int, int, int, int]
    connections: int


class Cut(NamedTuple):
    """What was counted since the cut before."""

    slots: Slots
    """Flows with traffic or new connections."""
    counters: Counters
    connections: NDArray[np.int64]
    others: list[OtherCounts]


class FlowTable:
    """Flows by key. ``process`` and ``name`` of a slot are set by others and live as long as the flow.

    ``limit`` bounds the flows kept; beyond it the least recently used eighth merges into "other" with counts kept.
    ``keep_times`` also keeps first and last time of each flow (for captures, where nothing is ever evicted).
    """

    def __init__(self, limit: int = 200_000, *, keep_times: bool = False) -> None:
        self.limit = limit
        self.boundary = float("inf")
        """Packets at or after this time (epoch seconds) are counted only after the next cut, which lifts it."""
        self.collisions = 0
        """Packets whose key hash met another key's; they count as "other"."""
        capacity = min(START_CAPACITY, limit)
        self.words: Words = np.zeros((capacity, 5), np.uint64)
        self.events: NDArray[np.uint8] = np.zeros(capacity, np.uint8)
        # Whole seconds are enough to tell who was silent for long.
        self.last_seen: NDArray[np.float64] | NDArray[np.uint32] = (
            np.zeros(capacity, np.float64) if keep_times else np.zeros(capacity, np.uint32)
        )
        self.name: FlowLabels[str] = FlowLabels(capacity)
        self.name_source: NDArray[np.uint8] = np.zeros(capacity, np.uint8)
        self.process: FlowLabels[App] = FlowLabels(capacity)
        self.process_source: NDArray[np.uint8] = np.zeros(capacity, np.uint8)
        self.first_seen: NDArray[np.float64] | None = np.zeros(capacity, np.float64) if keep_times else None
        self._bytes: NDArray[np.int64] = np.zeros((capacity, 2), np.int64)
        self._packets: NDArray[np.uint32] = np.zeros((capacity, 2), np.uint32)
        self._connections: NDArray[np.uint16] = np.zeros(capacity, np.uint16)
        self._used: NDArray[np.bool_] = np.zeros(capacity, np.bool_)
        self._counted: NDArray[np.bool_] = np.zeros(capacity, np.bool_)
        self._free: NDArray[np.uint32] = np.arange(capacity - 1, -1, -1, dtype=np.uint32)
        self._hashes: Words = np.zeros(0, np.uint64)
        self._slots: NDArray[np.uint32] = np.zeros(0, np.uint32)
        self._deferred: list[tuple[Slots, Counters, Slots]] = []
        self._second: list[tuple[Slots, Counters]] = []
        self._others: dict[tuple[int, int, bool], list[int]] = {}

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def slots(self) -> Slots:
        """Slots in use."""
        return self._slots.astype(np.int64)

    def key(self, slot: int) -> FlowEnds:
        return ends_of_words(self.words[slot])

    # --- counting -----------------------------------------------------------------------------------------------

    def observe(self, packets: Columns) -> Slots:
        """Count packets; slots of the flows that are new by them."""
        if not len(packets.times):
            return np.zeros(0, np.int64)
        late = packets.times >= self.boundary
        if not late.any():
            new = self._count(packets, deferred=False)
        elif late.all():
            new = self._count(packets, deferred=True)
        else:
            new = np.concatenate(
                (self._count(packets.rows(~late), deferred=False), self._count(packets.rows(late), deferred=True))
            )
        self._shrink()
        return new[self._used[new]]

    def _count(self, packets: Columns, *, deferred: bool) -> Slots:
        hashes = hash_words(packets.words)
        order = np.argsort(hashes, kind="stable")
        hashes = hashes[order]
        starts = np.flatnonzero(np.concatenate(([True], hashes[1:] != hashes[:-1])))
        sizes = np.diff(np.append(starts, len(order)))
        words = packets.words[order]
        first = words[starts]
        same = (words == np.repeat(first, sizes, axis=0)).all(axis=1)
        if not same.all():
            # Two keys with one hash among these packets: the first keeps it, the others count as "other".
            kept = np.zeros(len(order), np.bool_)
            kept[order[same]] = True
            self._merge_collided(packets.rows(~kept))
            return self._count(packets.rows(kept), deferred=deferred)

        reverse = packets.reverse[order]
        lengths, counts = packets.lengths[order], packets.counts[order]
        per_packet = np.zeros((len(order), 4), np.int64)
        per_packet[:, 0] = np.where(reverse, 0, lengths)
        per_packet[:, 1] = np.where(reverse, lengths, 0)
        per_packet[:, 2] = np.where(reverse, 0, counts)
        per_packet[:, 3] = np.where(reverse, counts, 0)
        counters: Counters = np.add.reduceat(per_packet, starts, axis=0)
        events = np.bitwise_or.reduceat(packets.events[order], starts)
        events |= np.where(reverse[starts], 0, A_SENT_FIRST).astype(np.uint8)
        times = packets.times[order]
        last = np.maximum.reduceat(times, starts)

        slots, known = self._find(hashes[starts], first)
        collided = known & (slots < 0)
        if collided.any():
            group = np.repeat(collided, sizes)
            self._merge_collided(packets.rows(order[group]))
            return self._count(packets.rows(np.sort(order[~group])), deferred=deferred)

        new_groups = np.flatnonzero(~known)
        if len(new_groups):
            fresh = self._insert(hashes[starts][new_groups], first[new_groups])
            slots[new_groups] = fresh
            self.events[fresh] = events[new_groups]
            if self.first_seen is not None:
                self.first_seen[fresh] = np.minimum.reduceat(times, starts)[new_groups]
        old = slots[known]
        old_events = events[known]
        reopened = old[((old_events & SYN) != 0) & ((self.events[old] & CLOSED) != 0) & self._counted[old]]
        self._reopen(reopened)
        # Who sent first is settled by the packet that made the flow.
        self.events[old] |= old_events & np.uint8(~A_SENT_FIRST & 0xFF)
        self.last_seen[slots] = np.maximum(self.last_seen[slots], last.astype(self.last_seen.dtype))
        opened = np.concatenate((slots[~self._counted[slots]], reopened))
        self._counted[slots] = True
        if deferred:
            self._deferred.append((slots, counters, opened))
        else:
            self._add(slots, counters, opened)
        self._second.append((slots, counters))
        return slots[new_groups]

    def _add(self, slots: Slots, counters: Counters, opened: Slots) -> None:
        self._bytes[slots] += counters[:, :2]
        self._packets[slots] += counters[:, 2:].astype(np.uint32)
        self._connections[opened] += np.uint16(1)

    def _counters(self, slots: Slots) -> Counters:
        return np.concatenate((self._bytes[slots], self._packets[slots].astype(np.int64)), axis=1)

    def _has_counts(self, slots: Slots) -> NDArray[np.bool_]:
        return self._packets[slots].any(axis=1) | self._bytes[slots].any(axis=1) | (self._connections[slots] > 0)

    def _reopen(self, slots: Slots) -> None:
        """A new connection with the ports of a closed one: nothing of the old one's identity holds."""
        self.events[slots] &= np.uint8(A_IS_LOCAL | B_IS_LOCAL | A_SENT_FIRST)
        self.name[slots] = None
        self.process[slots] = None
        self.name_source[slots] = 0
        self.process_source[slots] = 0

    def _merge_collided(self, packets: Columns) -> None:
        self.collisions += len(packets.times)
        for row in range(len(packets.times)):
            counters = [0, 0, 0, 0]
            side = int(packets.reverse[row])
            counters[side], counters[2 + side] = int(packets.lengths[row]), int(packets.counts[row])
            self._merge_other(ends_of_words(packets.words[row]), int(packets.events[row]), counters, 0)

    def _merge_other(self, key: FlowEnds, events: int, counters: list[int], connections: int) -> None:
        place = (key.interface, key.protocol, bool(events & A_IS_LOCAL))
        sums = self._others.setdefault(place, [0, 0, 0, 0, 0])
        for column, value in enumerate((*counters, connections)):
            sums[column] += value

    # --- places -------------------------------------------------------------------------------------------------

    def _find(self, hashes: Words, words: Words) -> tuple[Slots, NDArray[np.bool_]]:
        """(slots, known) of sorted hashes; slot -1 and known where the place belongs to another key."""
        slots = np.full(len(hashes), -1, np.int64)
        if not len(self._hashes):
            return slots, np.zeros(len(hashes), np.bool_)
        positions = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
        known = self._hashes[positions] == hashes
        candidates = self._slots[positions].astype(np.int64)
        right = known & (self.words[candidates] == words).all(axis=1)
        slots[right] = candidates[right]
        return slots, known

    def _insert(self, hashes: Words, words: Words) -> Slots:
        if len(self._free) < len(hashes):
            self._grow(len(hashes))
        left = len(self._free) - len(hashes)
        slots = self._free[left:][::-1].astype(np.int64)
        self._free = self._free[:left]
        self.words[slots] = words
        self._used[slots] = True
        positions = np.searchsorted(self._hashes, hashes)
        self._hashes = np.insert(self._hashes, positions, hashes)
        self._slots = np.insert(self._slots, positions, slots.astype(np.uint32))
        return slots

    def _grow(self, least: int) -> None:
        capacity = len(self._used)
        # In small steps, and from the limit on only as much as is needed: room for flows that never come is memory too.
        more = max(min(capacity // 8, self.limit - capacity), least, 64)
        for name in (
            "words", "events", "last_seen", "name_source", "process_source", "_bytes", "_packets", "_connections",
            "_used", "_counted",
        ):  # fmt: skip
            column = getattr(self, name)
            setattr(self, name, np.concatenate((column, np.zeros((more, *column.shape[1:]), column.dtype))))
        if self.first_seen is not None:
            self.first_seen = np.concatenate((self.first_seen, np.zeros(more, np.float64)))
        self.name.grow(more)
        self.process.grow(more)
        self._release(np.arange(capacity + more - 1, capacity - 1, -1))

    def _release(self, slots: Slots) -> None:
        self._free = np.concatenate((self._free, slots.astype(np.uint32)))

    def _shrink(self) -> None:
        """Merge the least recently used flows into "other" when there are more than the limit.

        Flows with counts that wait for the next cut stay, so that the table may be above its limit until then.
        """
        excess = len(self._slots) - self.limit
        if excess <= 0:
            return
        slots = self.slots
        candidates = slots[~self._waits()[slots]]
        count = min(excess + self.limit // 8, len(candidates))
        if not count:
            return
        oldest = candidates[np.argpartition(self.last_seen[candidates], count - 1)[:count]]
        counted = oldest[self._has_counts(oldest)]
        for slot, counters in zip(counted.tolist(), self._counters(counted).tolist(), strict=True):
            self._merge_other(self.key(slot), int(self.events[slot]), counters, int(self._connections[slot]))
        self._remove(oldest)

    def _remove(self, slots: Slots) -> None:
        if not len(slots):
            return
        self._used[slots] = False
        keep = self._used[self._slots]
        self._hashes, self._slots = self._hashes[keep], self._slots[keep]
        self.words[slots] = 0
        self.events[slots] = 0
        self.last_seen[slots] = 0
        self._bytes[slots] = 0
        self._packets[slots] = 0
        self._connections[slots] = 0
        self._counted[slots] = False
        self._reopen(slots)
        self._release(slots)
        self._second = [(seen[self._used[seen]], counters[self._used[seen]]) for seen, counters in self._second]

    def _waits(self) -> NDArray[np.bool_]:
        """By slot: whether there are counts for after the next cut."""
        waits = np.zeros(len(self._used), np.bool_)
        for slots, _, _ in self._deferred:
            waits[slots] = True
        return waits

    def find_all(self, words: Words) -> Slots:
        """Slots of (n, 5) keys, -1 where there is none."""
        return self._find(hash_words(words), words)[0]

    def set_apart(self, slot: int) -> None:
        """The next packets with this flow's key are another's. What was counted stays with its process and name."""
        place = int(np.flatnonzero(self._slots == slot)[0])
        # No key has this hash but by an accident, which the key's comparison would find.
        other = np.uint64(secrets.randbits(64))
        self._hashes, self._slots = np.delete(self._hashes, place), np.delete(self._slots, place)
        place = int(np.searchsorted(self._hashes, other))
        self._hashes = np.insert(self._hashes, place, other)
        self._slots = np.insert(self._slots, place, np.uint32(slot))

    # --- single flows -------------------------------------------------------------------------------------------

    def find(self, key: FlowEnds) -> int | None:
        """Slot of a flow."""
        words, _ = key_words(key.protocol, key.a, key.a_port, key.b, key.b_port, key.interface)
        return self._find_one(words)

    def _find_one(self, words: tuple[int, ...]) -> int | None:
        wanted = np.uint64(hash_one(words))
        position = int(np.searchsorted(self._hashes, wanted))
        if position < len(self._hashes) and self._hashes[position] == wanted:
            slot = int(self._slots[position])
            if tuple(int(word) for word in self.words[slot]) == words:
                return slot
        return None

    def touch(self, packet: Packet, *, time: float, interface: int = 0, outgoing: bool | None = None) -> int:
        """Slot of a packet's flow, made when it is new, counting nothing: the block with this packet comes later.

        A SYN on a closed connection's ports starts a new one.
        """
        words, reverse = key_words(packet.protocol, packet.src, packet.src_port, packet.dst, packet.dst_port, interface)
        events = events_of(packet, reverse, outgoing) & ~CLOSED
        slot = self._find_one(words)
        if slot is None:
            self._shrink()
            row = np.array([words], np.uint64)
            slot = int(self._insert(np.array([hash_one(words)], np.uint64), row)[0])
            self.events[slot] = events | (0 if reverse else A_SENT_FIRST)
            if self.first_seen is not None:
                self.first_seen[slot] = time
        elif events & SYN and self.events[slot] & CLOSED and self._counted[slot]:
            self._reopen(np.array([slot]))
            self._counted[slot] = False
        self.last_seen[slot] = max(self.last_seen[slot], self.last_seen.dtype.type(time))
        return slot

    def set_name(self, slot: int, name: str | None, source: int) -> None:
        self.name[slot] = name
        self.name_source[slot] = source

    def set_process(self, slot: int, process: App, source: int) -> None:
        self.process[slot] = process
        self.process_source[slot] = source

    # --- reading ------------------------------------------------------------------------------------------------

    def active(self) -> Slots:
        """Slots with something counted since the last cut."""
        slots = self.slots
        return slots[self._has_counts(slots)]

    def cut(self, now: float) -> Cut:
        """Take what was counted up to ``boundary``, count what waited for it, and forget flows idle too long.

        The slots of the result keep their names and keys until the next call of `observe` or `cut`; read them first.
        """
        slots = self.active()
        cut = Cut(slots, self._counters(slots), self._connections[slots].astype(np.int64), self._take_others())
        self._bytes[slots] = 0
        self._packets[slots] = 0
        self._connections[slots] = 0
        deferred, self._deferred = self._deferred, []
        for waiting, counters, opened in deferred:
            self._add(waiting, counters, opened)
        self.boundary = float("inf")
        return cut

    def forget_idle(self, now: float) -> None:
        """Drop closed and silent flows with nothing left to report. Call it after the cut's rows were read."""
        slots = self.slots
        idle = now - self.last_seen[slots].astype(np.float64)
        tcp = (self.words[slots, 4] >> np.uint64(24)) & np.uint64(0xFF) == TCP
        age = np.where(tcp, np.where((self.events[slots] & CLOSED) != 0, CLOSED_AGE, TCP_AGE), OTHER_AGE)
        gone = (idle > age) & ~self._has_counts(slots)
        self._remove(slots[gone & ~self._waits()[slots]])
        self._shrink()

    def shift(self, seconds: float) -> None:
        """The clock was set by so much: nobody was silent for longer or shorter by that."""
        slots = self._slots
        shifted = np.maximum(self.last_seen[slots].astype(np.float64) + seconds, 0.0)
        self.last_seen[slots] = shifted.astype(self.last_seen.dtype)

    def take_second(self) -> tuple[Slots, Counters]:
        """(slots, counters) of everything counted since the last call, cuts notwithstanding."""
        parts, self._second = self._second, []
        if not parts:
            return np.zeros(0, np.int64), np.zeros((0, 4), np.int64)
        slots = np.concatenate([part[0] for part in parts])
        counters = np.concatenate([part[1] for part in parts])
        order = np.argsort(slots, kind="stable")
        slots, counters = slots[order], counters[order]
        if not len(slots):
            return slots, counters
        starts = np.flatnonzero(np.concatenate(([True], slots[1:] != slots[:-1])))
        return slots[starts], np.add.reduceat(counters, starts, axis=0)

    def _take_others(self) -> list[OtherCounts]:
        others, self._others = self._others, {}
        return [
            OtherCounts(interface, protocol, local_a, (sums[0], sums[1], sums[2], sums[3]), sums[4])
            for (interface, protocol, local_a), sums in others.items()
        ]


def client_is_a(
    events: NDArray[np.uint8],
    a_port: NDArray[np.int64],
    b_port: NDArray[np.int64],
    protocol: NDArray[np.int64],
    a_listens: NDArray[np.bool_],
    b_listens: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Which end of each flow is the client, by the first of these that decides: the SYN; a known listener on this
    machine; for UDP one port below 1024 against one above; for UDP the first sender; the lower port serves; the first
    sender.

    A UDP well-known port goes before the first sender because a flow that lived before the agent, or was silent for
    long, may be seen first from its server.
    """
    a_first = (events & A_SENT_FIRST) != 0
    by_port = np.where(a_port == b_port, a_first, a_port > b_port)
    udp_known = (a_port < 1024) != (b_port < 1024)
    answer = np.where((protocol == TCP) | udp_known, by_port, a_first)
    answer = np.where(b_listens & ~a_listens, True, np.where(a_listens & ~b_listens, False, answer))
    by_syn_a, by_syn_b = (events & A_IS_CLIENT) != 0, (events & B_IS_CLIENT) != 0
    result: NDArray[np.bool_] = np.where(by_syn_a & ~by_syn_b, True, np.where(by_syn_b & ~by_syn_a, False, answer))
    return result

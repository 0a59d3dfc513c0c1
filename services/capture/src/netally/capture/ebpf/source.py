"""The kernel's counters as a source: every second what each process's connections moved, at each cut the interfaces'
sums. Fills the same flow table as the packet sockets do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

import numpy as np
import structlog
from numpy.typing import NDArray

from netally.capture import metrics
from netally.capture.attribution import Attribution
from netally.capture.cbpf import ETHERNET_HEADER
from netally.capture.ebpf import bpf_calls
from netally.capture.ebpf.flow_counters import (
    KEY,
    LOCAL_OPENED,
    REMOTE_OPENED,
    VALUE,
    FlowCounters,
    Moved,
    columns,
    flow_words,
    hash_keys,
)
from netally.capture.ebpf.kernel_programs import InterfacePrograms, SocketPrograms
from netally.capture.ebpf.namespace_links import NamespaceLinks
from netally.capture.ebpf.program_news import NewsReader, command_text
from netally.capture.ebpf.programs import Programs
from netally.capture.flow_table import FlowTable
from netally.capture.interfaces import Interface
from netally.capture.packets import among
from netally.capture.tally import Passed
from netally.contracts.codes import ProcessSource

NEWS_BYTES: Final = 262_144
FLOOD: Final = 10_000
"""New connections of one reading above which those with a handshake only are summed up by program and port."""
CROWD_SECONDS: Final = 60.0
"""So long after it that a crowd is told."""
_HANDSHAKE_PACKETS: Final = 4
_PASSED_KEY: Final = np.dtype([("interface", "<u4"), ("kind", "<u2"), ("outgoing", "<u2")])
_PASSED_VALUE: Final = np.dtype([("frames", "<u8"), ("frame_bytes", "<u8"), ("packets", "<u8"), ("bytes", "<u8")])
_LOST_KEY: Final = np.dtype([("namespace", "<u8"), ("interface", "<u4"), ("outgoing", "<u4")])
_LOST_VALUE: Final = np.dtype([("bytes", "<u8"), ("packets", "<u8")])

# Kinds of interfaces.bpf.c.
_NOT_IP, _ELSEWHERE, _OWN = 0, 1, 2
_INIT: Final = 1
"""Opens sockets for others (socket activation): who serves them is looked up in /proc."""

log = structlog.get_logger()


class Crowd(NamedTuple):
    """More than could be told apart, in the last minute."""

    summed: int
    """Connections that were summed up."""
    lost: int
    """Packets that no counter had room for."""


class KernelCounts:
    """Programs of the sockets and of the interfaces, and what they counted. Raises `NotHereError`."""

    def __init__(
        self, table: FlowTable, attribution: Attribution, programs: Programs, clock: Callable[[], float]
    ) -> None:
        self._table = table
        self._attribution = attribution
        self._programs = programs
        self._clock = clock
        self._sockets = SocketPrograms()
        try:
            self.interfaces = InterfacePrograms()
        except BaseException:
            self._sockets.close()
            raise
        self._counters = FlowCounters(self._sockets.flow_entries)
        self._flows = bpf_calls.BatchReader(self._sockets.maps["flows"], KEY, VALUE)
        self._losses = bpf_calls.BatchReader(self._sockets.maps["losses"], _LOST_KEY, _LOST_VALUE)
        self._passing = bpf_calls.BatchReader(self.interfaces.maps["passing"], _PASSED_KEY, _PASSED_VALUE)
        self._news = NewsReader(self._sockets.maps["news"], NEWS_BYTES)
        self._links = NamespaceLinks()
        self._links.meet_all()
        self._passed_before: dict[tuple[int, int, int], NDArray[np.int64]] = {}
        self._lost_before: dict[tuple[int, int], tuple[int, int]] = {}
        self._carriers: dict[int, int] = {}
        self._loopbacks: set[int] = set()
        self._own: set[bytes] = set()
        self._peers: set[int] = set()
        self.crowd: Crowd | None = None
        """Set when there was more than can be told apart."""
        self._crowd_until = 0.0
        asyncio.get_running_loop().add_reader(self._news.fileno(), self._hear)

    @property
    def fill(self) -> float:
        """Share of the connections' map in use."""
        return self._counters.fill

    def _hear(self) -> None:
        for news in self._news.read():
            self._programs.heard(news.pid, news.command)
            if news.namespace != self._sockets.namespace:
                self._links.meet(news.namespace, news.pid)

    def follow(self, interfaces: Collection[Interface], captured: Collection[int]) -> None:
        """Take in the interfaces as they are now; ``captured`` are the indexes of those that count."""
        by_index = {each.ifindex: each for each in interfaces}
        carriers = {index: index for index in captured}
        for each in interfaces:
            # What goes by a VLAN or the like is counted where it passes the card.
            if each.ifindex not in carriers and each.kind != "veth" and each.link in captured:
                carriers[each.ifindex] = each.link
        own = {address for each in interfaces for address in each.addresses}
        peers = {
            each.peer_namespace for each in interfaces if each.peer_namespace >= 0 and each.ifindex not in carriers
        }
        self._loopbacks = {index for index, each in by_index.items() if each.loopback}
        if (carriers, own, peers) != (self._carriers, self._own, self._peers):
            self._carriers, self._own, self._peers = carriers, own, peers
            self.interfaces.own_addresses(own)
            self._links.forget()

    # --- reading ------------------------------------------------------------------------------------------------

    def read(self, *, time: float, count: bool = True) -> None:
        """Take what moved since the last reading as of ``time``; ``count`` False throws it away."""
        self._hear()
        if self.crowd is not None and time > self._crowd_until:
            self.crowd = None
        keys, values = self._flows.read()
        moved = self._counters.take(keys, values, time)
        idle = self._counters.take_idle(time)
        if len(idle):
            self._flows.delete(idle)
        metrics.MAP_FILL.set(self._counters.fill)
        if count and len(moved.keys):
            self._count(moved, time)

    def _crowded(self, *, summed: int = 0, lost: int = 0) -> None:
        before = self.crowd or Crowd(0, 0)
        self.crowd = Crowd(before.summed + summed, before.lost + lost)
        self._crowd_until = self._clock() + CROWD_SECONDS

    def _count(self, moved: Moved, time: float) -> None:
        carriers = self._carried_by(moved.keys)
        chosen = carriers > 0
        moved, carriers = Moved._make(column[chosen] for column in moved), carriers[chosen]
        moved, carriers = self._sum_up(moved, carriers)
        loopback = among(carriers, np.array(sorted(self._loopbacks), np.int64))
        words, local_is_b = flow_words(moved.keys, carriers)
        apps = [
            self._programs.of(pid, uid, command_text(command)) if pid > _INIT else None
            for pid, uid, command in zip(
                moved.keys["pid"].tolist(), moved.values["uid"].tolist(), moved.values["command"].tolist(), strict=True
            )
        ]
        # A new connection between the same ports, of another program: the old one's figures stay its own.
        slots = self._table.find_all(words)
        for row in np.flatnonzero(moved.is_new & (slots >= 0)).tolist():
            before, app = self._table.process[int(slots[row])], apps[row]
            if before is not None and app is not None and before != app and not loopback[row]:
                self._table.set_apart(int(slots[row]))
        rows = columns(moved, words, local_is_b, loopback, time)
        fresh = self._table.observe(rows)
        if len(fresh):
            self._attribution.named(fresh, time)
        slots = self._table.find_all(words)
        # On loopback both ends have a program: the client's counts.
        ever = moved.values["events"]
        by_port = moved.keys["local_port"] > moved.keys["remote_port"]
        is_client = np.where(ever & LOCAL_OPENED, True, np.where(ever & REMOTE_OPENED, False, by_port))
        for row, (slot, app) in enumerate(zip(slots.tolist(), apps, strict=True)):
            if app is None or slot < 0:
                continue
            if self._table.process[slot] is None or (
                self._table.process[slot] is not app and (not loopback[row] or is_client[row])
            ):
                self._table.set_process(slot, app, ProcessSource.EBPF)

    def _carried_by(self, keys: NDArray[np.void]) -> NDArray[np.int64]:
        """Index of the captured interface that carries each entry, 0 for none."""
        carriers = np.zeros(len(keys), np.int64)
        foreign = (keys["namespace"] != self._sockets.namespace) & (keys["namespace"] != 0)
        for index, carrier in self._carriers.items():
            carriers[~foreign & (keys["interface"] == index)] = carrier
        # An older kernel does not tell for sockets of which nothing is known: the address does, but for loopback's,
        # which every namespace has.
        for row in np.flatnonzero((keys["namespace"] == 0) & (carriers > 0)).tolist():
            if not self._is_own(_address(keys[row], "local")):
                carriers[row] = 0
        if self._peers:
            for row in np.flatnonzero(foreign & (keys["interface"] != 1)).tolist():
                key = keys[row]
                if _stays_on_link(_address(key, "local")) or _stays_on_link(_address(key, "remote")):
                    continue
                if self._links.linked(int(key["namespace"]), int(key["pid"]), self._peers):
                    index = self._links.leaves_by(_address(key, "remote"))
                    carriers[row] = self._carriers.get(index, 0) if index not in self._loopbacks else 0
        return carriers

    def _is_own(self, address: bytes) -> bool:
        group = address[0] >= 224 if len(address) == 4 else address[0] == 0xFF
        return address in self._own or group

    def _sum_up(self, moved: Moved, carriers: NDArray[np.int64]) -> tuple[Moved, NDArray[np.int64]]:
        """In a flood of openings, those with a handshake only become one for each program and port."""
        handshake = moved.is_new & (moved.amounts[:, 2:].sum(axis=1) <= _HANDSHAKE_PACKETS)
        count = int(handshake.sum())
        if count <= FLOOD:
            return moved, carriers
        self._crowded(summed=count)
        metrics.SUMMED_UP.inc(count)
        keys = moved.keys.copy()
        keys["remote"][handshake] = 0
        keys["remote_port"][handshake] = 0
        _, first, inverse = np.unique(hash_keys(keys), return_index=True, return_inverse=True)
        grouped = keys[first]
        amounts = np.zeros((len(grouped), 4), np.int64)
        np.add.at(amounts, inverse, moved.amounts)
        events = np.zeros(len(grouped), np.uint32)
        np.bitwise_or.at(events, inverse, moved.events)
        return Moved(grouped, amounts, events, moved.is_new[first], moved.values[first]), carriers[first]

    # --- interfaces ---------------------------------------------------------------------------------------------

    def take_passed(self) -> dict[int, Passed]:
        """What passed each interface since the last call."""
        keys, values = self._passing.read()
        found: dict[int, dict[tuple[int, int], NDArray[np.int64]]] = {}
        for key, value in zip(keys.tolist(), values.view(np.uint64).reshape(-1, 4).astype(np.int64), strict=True):
            before = self._passed_before.get(key)
            self._passed_before[key] = value
            found.setdefault(key[0], {})[key[1], key[2]] = value if before is None else value - before
        lost = self._take_lost()
        return {
            index: _passed(parts, lost.get(index, (0, 0, 0, 0)), loopback=index in self._loopbacks)
            for index, parts in found.items()
        }

    def _take_lost(self) -> dict[int, tuple[int, int, int, int]]:
        keys, values = self._losses.read()
        lost: dict[int, list[int]] = {}
        packets = 0
        for (namespace, index, outgoing), (bytes_, count) in zip(keys.tolist(), values.tolist(), strict=True):
            before = self._lost_before.get((index, outgoing | namespace << 1), (0, 0))
            self._lost_before[index, outgoing | namespace << 1] = (bytes_, count)
            if namespace not in (0, self._sockets.namespace) or index not in self._carriers:
                continue
            sums = lost.setdefault(self._carriers[index], [0, 0, 0, 0])
            sums[outgoing] += bytes_ - before[0]
            sums[2 + outgoing] += count - before[1]
            packets += count - before[1]
        if packets:
            metrics.MAP_LOST.inc(packets)
            self._crowded(lost=packets)
        return {index: (sums[0], sums[1], sums[2], sums[3]) for index, sums in lost.items()}

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._news.fileno())
        self._news.close()
        self._links.close()
        self.interfaces.close()
        self._sockets.close()


def _address(key: np.void, end: str) -> bytes:
    raw: bytes = key[end].tobytes()
    return raw[:4] if key["family"] == 4 else raw


def _stays_on_link(address: bytes) -> bool:
    """Whether no router passes a packet from or to it on: no address yet, link-local, groups of the link (RFC 4291
    2.4 to 2.8, RFC 3927, RFC 5771 section 4).
    """
    if len(address) == 4:
        return not any(address) or address[:2] == b"\xa9\xfe" or address[:3] == b"\xe0\0\0" or address[0] == 0xFF
    return (
        not any(address)
        or (address[0] == 0xFE and address[1] >> 6 == 2)
        or (address[0] == 0xFF and address[1] & 15 <= 2)
    )


def _passed(
    parts: dict[tuple[int, int], NDArray[np.int64]], lost: tuple[int, int, int, int], *, loopback: bool
) -> Passed:
    """``parts`` are (frames, bytes of frames, packets, bytes) by kind and direction."""
    if loopback:
        # Seen once, as received; its counters show each packet on both sides.
        # They leave out the link header that the programs see.
        bare = np.array([0, -ETHERNET_HEADER, 0, 0])
        parts = {
            (kind, way): part + part[0] * bare
            for (kind, outgoing), part in parts.items()
            for way in (0, 1)
            if not outgoing
        }
        lost = (lost[0] + lost[1], lost[0] + lost[1], lost[2] + lost[3], lost[2] + lost[3])
    nothing = np.zeros(4, np.int64)

    def both(column: int, kinds: tuple[int, ...]) -> tuple[int, int]:
        sums = [sum(int(parts.get((kind, way), nothing)[column]) for kind in kinds) for way in (0, 1)]
        return sums[0], sums[1]

    every = (_NOT_IP, _ELSEWHERE, _OWN)
    return Passed(
        frames=both(0, every),
        frame_bytes=both(1, every),
        packets=both(2, every),
        bytes=both(3, every),
        not_ip=(*both(3, (_NOT_IP,)), *both(2, (_NOT_IP,))),
        elsewhere=(*both(3, (_ELSEWHERE,)), *both(2, (_ELSEWHERE,))),
        lost=lost,
    )

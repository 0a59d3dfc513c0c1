"""Where traffic comes from: programs in the kernel, the packet sockets of every captured interface, or the kernel's TCP
counters.

All fill the same flow table. `Sources.refresh` follows interfaces that come, go and are renamed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from netally.capture import metrics
from netally.capture.attribution import Attribution, Sockets
from netally.capture.decode import decode_block
from netally.capture.dissector import TCP, FragmentTable
from netally.capture.ebpf.source import Crowd, KernelCounts
from netally.capture.ebpf.watched_interface import WatchedInterface
from netally.capture.flow_table import FlowTable
from netally.capture.interfaces import Choice, Interface, choose
from netally.capture.name_tap import NameTap
from netally.capture.packet_ring import PacketRing
from netally.capture.sock_diag import EndedSockets, Socket
from netally.capture.tally import Odd, Passed
from netally.capture.tcp_counters import TcpCounterSource

log = structlog.get_logger()

GATHER_SECONDS: Final = 0.04
"""From the first ready block of a ring to its reading: some blocks at once cost less than each on its own, because a
processor that wakes up has forgotten everything.
"""

NOTHING: Final = Odd((0, 0), (0, 0), 0, 0, 0)


class Source(Protocol):
    """What brings the packets of one interface."""

    interface: Interface
    drops: int

    def follow(self, interface: Interface) -> None: ...
    def pause(self, *, paused: bool) -> None: ...
    def read(self) -> None: ...
    def take_odd(self) -> Odd: ...
    def is_bound(self) -> bool: ...
    def close(self) -> None: ...


OpenSource = Callable[[Interface, FlowTable, Attribution, Callable[[], float]], Source]
"""OSError where an interface cannot be captured."""


class PacketSource:
    """Ring and tap of one interface, read by the event loop."""

    def __init__(
        self, interface: Interface, table: FlowTable, attribution: Attribution, clock: Callable[[], float]
    ) -> None:
        self.interface = interface
        self._table = table
        self._attribution = attribution
        self._clock = clock
        self._fragments = FragmentTable()
        self._odd = NOTHING
        self.drops = 0
        self.paused = False
        """While it is, what the sockets bring is thrown away unread."""
        self._ring = PacketRing(interface.name, loopback=interface.loopback)
        try:
            # Before the ring, and read at once: a connection may live for milliseconds only.
            self._tap = NameTap(interface, attribution, clock, openings=True)
        except OSError:
            self._ring.close()
            raise
        self._gathering: asyncio.TimerHandle | None = None
        self._fills_quickly = False
        """Whether there was much in the ring at the last look: then waiting for more could overrun it."""
        self._wait()

    def _wait(self) -> None:
        self._gathering = None
        asyncio.get_running_loop().add_reader(self._ring.fileno(), self._ready)

    def _ready(self) -> None:
        if self._fills_quickly:
            self.read()
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._ring.fileno())
        self._gathering = loop.call_later(GATHER_SECONDS, self._gathered)

    def _gathered(self) -> None:
        self._wait()
        self.read()

    def follow(self, interface: Interface) -> None:
        """The same interface, as it is now."""
        self.interface = self._tap.interface = interface

    def pause(self, *, paused: bool) -> None:
        self.paused = self._tap.paused = paused

    def read(self) -> None:
        """Count every block that is ready."""
        self._ring.take_error()
        ready = 0
        for block in self._ring.blocks():
            ready += 1
            if self.paused:
                continue
            decoded = decode_block(
                block,
                self.interface.ifindex,
                self._fragments,
                vnet_header=True,
                directed=not self.interface.loopback,
                link_type=self.interface.link_type,
            )
            new = self._table.observe(decoded.packets)
            if len(new):
                self._attribution.counted(new, self._clock())
            odd = decoded.odd
            self._odd = Odd(
                (self._odd.not_ip_bytes[0] + odd.not_ip_bytes[0], self._odd.not_ip_bytes[1] + odd.not_ip_bytes[1]),
                (
                    self._odd.not_ip_packets[0] + odd.not_ip_packets[0],
                    self._odd.not_ip_packets[1] + odd.not_ip_packets[1],
                ),
                self._odd.others_bytes + odd.other_bytes,
                self._odd.others_packets + odd.other_packets,
                0,
            )
            metrics.PACKETS.labels(self.interface.name).inc(int(decoded.packets.counts.sum()))
            metrics.BYTES.labels(self.interface.name).inc(int(decoded.packets.lengths.sum()))
        self._fills_quickly = ready > self._ring.capacity // 4

    def take_odd(self) -> Odd:
        """What was counted besides flows since the last call, lost packets included."""
        drops = self._ring.statistics().drops
        if drops:
            metrics.RING_DROPS.labels(self.interface.name).inc(drops)
            log.warning("packets lost, the ring was full", interface=self.interface.name, packets=drops)
        self.drops += drops
        odd, self._odd = self._odd, NOTHING
        return odd._replace(drops=drops)

    def is_bound(self) -> bool:
        return self._ring.is_bound()

    def close(self) -> None:
        if self._gathering is not None:
            self._gathering.cancel()
        asyncio.get_running_loop().remove_reader(self._ring.fileno())
        self._tap.close()
        self._ring.close()


class Sources:
    """Everything captured on this machine. ``kernel`` counts in the place of packet sockets; without it ``packets``
    False reads TCP counters. ``open_source`` opens an interface's packets.
    """

    def __init__(
        self,
        table: FlowTable,
        attribution: Attribution,
        diag: Sockets | None,
        *,
        wanted: list[str],
        packets: bool,
        clock: Callable[[], float],
        kernel: KernelCounts | None = None,
        open_source: OpenSource = PacketSource,
    ) -> None:
        self._kernel = kernel
        self._table = table
        self._attribution = attribution
        self._diag = diag
        self._wanted = wanted
        self._packets = packets
        self._clock = clock
        self._open_source = open_source
        self._open: dict[int, Source] = {}
        self._watched: dict[int, WatchedInterface] = {}
        self._passed: dict[int, Passed] = {}
        self._counters = TcpCounterSource()
        self._ended: list[Socket] = []
        self._ends: EndedSockets | None = None
        if not packets and kernel is None:
            self._ends = _hear_ends()
            if self._ends is not None:
                asyncio.get_running_loop().add_reader(self._ends.fileno(), self._hear_ends)
        self._refused: set[int] = set()
        self._lost_drops = 0
        self._paused = False
        self.interfaces: list[Interface] = []
        self.choices: dict[str, Choice] = {}

    @property
    def captured(self) -> list[Interface]:
        """Interfaces whose traffic is counted."""
        return [
            interface
            for interface in self.interfaces
            if self.choices[interface.name].captured
            and (self._counts_sockets or interface.ifindex in self._open or interface.ifindex in self._watched)
        ]

    @property
    def _counts_sockets(self) -> bool:
        """By their own counters: nothing is opened on interfaces."""
        return self._kernel is None and not self._packets

    @property
    def loopbacks(self) -> set[int]:
        return {interface.ifindex for interface in self.interfaces if interface.loopback}

    @property
    def addresses(self) -> set[bytes]:
        """Own addresses."""
        return {address for interface in self.interfaces for address in interface.addresses}

    @property
    def drops(self) -> int:
        """Packets lost in rings since the start."""
        return self._lost_drops + sum(source.drops for source in self._open.values())

    @property
    def missing(self) -> list[str]:
        """Interfaces that were asked for by name and are not captured."""
        captured = {interface.name for interface in self.captured}
        return [name for name in self._wanted if name not in captured]

    def refresh(self, interfaces: list[Interface]) -> None:
        """Open and close sockets as the interfaces are now."""
        self.interfaces = interfaces
        self.choices = choose(interfaces, self._wanted)
        if self._counts_sockets:
            return
        wanted = {interface.ifindex: interface for interface in interfaces if self.choices[interface.name].captured}
        for index in [index for index in (*self._open, *self._watched) if index not in wanted]:
            self._close(index)
        self._refused &= set(wanted)
        for index, interface in wanted.items():
            known = self._open.get(index) or self._watched.get(index)
            if known is not None and known.is_bound():
                known.follow(interface)
                continue
            if known is not None:
                self._close(index)
            try:
                self._watch(interface)
            except OSError as error:
                if index not in self._refused:
                    log.warning("interface cannot be captured", interface=interface.name, error=error.strerror)
                    self._refused.add(index)
                continue
            log.info("interface captured", interface=interface.name)
        if self._kernel is not None:
            self._kernel.follow(interfaces, self._watched)

    def _watch(self, interface: Interface) -> None:
        index = interface.ifindex
        source: Source | WatchedInterface
        if self._kernel is not None:
            source = self._watched[index] = WatchedInterface(
                interface, self._kernel.interfaces, self._attribution, self._clock
            )
        else:
            source = self._open[index] = self._open_source(interface, self._table, self._attribution, self._clock)
        source.pause(paused=self._paused)

    def pause(self, *, paused: bool) -> None:
        """Throw away what comes from now on, or count it again."""
        self._paused = paused
        for source in self._open.values():
            source.pause(paused=paused)
        for watched in self._watched.values():
            watched.pause(paused=paused)

    def _close(self, index: int) -> None:
        source: Source | WatchedInterface
        if index in self._watched:
            source = self._watched.pop(index)
        else:
            source = self._open.pop(index)
            self._lost_drops += source.drops
        source.close()
        log.info("interface left", interface=source.interface.name)

    def read(self) -> None:
        """Count what is ready now."""
        for source in list(self._open.values()):
            source.read()
        if self._kernel is not None:
            self._kernel.read(time=self._clock(), count=not self._paused)
        if self._counts_sockets and self._diag is not None:
            interface_of = {
                address: interface.ifindex for interface in self.interfaces for address in interface.addresses
            }
            try:
                sockets = list(self._diag.sockets(TCP, counters=True))
            except OSError as error:
                log.warning("sockets cannot be listed", error=error.strerror)
                return
            self._hear_ends()
            ended, self._ended = self._ended, []
            columns = self._counters.columns(
                sockets, time=self._clock(), interface_of=interface_of, loopbacks=self.loopbacks, ended=ended
            )
            self._table.observe(columns)

    def _hear_ends(self) -> None:
        if self._ends is not None:
            lost = self._ends.lost
            self._ended += self._ends.read()
            metrics.ENDS_LOST.inc(self._ends.lost - lost)

    def at_boundary(self, boundary: float) -> None:
        """Right after the interfaces' counters were read: take what the kernel counted up to then."""
        if self._kernel is not None:
            self._passed = self._kernel.take_passed()
            # Stamped before the boundary, so that it goes with the cut.
            self._kernel.read(time=boundary - 0.001, count=not self._paused)

    @property
    def passed(self) -> dict[int, Passed]:
        """What programs saw pass, up to the last boundary from the one before."""
        return self._passed

    @property
    def crowd(self) -> Crowd | None:
        return self._kernel.crowd if self._kernel is not None else None

    def take_odd(self) -> dict[int, Odd]:
        return {index: source.take_odd() for index, source in self._open.items()}

    def close(self) -> None:
        for source in self._open.values():
            source.close()
        self._open.clear()
        for watched in self._watched.values():
            watched.close()
        self._watched.clear()
        if self._kernel is not None:
            self._kernel.close()
        if self._ends is not None:
            asyncio.get_running_loop().remove_reader(self._ends.fileno())
            self._ends.close()
            self._ends = None


def _hear_ends() -> EndedSockets | None:
    try:
        return EndedSockets()
    except OSError as error:
        log.warning("the last figures of connections stay unknown", error=error.strerror)
        return None

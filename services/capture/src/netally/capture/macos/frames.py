"""Frames of one interface by scapy's BPF socket, counted one by one.

The kernel does not say which way a frame went: it left when its source is an address of this machine. Nor does it say
how a card cuts what is larger than its MTU, so such a frame is counted as one packet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

from netally.capture import metrics
from netally.capture.attribution import Attribution
from netally.capture.dissector import FragmentTable, Packet, dissect_ip
from netally.capture.flow_table import FlowTable
from netally.capture.interfaces import Interface
from netally.capture.link_layer import find_network
from netally.capture.packets import ColumnsBuilder
from netally.capture.tally import Odd

_NOTHING: Final = Odd((0, 0), (0, 0), 0, 0, 0)
_BURST: Final = 4_096


class FrameSocket(Protocol):
    """What is used of scapy's L2bpfListenSocket."""

    def fileno(self) -> int: ...
    def recv_raw(self) -> tuple[Any, bytes | None, float | None]: ...
    def get_stats(self) -> tuple[int | None, int | None]: ...
    def close(self) -> None: ...


class FrameSource:
    """In the place of `netally.capture.sources.PacketSource`. ``link_type`` as `netally.capture.link_layer` numbers."""

    def __init__(
        self,
        interface: Interface,
        table: FlowTable,
        attribution: Attribution,
        clock: Callable[[], float],
        socket: FrameSocket,
        link_type: int,
    ) -> None:
        self.interface = interface
        self.paused = False
        self.drops = 0
        self._table = table
        self._attribution = attribution
        self._clock = clock
        self._socket = socket
        self._link_type = link_type
        self._fragments = FragmentTable()
        self._odd = _NOTHING
        asyncio.get_running_loop().add_reader(socket.fileno(), self.read)

    def follow(self, interface: Interface) -> None:
        """The same interface, as it is now."""
        self.interface = interface

    def pause(self, *, paused: bool) -> None:
        self.paused = paused

    def read(self) -> None:
        """Count every frame that waits."""
        columns = ColumnsBuilder()
        for _ in range(_BURST):
            _, frame, time = self._socket.recv_raw()
            if frame is None:
                break
            if not self.paused:
                self._take(frame, self._clock() if time is None else float(time), columns)
        counted = columns.take()
        new = self._table.observe(counted)
        if len(new):
            self._attribution.counted(new, self._clock())
        metrics.PACKETS.labels(self.interface.name).inc(len(counted.times))
        metrics.BYTES.labels(self.interface.name).inc(int(counted.lengths.sum()))

    def _take(self, frame: bytes, time: float, columns: ColumnsBuilder) -> None:
        network = find_network(self._link_type, frame)
        packet = None if network is None else dissect_ip(frame, network.offset)
        if packet is None:
            size, odd = max(0, len(frame) - (14 if self.interface.ethernet else 0)), self._odd
            # Which way a frame without IP went is not known: it counts as received.
            self._odd = odd._replace(
                not_ip_bytes=(odd.not_ip_bytes[0] + size, odd.not_ip_bytes[1]),
                not_ip_packets=(odd.not_ip_packets[0] + 1, odd.not_ip_packets[1]),
            )
            return
        outgoing = None if self.interface.loopback else self._left(packet)
        self._attribution.tapped(packet, frame, time=time, interface=self.interface.ifindex, outgoing=outgoing)
        self._fragments.complete(packet, time)
        columns.add(packet, length=packet.length, time=time, interface=self.interface.ifindex, outgoing=outgoing)

    def _left(self, packet: Packet) -> bool:
        return packet.src in self._attribution.own_addresses

    def take_odd(self) -> Odd:
        """What was counted besides flows since the last call, lost packets included."""
        _, dropped = self._socket.get_stats()
        drops = max(0, (dropped or 0) - self.drops)
        if drops:
            metrics.RING_DROPS.labels(self.interface.name).inc(drops)
        self.drops += drops
        odd, self._odd = self._odd, _NOTHING
        return odd._replace(drops=drops)

    def is_bound(self) -> bool:
        """As long as it can be read."""
        return self._socket.fileno() >= 0

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()


def open_frames(
    interface: Interface, table: FlowTable, attribution: Attribution, clock: Callable[[], float]
) -> FrameSource:
    """Source of an interface. Raises OSError where BPF devices may not be opened."""
    # Here and not above: scapy costs a second and 75 MB, and Linux does without.
    from scapy.config import conf
    from scapy.error import Scapy_Exception

    try:
        socket: Any = conf.L2listen(iface=interface.name, promisc=False)
    except Scapy_Exception as error:
        raise PermissionError(1, str(error)) from None
    socket.set_nonblock()
    return FrameSource(interface, table, attribution, clock, socket, conf.l2types.layer2num[socket.guessed_cls])

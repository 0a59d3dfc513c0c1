"""The tap of one interface: what can name a flow, or opens a connection, goes from it to attribution."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from netally.capture import metrics
from netally.capture.attribution import Attribution
from netally.capture.cbpf import ETHERNET_HEADER, names_and_openings
from netally.capture.dissector import dissect_ip
from netally.capture.interfaces import Interface
from netally.capture.link_layer import find_network
from netally.capture.packet_ring import PacketTap


class NameTap:
    """Reads from here on until `close`. ``openings`` False leaves out the packets that only open a connection."""

    def __init__(
        self, interface: Interface, attribution: Attribution, clock: Callable[[], float], *, openings: bool
    ) -> None:
        self.interface = interface
        self.paused = False
        """While it is, what comes is thrown away unread."""
        self._attribution = attribution
        self._clock = clock
        self._tap = PacketTap(
            interface.name,
            names_and_openings(ETHERNET_HEADER if interface.ethernet else 0, openings=openings),
            loopback=interface.loopback,
            ethernet=interface.ethernet,
        )
        asyncio.get_running_loop().add_reader(self._tap.fileno(), self._read)

    def _read(self) -> None:
        now = self._clock()
        for frame, outgoing in self._tap.frames():
            if self.paused:
                continue
            metrics.TAPPED.inc()
            network = find_network(self.interface.link_type, frame)
            packet = None if network is None else dissect_ip(frame, network.offset)
            if packet is not None:
                self._attribution.tapped(
                    packet,
                    frame,
                    time=now,
                    interface=self.interface.ifindex,
                    outgoing=None if self.interface.loopback else outgoing,
                )

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._tap.fileno())
        self._tap.close()

"""Traffic without packets: the differences of each TCP socket's counters, as `Columns` for the flow table.

For agents without the privilege to see packets. Payload is exact (tcp_info); headers are estimated, an IP header, 20
bytes of TCP and 12 of timestamps for each segment. Connections that ended bring their last figures. UDP is missing.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable
from typing import Final

from netally.capture.dissector import TCP, Packet
from netally.capture.packets import Columns, ColumnsBuilder
from netally.capture.sock_diag import Socket, TcpCounters

_TCP_HEADER: Final = 32
_ZERO: Final = TcpCounters(0, 0, 0, 0, 0)


class TcpCounterSource:
    """Keeps the last counters of each socket. What a connection moved before the first look is not counted."""

    def __init__(self) -> None:
        self._last: dict[int, Socket] = {}
        self._looked = False

    def columns(
        self,
        sockets: Iterable[Socket],
        *,
        time: float,
        interface_of: dict[bytes, int],
        loopbacks: Collection[int],
        ended: Iterable[Socket] = (),
    ) -> Columns:
        """What moved since the last call. ``ended`` are connections that are gone, read after ``sockets`` were, so that
        no figure falls between. ``interface_of`` tells each own address's interface; on loopback, where both
        ends are sockets of this machine, the lower port's socket (the server) is left out.
        """
        builder = ColumnsBuilder()
        now: dict[int, Socket] = {}
        for is_last, found in itertools.chain(((False, each) for each in sockets), ((True, each) for each in ended)):
            if found.counters is None:
                continue
            known = now.get(found.cookie) or self._last.get(found.cookie)
            if is_last:
                now.pop(found.cookie, None)
                if known is not None and not found.remote_port:
                    # Aborted: the record has lost its addresses, and its counters with them.
                    continue
            if not found.remote_port:
                continue
            if not is_last:
                now[found.cookie] = found
            interface = interface_of.get(found.local, 0)
            if interface in loopbacks and found.local_port < found.remote_port:
                continue
            before = known.counters if known is not None else None
            if before is None:
                before = _ZERO if self._looked else found.counters
            _add(builder, found, before, found.counters, interface, time, directed=interface not in loopbacks)
        self._last = now
        self._looked = True
        return builder.take()


def _add(
    builder: ColumnsBuilder,
    found: Socket,
    before: TcpCounters,
    after: TcpCounters,
    interface: int,
    time: float,
    *,
    directed: bool,
) -> None:
    header = _TCP_HEADER + (20 if len(found.local) == 4 else 40)
    sent, received = after.sent - before.sent, after.received - before.received
    segments_out, segments_in = after.segments_out - before.segments_out, after.segments_in - before.segments_in
    if segments_out > 0:
        length = sent + segments_out * header
        packet = Packet(TCP, found.local, found.remote, found.local_port, found.remote_port, length, 0, 0, 0, 0)
        builder.add(
            packet,
            length=length,
            count=segments_out,
            time=time,
            interface=interface,
            outgoing=True if directed else None,
        )
    if segments_in > 0:
        length = received + segments_in * header
        packet = Packet(TCP, found.remote, found.local, found.remote_port, found.local_port, length, 0, 0, 0, 0)
        builder.add(
            packet,
            length=length,
            count=segments_in,
            time=time,
            interface=interface,
            outgoing=False if directed else None,
        )

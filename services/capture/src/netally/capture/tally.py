"""The tally: what each interface counted in an interval, split by cause so that the causes sum to the counter.

What is left over when flows, frames without IP and lost packets are taken off is the difference between what the
interface counts (link headers, or a super-packet as one) and what is counted here (L3 bytes of wire segments).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from netally.capture.flow_records import CauseCounts
from netally.capture.interfaces import InterfaceCounters
from netally.contracts.codes import Cause
from netally.contracts.flow import TallyRow


class Odd(NamedTuple):
    """Counted by one interface's ring besides flows, over an interval: (in, out) each."""

    not_ip_bytes: tuple[int, int]
    not_ip_packets: tuple[int, int]
    others_bytes: int
    """Frames for other machines."""
    others_packets: int
    drops: int
    """Packets the ring had no room for; which way they went is not known."""


class Carried(NamedTuple):
    """One interface over one interval."""

    name: str
    delta: InterfaceCounters
    odd: Odd
    link_header: int = 14
    """Bytes before the IP header that the counter includes."""
    every_packet: bool = True
    """False without packets: what no socket told of is there too, and unknown."""


class Passed(NamedTuple):
    """What programs on one interface saw pass over an interval (mode ebpf). Pairs are (in, out)."""

    frames: tuple[int, int]
    """As the kernel handles them: a super-packet of segmentation offload is one."""
    frame_bytes: tuple[int, int]
    """With link headers."""
    packets: tuple[int, int]
    """As they are on the wire."""
    bytes: tuple[int, int]
    """L3, of these packets."""
    not_ip: tuple[int, int, int, int]
    """Bytes in, bytes out, packets in, packets out, as the following; they are among the above."""
    elsewhere: tuple[int, int, int, int]
    """Neither from nor to an address of this machine."""
    lost: tuple[int, int, int, int]
    """Of sockets, but the map of connections had no room for them."""


NOTHING_PASSED: Final = Passed((0, 0), (0, 0), (0, 0), (0, 0), (0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0))


class Measured(NamedTuple):
    """One interface over one interval, seen by programs in the kernel."""

    name: str
    delta: InterfaceCounters
    passed: Passed
    link_header: int = 14


def counter_delta(before: InterfaceCounters, after: InterfaceCounters) -> InterfaceCounters:
    """What was counted between two readings. A counter that went back was reset: what it shows is all that is known."""
    return InterfaceCounters(*(new - old if new >= old else new for old, new in zip(before, after, strict=True)))


def tally_rows(carried: Mapping[int, Carried], causes: CauseCounts) -> list[TallyRow]:
    """Rows of every interface, by index; causes without anything are left out."""
    rows = []
    for index, interface in carried.items():
        own = {cause: list(amounts) for (where, cause), amounts in causes.items() if where == index}
        odd = interface.odd
        _add(own, Cause.NOT_IP, (*odd.not_ip_bytes, *odd.not_ip_packets))
        _add(own, Cause.FORWARDED, (odd.others_bytes, 0, odd.others_packets, 0))
        delta = interface.delta
        wanted = (delta.bytes_in, delta.bytes_out, delta.packets_in, delta.packets_out)
        rest = [total - sum(amounts[column] for amounts in own.values()) for column, total in enumerate(wanted)]
        if odd.drops or not interface.every_packet:
            # Not seen: what is left beyond the link headers of the packets that were counted.
            unseen_packets = [max(0, rest[2]), max(0, rest[3])]
            headers = [
                interface.link_header * max(0, total - unseen)
                for total, unseen in zip(wanted[2:], unseen_packets, strict=True)
            ]
            unseen = [max(0, rest[0] - headers[0]), max(0, rest[1] - headers[1]), *unseen_packets]
            _add(own, Cause.LOST_RING if interface.every_packet else Cause.UNKNOWN, unseen)
            rest = [left - gone for left, gone in zip(rest, unseen, strict=True)]
        _add(own, Cause.HEADER_DIFFERENCE, rest)
        rows += [
            TallyRow(interface.name[:64], int(cause), *amounts)
            for cause, amounts in sorted(own.items())
            if any(amounts)
        ]
    return rows


def measured_rows(measured: Mapping[int, Measured], causes: CauseCounts) -> list[TallyRow]:
    """Rows of every interface, by index; causes without anything are left out.

    Here nothing is a mere remainder of the counter: `kernel` is what passed without a socket, `header_difference` is
    measured, and `unknown` is what the counter says beyond (or below: it is signed) all that was seen.
    """
    rows = []
    for index, interface in measured.items():
        own = {cause: list(amounts) for (where, cause), amounts in causes.items() if where == index}
        passed, delta = interface.passed, interface.delta
        _add(own, Cause.NOT_IP, passed.not_ip)
        _add(own, Cause.LOST_MAP, passed.lost)
        seen = (*passed.bytes, *passed.packets)
        left = [total - sum(amounts[column] for amounts in own.values()) for column, total in enumerate(seen)]
        # At most: part of it may be containers', which have programs and are counted above; then what the kernel took
        # without a socket can be told as forwarded. With their packets translated, nothing here tells these apart.
        forwarded = [min(elsewhere, max(rest, 0)) for elsewhere, rest in zip(passed.elsewhere, left, strict=True)]
        _add(own, Cause.FORWARDED, forwarded)
        _add(own, Cause.KERNEL, [rest - gone for rest, gone in zip(left, forwarded, strict=True)])
        counted = (delta.bytes_in, delta.bytes_out, delta.packets_in, delta.packets_out)
        for way in (0, 1):
            # A card counts frames as they are on the wire, a virtual interface as the kernel hands them over.
            on_wire = (passed.bytes[way] + interface.link_header * passed.packets[way], passed.packets[way])
            as_handled = (passed.frame_bytes[way], passed.frames[way])
            nearest = min(on_wire, as_handled, key=lambda pair: abs(counted[way] - pair[0]))
            for column, expected in ((way, nearest[0]), (2 + way, nearest[1])):
                amounts = [0, 0, 0, 0]
                amounts[column] = expected - seen[column]
                _add(own, Cause.HEADER_DIFFERENCE, amounts)
                amounts[column] = counted[column] - expected
                _add(own, Cause.UNKNOWN, amounts)
        rows += [
            TallyRow(interface.name[:64], int(cause), *amounts)
            for cause, amounts in sorted(own.items())
            if any(amounts)
        ]
    return rows


def paused_rows(carried: Mapping[int, tuple[str, InterfaceCounters]]) -> list[TallyRow]:
    """Rows of every interface, by index, for a time in which nothing was captured on purpose."""
    return [
        TallyRow(name[:64], int(Cause.PAUSED), delta.bytes_in, delta.bytes_out, delta.packets_in, delta.packets_out)
        for name, delta in carried.values()
        if any(delta)
    ]


def _add(own: dict[Cause, list[int]], cause: Cause, amounts: tuple[int, ...] | list[int]) -> None:
    if any(amounts):
        sums = own.setdefault(cause, [0, 0, 0, 0])
        for column, value in enumerate(amounts):
            sums[column] += value

"""Replay: a capture file in, its flows out, through the dissector, the names and the flow table of live traffic.

`read_flows` is the whole computation; `netally.capture.replay_command` is its command line.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import BinaryIO, Final

import msgspec
import numpy as np

from netally.capture.capture_file import CaptureFile, Frame
from netally.capture.dissector import ICMP, ICMPV6, IGMP, TCP, UDP, FragmentTable, Packet, dissect
from netally.capture.flow_names import FlowNames, Name
from netally.capture.flow_table import FlowTable
from netally.capture.link_layer import is_known
from netally.capture.packets import A_SENT_FIRST, ColumnsBuilder, ends_of_words
from netally.contracts.codes import DomainSource

PROTOCOL_NAMES: Final = {TCP: "TCP", UDP: "UDP", ICMP: "ICMP", ICMPV6: "ICMPV6", IGMP: "IGMP"}
UNLIMITED: Final = 1 << 31
"""A file's flows all stay in the table, and never time out."""

BATCH: Final = 4_096
"""Packets handed to the flow table at once."""
_MAX_HELD = 4_096

Words = tuple[int, ...]


class FlowLine(msgspec.Struct, frozen=True):
    """One line of ``netally replay FILE --json``. The names stay: scripts read them."""

    src: str
    """``address:port`` of the first sender, IPv6 in brackets; port 0 where the protocol has none."""
    dst: str
    l4: str
    """``TCP``, ``UDP``, ``ICMP``, ``ICMPV6``, ``IGMP``, else the IP protocol number."""
    c2s_packets: int
    """Frames from ``src``."""
    c2s_bytes: int
    """Their original lengths, link headers included."""
    s2c_packets: int
    s2c_bytes: int
    domain: str | None
    domain_source: str
    first_seen: float
    """Epoch seconds."""
    last_seen: float


class CapturedPacket(msgspec.Struct, gc=False):
    """A packet of a file with all that is known of its flow by then."""

    packet: Packet
    frame: Frame
    time: float
    """Epoch seconds."""
    name: Name | None
    """Name that this packet gives its flow."""


class CaptureReader:
    """Packets of a capture in the order their flows can be told: later fragments wait for the first of their datagram.

    Iterate once; then ``not_ip``, ``unknown_link_types`` and ``problem`` say what is not among the packets.
    """

    def __init__(self, stream: BinaryIO, *, inner: bool = False) -> None:
        """Raises CaptureFileError when the stream is no capture."""
        self._file = CaptureFile(stream)
        self._inner = inner
        self._fragments = FragmentTable()
        self._held: dict[bytes, list[CapturedPacket]] = {}
        self._held_count = 0
        self.names = FlowNames()
        self.frames = 0
        self.not_ip = 0
        """Frames that carry no IP, or whose IP header is cut."""
        self.unknown_link_types: set[int] = set()

    @property
    def problem(self) -> str:
        return self._file.problem

    def __iter__(self) -> Iterator[CapturedPacket]:
        for frame in self._file:
            self.frames += 1
            packet = dissect(frame.link_type, frame.data, inner=self._inner)
            if packet is None:
                self.not_ip += 1
                if not is_known(frame.link_type):
                    self.unknown_link_types.add(frame.link_type)
                continue
            time = frame.time / 1e9
            captured = CapturedPacket(packet, frame, time, self.names.observe(packet, frame.data, time))
            if packet.datagram is None:
                yield captured
            else:
                yield from self._fragment(captured, packet.datagram)
        for waiting in self._held.values():
            yield from waiting

    def _fragment(self, captured: CapturedPacket, datagram: bytes) -> Iterator[CapturedPacket]:
        if self._fragments.complete(captured.packet, captured.time):
            yield captured
            waiting = self._held.pop(datagram, [])
            self._held_count -= len(waiting)
            for later in waiting:
                self._fragments.complete(later.packet, later.time)
                yield later
        elif self._held_count < _MAX_HELD:
            self._held.setdefault(datagram, []).append(captured)
            self._held_count += 1
        else:
            yield captured


class NameBook:
    """Name of each flow of a capture, by the key words of the flow table."""

    def __init__(self, names: FlowNames) -> None:
        self._names = names
        self._known: dict[Words, Name | None] = {}

    def note(self, words: Words, captured: CapturedPacket) -> None:
        """Learn what a packet says of its flow; a flow's first packet asks what DNS said of its addresses."""
        if words not in self._known:
            self._known[words] = self._of_addresses(captured)
        name = captured.name
        if name is not None and name.beats(self._known[words]):
            self._known[words] = name

    def name(self, words: Words) -> Name | None:
        return self._known.get(words)

    def _of_addresses(self, captured: CapturedPacket) -> Name | None:
        """What DNS told either end about the other before the flow began."""
        packet = captured.packet
        for client, server in ((packet.src, packet.dst), (packet.dst, packet.src)):
            domain = self._names.of_address(client, server, captured.time)
            if domain:
                return Name(domain, DomainSource.DNS)
        return None


def read_flows(reader: CaptureReader) -> list[FlowLine]:
    """All flows of a capture, by the time they began. A flow is a five-tuple (and VLAN) in either direction."""
    table = FlowTable(UNLIMITED, keep_times=True)
    book = NameBook(reader.names)
    columns = ColumnsBuilder()
    for captured in reader:
        packet = captured.packet
        words = columns.add(packet, length=captured.frame.length, time=captured.time, interface=packet.vlan)
        book.note(words, captured)
        if len(columns) >= BATCH:
            table.observe(columns.take())
    table.observe(columns.take())
    return _lines(table, book)


def _lines(table: FlowTable, book: NameBook) -> list[FlowLine]:
    cut = table.cut(0.0)
    if table.first_seen is None:
        raise ValueError("a flow table of a capture keeps times")
    lines: list[FlowLine] = []
    for row in np.argsort(table.first_seen[cut.slots], kind="stable"):
        slot = cut.slots[row]
        words = tuple(int(word) for word in table.words[slot])
        ends = ends_of_words(table.words[slot])
        a, b = endpoint(ends.a, ends.a_port), endpoint(ends.b, ends.b_port)
        bytes_ab, bytes_ba, packets_ab, packets_ba = (int(count) for count in cut.counters[row])
        name = book.name(words)
        forward = bool(table.events[slot] & A_SENT_FIRST)
        lines.append(
            FlowLine(
                src=a if forward else b,
                dst=b if forward else a,
                l4=PROTOCOL_NAMES.get(ends.protocol, str(ends.protocol)),
                c2s_packets=packets_ab if forward else packets_ba,
                c2s_bytes=bytes_ab if forward else bytes_ba,
                s2c_packets=packets_ba if forward else packets_ab,
                s2c_bytes=bytes_ba if forward else bytes_ab,
                domain=None if name is None else name.domain,
                domain_source=(DomainSource.NONE if name is None else name.source).label,
                first_seen=round(float(table.first_seen[slot]), 6),
                last_seen=round(float(table.last_seen[slot]), 6),
            )
        )
    return lines


def endpoint(address: bytes, port: int) -> str:
    """``192.0.2.1:443`` or ``[2001:db8::1]:443`` (RFC 5952)."""
    if len(address) == 4:
        return f"{socket.inet_ntop(socket.AF_INET, address)}:{port}"
    return f"[{socket.inet_ntop(socket.AF_INET6, address)}]:{port}"

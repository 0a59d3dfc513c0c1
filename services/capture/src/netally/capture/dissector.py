"""One packet, all headers: a frame in, its addresses, ports and payload out.

Live capture decodes plain packets in columns and hands the odd ones (extension headers, fragments, double tags) to
`dissect_ip`; replay hands every frame to `dissect`. Both count the same way because there is one implementation.
Nothing here raises on hostile bytes: what is no IP gives None, a header that is cut gives port 0.
"""

from __future__ import annotations

from collections import OrderedDict
from struct import Struct

import msgspec

from netally.capture import link_layer

HOP_BY_HOP = 0
ICMP = 1
IGMP = 2
IPV4_IN_IP = 4
TCP = 6
UDP = 17
IPV6_IN_IP = 41
ROUTING = 43
FRAGMENT = 44
GRE = 47
ICMPV6 = 58
NO_NEXT_HEADER = 59
DESTINATION_OPTIONS = 60
ETHERNET_IN_IP = 143

MAX_TUNNELS = 8
"""Tunnels opened inside one another; deeper ones are left closed."""

_IPV4 = Struct("!BBHHHBB2x4s4s")
_IPV6 = Struct("!IHBB16s16s")
_PORTS = Struct("!HH")
_TCP = Struct("!HHIIBB")
_U16 = Struct("!H")
_U32 = Struct("!I")

# Extension headers whose second byte counts the 8-byte words behind the first (RFC 8200). AH and ESP are protocols of
# their own here, as with IPv4.
_EXTENSIONS = frozenset((HOP_BY_HOP, ROUTING, DESTINATION_OPTIONS))

_VXLAN_PORTS = frozenset((4789, 4790, 8472))
_GENEVE_PORT = 6081
_GTP_PORT = 2152
_CAPWAP_DATA_PORT = 5247
_TZSP_PORT = 37008
_TUNNEL_PORTS = _VXLAN_PORTS | {_GENEVE_PORT, _GTP_PORT, _CAPWAP_DATA_PORT, _TZSP_PORT}
_TUNNEL_PROTOCOLS = frozenset((IPV4_IN_IP, IPV6_IN_IP, GRE, ETHERNET_IN_IP))


class Packet(msgspec.Struct, gc=False):
    """What one frame says about its flow. Offsets count from the frame's first byte."""

    protocol: int
    """IP protocol number (IANA) behind all extension headers."""
    src: bytes
    """Packed address, 4 or 16 bytes."""
    dst: bytes
    src_port: int
    """TCP and UDP only; 0 for other protocols, later fragments and headers cut before the ports."""
    dst_port: int
    length: int
    """L3 bytes of the outermost IP packet, as its header says, so that link padding is not counted."""
    tcp_flags: int
    tcp_seq: int
    """Sequence number of the first payload byte, or of the SYN when that is set."""
    payload: int
    """First byte behind the TCP or UDP header (else behind the IP headers)."""
    payload_end: int
    """End of the captured payload without link padding; equal to the start when there is none."""
    vlan: int = 0
    """Innermost VLAN id, 0 when untagged."""
    datagram: bytes | None = None
    """Same value for all fragments of one datagram; None when it was not fragmented."""
    fragment_offset: int = 0
    """0 for the first fragment and for whole packets: only those carry ports."""


def dissect(link_type: int, frame: bytes, *, inner: bool = False) -> Packet | None:
    """Packet of a frame of ``link_type`` (`netally.capture.link_layer`); None when it is not IP.

    ``inner`` opens tunnels and describes the innermost readable packet; ``length`` stays that of the outermost one.
    """
    network = link_layer.find_network(link_type, frame)
    if network is None:
        return None
    return dissect_ip(frame, network.offset, vlan=network.vlan, inner=inner)


def dissect_ip(frame: bytes, offset: int = 0, *, vlan: int = 0, inner: bool = False) -> Packet | None:
    """Packet whose IP header starts at ``offset`` of ``frame``; None when there is no whole IP header."""
    packet = _ip(frame, offset, vlan)
    if packet is None or not inner:
        return packet
    outermost = packet.length
    for _ in range(MAX_TUNNELS):
        below = _open_tunnel(frame, packet)
        if below is None:
            break
        packet = below
    packet.length = outermost
    return packet


def _ip(frame: bytes, offset: int, vlan: int) -> Packet | None:
    if offset >= len(frame):
        return None
    version = frame[offset] >> 4
    if version == 4:
        return _ipv4(frame, offset, vlan)
    if version == 6:
        return _ipv6(frame, offset, vlan)
    return None


def _ipv4(frame: bytes, offset: int, vlan: int) -> Packet | None:
    captured = len(frame) - offset
    if captured < 20:
        return None
    first, _, total, _, fragment, _, protocol, src, dst = _IPV4.unpack_from(frame, offset)
    header = (first & 0x0F) * 4
    if header < 20:
        return None
    if total < header:  # 0 when the sender's card was to split it (TSO); anything else below the header is a lie
        total = captured
    end = offset + min(captured, total)
    datagram = None
    fragment_offset = (fragment & 0x1FFF) * 8
    if fragment & 0x3FFF:  # more fragments, or an offset
        datagram = frame[offset + 12 : offset + 20] + frame[offset + 4 : offset + 6] + bytes((protocol,))
    start = min(offset + header, end)  # options may be cut; the addresses are there
    return _transport(frame, protocol, src, dst, vlan, total, start, end, datagram, fragment_offset)


def _ipv6(frame: bytes, offset: int, vlan: int) -> Packet | None:
    captured = len(frame) - offset
    if captured < 40:
        return None
    _, payload, protocol, _, src, dst = _IPV6.unpack_from(frame, offset)
    total = 40 + payload if payload else captured  # 0: a jumbogram (RFC 2675), TSO, or nothing behind the header
    end = offset + min(captured, total)
    position = offset + 40
    datagram = None
    fragment_offset = 0
    while position + 8 <= end:
        if protocol in _EXTENSIONS:
            protocol, length = frame[position], (frame[position + 1] + 1) * 8
        elif protocol == FRAGMENT:
            protocol, length = frame[position], 8
            (field,) = _U16.unpack_from(frame, position + 2)
            if field & 0xFFF9:  # else an atomic fragment (RFC 6946): whole
                datagram = frame[offset + 8 : offset + 40] + frame[position + 4 : position + 8]
                fragment_offset = field & 0xFFF8
                if fragment_offset:
                    position += 8
                    break
        else:
            break
        position += length
    return _transport(frame, protocol, src, dst, vlan, total, min(position, end), end, datagram, fragment_offset)


def _transport(
    frame: bytes,
    protocol: int,
    src: bytes,
    dst: bytes,
    vlan: int,
    total: int,
    start: int,
    end: int,
    datagram: bytes | None,
    fragment_offset: int,
) -> Packet:
    src_port = dst_port = flags = sequence = 0
    if fragment_offset == 0:
        if protocol == TCP:
            if start + 14 <= end:
                src_port, dst_port, sequence, _, words, flags = _TCP.unpack_from(frame, start)
                start = min(start + max(20, (words >> 4) * 4), end)
            elif start + 4 <= end:
                src_port, dst_port = _PORTS.unpack_from(frame, start)
                start = end
        elif protocol == UDP and start + 4 <= end:
            src_port, dst_port = _PORTS.unpack_from(frame, start)
            start = min(start + 8, end)
    return Packet(
        protocol,
        src,
        dst,
        src_port,
        dst_port,
        total,
        flags,
        sequence,
        start,
        end,
        vlan,
        datagram,
        fragment_offset,
    )


def _open_tunnel(frame: bytes, packet: Packet) -> Packet | None:
    """The packet a tunnel carries; None when this is no tunnel, or one whose inside cannot be read."""
    if packet.fragment_offset:
        return None
    if packet.protocol == UDP:
        if packet.dst_port not in _TUNNEL_PORTS and packet.src_port not in _TUNNEL_PORTS:
            return None
        network = _udp_tunnel(frame, packet)
    elif packet.protocol in _TUNNEL_PROTOCOLS:
        network = _ip_tunnel(frame, packet)
    else:
        return None
    if network is None or network.offset >= packet.payload_end:
        return None
    below = _ip(frame, network.offset, network.vlan or packet.vlan)
    if below is None:
        return None
    below.payload_end = max(below.payload, min(below.payload_end, packet.payload_end))
    if packet.datagram is not None:
        # The outer packet is cut, not the inner one: its later pieces are known by the outer identification.
        below.datagram = packet.datagram
    return below


def _ip_tunnel(frame: bytes, packet: Packet) -> link_layer.Network | None:
    start = packet.payload
    if packet.protocol == GRE:
        return _gre(frame, start, packet.payload_end)
    if packet.protocol == ETHERNET_IN_IP:  # RFC 3378: two bytes, then an Ethernet frame
        return link_layer.find_network(link_layer.ETHERNET, frame, start + 2)
    return link_layer.Network(start, 0)


def _gre(frame: bytes, start: int, end: int) -> link_layer.Network | None:
    """RFC 2784 and 2890 (version 0), RFC 2637 (version 1, PPTP), ERSPAN types I to III."""
    if start + 4 > end:
        return None
    flags, kind = _PORTS.unpack_from(frame, start)
    version = flags & 7
    offset = start + 4
    if version == 1:
        offset += 4 + (4 if flags & 0x1000 else 0) + (4 if flags & 0x0080 else 0)
        return link_layer.ppp_network(frame, offset) if kind == 0x880B and offset < end else None
    if version != 0 or flags & 0x4000:  # source routing: not seen since RFC 2784 dropped it
        return None
    sequenced = bool(flags & 0x1000)
    offset += (4 if flags & 0x8000 else 0) + (4 if flags & 0x2000 else 0) + (4 if sequenced else 0)
    if offset >= end:
        return None
    if kind == 0x880B:
        return link_layer.ppp_network(frame, offset)
    if kind == 0x88BE:  # ERSPAN: type I has no header, type II has eight bytes and a GRE sequence number
        return link_layer.find_network(link_layer.ETHERNET, frame, offset + (8 if sequenced else 0))
    if kind == 0x22EB:  # ERSPAN type III: twelve bytes, eight more with the O bit
        extra = 8 if offset + 12 <= end and frame[offset + 11] & 1 else 0
        return link_layer.find_network(link_layer.ETHERNET, frame, offset + 12 + extra)
    return link_layer.ethertype_network(kind, frame, offset)


def _udp_tunnel(frame: bytes, packet: Packet) -> link_layer.Network | None:
    ports = (packet.dst_port, packet.src_port)
    start, end = packet.payload, packet.payload_end
    if start + 8 > end:
        return None
    if _GTP_PORT in ports:
        return _gtp(frame, start, end)
    if _VXLAN_PORTS.intersection(ports):
        return _vxlan(frame, start)
    if _GENEVE_PORT in ports:  # RFC 8926: version 0, option length in words, protocol type
        if frame[start] >> 6:
            return None
        (kind,) = _U16.unpack_from(frame, start + 2)
        return link_layer.ethertype_network(kind, frame, start + 8 + (frame[start] & 0x3F) * 4)
    if _CAPWAP_DATA_PORT in ports:
        return _capwap(frame, start, end)
    return _tzsp(frame, start, end)


def _gtp(frame: bytes, start: int, end: int) -> link_layer.Network | None:
    """GTP-U (3GPP TS 29.281): version 1, message 255 (G-PDU), optional fields, chain of extension headers."""
    flags = frame[start]
    if flags >> 5 != 1 or not flags & 0x10 or frame[start + 1] != 0xFF:
        return None
    offset = start + 8
    if flags & 0x07:
        offset += 4
        if flags & 0x04 and offset <= end:
            following = frame[offset - 1]
            while following:
                length = frame[offset] * 4 if offset < end else 0
                offset += length
                if length == 0 or offset > end:
                    return None
                following = frame[offset - 1]
    return link_layer.Network(offset, 0)


def _vxlan(frame: bytes, start: int) -> link_layer.Network | None:
    """RFC 7348: the I flag, reserved bits, network identifier. Flag 0x80 is a group policy (ignored), 0x04 says that
    byte 3 names the payload (draft-ietf-nvo3-vxlan-gpe)."""
    flags = frame[start]
    if flags & 0x7B != 0x08:
        return None
    if flags & 0x04:
        kind = {1: link_layer.ETHERTYPE_IPV4, 2: link_layer.ETHERTYPE_IPV6, 3: link_layer.ETHERTYPE_BRIDGED}
        return link_layer.ethertype_network(kind.get(frame[start + 3], 0), frame, start + 8)
    return link_layer.find_network(link_layer.ETHERNET, frame, start + 8)


def _capwap(frame: bytes, start: int, end: int) -> link_layer.Network | None:
    """CAPWAP data (RFC 5415 section 4.3): preamble 0, header length in words, then 802.11 or 802.3.

    DTLS (preamble 1) and later fragments cannot be read. Controllers differ in the byte order of the frame control
    field and in the T bit, so a frame that does not read as 802.3 is tried as 802.11, as it is and byte-swapped.
    """
    word = _U32.unpack_from(frame, start)[0]
    header = (word >> 19 & 0x1F) * 4
    if word >> 24 or header < 8:
        return None
    if word & 0x80 and _U16.unpack_from(frame, start + 6)[0] & 0xFFF8:
        return None
    offset = start + header
    if offset + 24 > end:
        return None
    if not word & 0x100 and (found := link_layer.find_network(link_layer.ETHERNET, frame, offset)) is not None:
        return found
    found = link_layer.wifi_network(frame, offset)
    if found is None and frame[offset + 1] & 0x0C == 0x08:  # frame control sent with its bytes swapped
        swapped = frame[:offset] + frame[offset + 1 : offset + 2] + frame[offset : offset + 1] + frame[offset + 2 :]
        found = link_layer.wifi_network(swapped, offset)
    return found


def _tzsp(frame: bytes, start: int, end: int) -> link_layer.Network | None:
    """TaZmen Sniffer Protocol: version 1, type 0 (received) or 1 (to send), encapsulated protocol, tags."""
    link_type = {1: link_layer.ETHERNET, 18: link_layer.IEEE802_11}.get(_U16.unpack_from(frame, start + 2)[0])
    if frame[start] != 1 or frame[start + 1] > 1 or link_type is None:
        return None
    offset = start + 4
    while offset + 1 < end:
        tag = frame[offset]
        if tag == 1:  # end
            return link_layer.find_network(link_type, frame, offset + 1)
        offset += 1 if tag == 0 else 2 + frame[offset + 1]
    return None


class FragmentTable:
    """Which flow the later fragments of a datagram belong to. Bounded: the datagram begun longest ago goes first."""

    def __init__(self, limit: int = 4_096, lifetime: float = 60.0) -> None:
        """``lifetime`` in seconds: hosts use an identification again after it (RFC 791: at most two minutes)."""
        self._limit = limit
        self._lifetime = lifetime
        self._first: OrderedDict[bytes, tuple[Packet, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._first)

    def complete(self, packet: Packet, now: float) -> bool:
        """Give a later fragment the endpoints of its first one; False when that was not seen, or too long ago.

        Whole packets are left as they are, first fragments remembered. ``now`` is the packet's time in seconds.
        """
        if packet.datagram is None:
            return True
        if packet.fragment_offset == 0:
            self._first[packet.datagram] = (packet, now)
            self._first.move_to_end(packet.datagram)
            if len(self._first) > self._limit:
                self._first.popitem(last=False)
            return True
        first, seen = self._first.get(packet.datagram, (None, 0.0))
        if first is None or abs(now - seen) > self._lifetime:
            return False
        packet.vlan, packet.protocol = first.vlan, first.protocol
        packet.src, packet.src_port = first.src, first.src_port
        packet.dst, packet.dst_port = first.dst, first.dst_port
        return True

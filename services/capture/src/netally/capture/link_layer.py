"""Link-layer headers: a frame and its link type in, where the IP header starts out.

The numbers are the LINKTYPE registry's of the pcap format (tcpdump.org/linktypes.html), the same for pcap, pcapng and
packet sockets. Nothing here raises on a short or hostile frame: what cannot be read is "not IP".
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

NULL = 0
ETHERNET = 1
TOKEN_RING = 6
PPP = 9
FDDI = 10
RAW_BSD = 12
RAW_OPENBSD = 14
PPP_HDLC = 50
PPP_ETHER = 51
ATM_RFC1483 = 100
RAW = 101
C_HDLC = 104
IEEE802_11 = 105
FRAME_RELAY = 107
LOOP = 108
ENC = 109
LINUX_SLL = 113
PFLOG = 117
PRISM = 119
IP_OVER_FC = 122
IEEE802_11_RADIO = 127
IP_OVER_1394 = 138
IEEE802_11_AVS = 163
PPI = 192
ERF = 197
PPP_WITH_DIRECTION = 204
IPV4 = 228
IPV6 = 229
NFLOG = 239
NETANALYZER = 240
PKTAP = 258
LINUX_SLL2 = 276

ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_IPV6 = 0x86DD
ETHERTYPE_BRIDGED = 0x6558
"""Transparent Ethernet bridging (RFC 1701): the payload is an Ethernet frame."""

_VLAN = frozenset((0x8100, 0x88A8, 0x9100, 0x9200, 0x9300))
_MPLS = frozenset((0x8847, 0x8848))
_PPPOE_SESSION = 0x8864
_PROVIDER_BACKBONE = 0x88E7
_CISCO_METADATA = 0x8909
# Tags of switches (VN-Tag, HSR of IEC 62439-3, 802.1BR) before the real type, and their length with it.
_SWITCH_TAGS = {0x8926: 6, 0x892F: 6, 0x893F: 8}
_NSH = 0x894F
_NSH_PAYLOADS = {1: ETHERTYPE_IPV4, 2: ETHERTYPE_IPV6, 3: ETHERTYPE_BRIDGED}
_PPP_TO_ETHERTYPE = {0x0021: ETHERTYPE_IPV4, 0x0057: ETHERTYPE_IPV6, 0x0281: 0x8847, 0x0283: 0x8848}

_U16 = Struct("!H")
_U32 = Struct("!I")
_LITTLE_U16 = Struct("<H")
_LITTLE_U32 = Struct("<I")
_VLAN_HEADER = Struct("!HH")

_MAX_LABELS = 16
_MAX_NESTING = 4
"""Link headers inside link headers (capture metadata, pseudowires); a hostile frame must not recurse without end."""


class Network(NamedTuple):
    """Where the network header of a frame starts."""

    offset: int
    """Byte of the frame at which the IP header starts."""
    vlan: int
    """Innermost VLAN id, 0 when untagged. Two VLANs may use the same addresses, so it is part of a flow's key."""


def find_network(link_type: int, frame: bytes, offset: int = 0) -> Network | None:
    """IP header of ``frame``, whose link header starts at ``offset``; None when it carries no IP or is cut before it.

    The version nibble of the IP header is left to the caller: a wrong one there means "not IP" as well.
    """
    return _find(link_type, frame, offset, 0)


def is_known(link_type: int) -> bool:
    """Whether frames of this link type can be read at all."""
    return link_type in _READERS or link_type in _AT_IP


def ethertype_network(ethertype: int, frame: bytes, offset: int, vlan: int = 0) -> Network | None:
    """IP header below ``ethertype``, whose payload starts at ``offset``: through VLAN tags, MPLS labels and PPPoE."""
    return _below_ethertype(ethertype, frame, offset, vlan, 0)


def ppp_network(frame: bytes, offset: int) -> Network | None:
    """IP header of a PPP frame, with or without address and control field (RFC 1661, RFC 1662)."""
    return _ppp(frame, offset, 0)


def wifi_network(frame: bytes, offset: int) -> Network | None:
    """IP header of an IEEE 802.11 data frame; None for management, control and encrypted frames."""
    return _wifi(frame, offset, 0)


def _find(link_type: int, frame: bytes, offset: int, depth: int) -> Network | None:
    if link_type in _AT_IP:
        return Network(offset, 0) if offset < len(frame) else None
    reader = _READERS.get(link_type)
    if reader is None or depth > _MAX_NESTING:
        return None
    return reader(frame, offset, depth)


def _below_ethertype(ethertype: int, frame: bytes, offset: int, vlan: int, depth: int) -> Network | None:
    end = len(frame)
    while True:
        if ethertype in (ETHERTYPE_IPV4, ETHERTYPE_IPV6):
            return Network(offset, vlan) if offset < end else None
        if ethertype in _VLAN:
            if offset + 4 > end:
                return None
            tag, ethertype = _VLAN_HEADER.unpack_from(frame, offset)
            vlan = tag & 0x0FFF
            offset += 4
            if ethertype <= 1500:
                return _llc(frame, offset, vlan, depth)
        elif ethertype == _PPPOE_SESSION:  # RFC 2516: version/type, code, session, length, then PPP
            found = _ppp(frame, offset + 6, depth)
            return None if found is None else Network(found.offset, found.vlan or vlan)
        elif ethertype in _MPLS:
            return _mpls(frame, offset, vlan, depth)
        elif ethertype in (_PROVIDER_BACKBONE, ETHERTYPE_BRIDGED):
            skip = 4 if ethertype == _PROVIDER_BACKBONE else 0
            found = _find(ETHERNET, frame, offset + skip, depth + 1)
            return None if found is None else Network(found.offset, found.vlan or vlan)
        elif ethertype == _CISCO_METADATA:  # version, length in 4-byte words, options, then the real type
            if offset + 8 > end:
                return None
            (ethertype,) = _U16.unpack_from(frame, offset + 6)
            offset += 8
        elif ethertype in _SWITCH_TAGS:
            offset += _SWITCH_TAGS[ethertype]
            if offset > end:
                return None
            (ethertype,) = _U16.unpack_from(frame, offset - 2)
        elif ethertype == _NSH:  # RFC 8300: version and flags, length in 4-byte words, type, next protocol
            if offset + 8 > end or not frame[offset + 1] & 0x3F:
                return None
            ethertype = _NSH_PAYLOADS.get(frame[offset + 3], 0)
            offset += (frame[offset + 1] & 0x3F) * 4
        else:
            return None


def _ethernet(frame: bytes, offset: int, depth: int) -> Network | None:
    if offset + 14 > len(frame):
        return None
    (ethertype,) = _U16.unpack_from(frame, offset + 12)
    if ethertype in (ETHERTYPE_IPV4, ETHERTYPE_IPV6):
        return Network(offset + 14, 0) if offset + 14 < len(frame) else None
    if ethertype <= 1500:
        return _llc(frame, offset + 14, 0, depth)
    return _below_ethertype(ethertype, frame, offset + 14, 0, depth)


def _llc(frame: bytes, offset: int, vlan: int, depth: int) -> Network | None:
    """IEEE 802.2 LLC: SNAP with an EtherType (RFC 1042), or the IP service access point."""
    if offset + 3 > len(frame):
        return None
    if frame[offset] == 0x06 and frame[offset + 1] == 0x06:
        return Network(offset + 3, vlan) if offset + 3 < len(frame) else None
    if frame[offset : offset + 2] != b"\xaa\xaa" or offset + 8 > len(frame):
        return None
    (ethertype,) = _U16.unpack_from(frame, offset + 6)
    return _below_ethertype(ethertype, frame, offset + 8, vlan, depth)


def _mpls(frame: bytes, offset: int, vlan: int, depth: int) -> Network | None:
    """Below the label stack (RFC 3032) nothing names the payload: IP by its version nibble, else an Ethernet
    pseudowire behind a control word (RFC 4385)."""
    for _ in range(_MAX_LABELS):
        if offset + 5 > len(frame):
            return None
        bottom = frame[offset + 2] & 1
        offset += 4
        if bottom:
            version = frame[offset] >> 4
            if version in (4, 6):
                return Network(offset, vlan)
            if version == 0:
                found = _find(ETHERNET, frame, offset + 4, depth + 1)
                return None if found is None else Network(found.offset, found.vlan or vlan)
            return None
    return None


def _ppp(frame: bytes, offset: int, depth: int) -> Network | None:
    if frame[offset : offset + 2] == b"\xff\x03":
        offset += 2
    elif frame[offset : offset + 1] in (b"\x0f", b"\x8f"):  # Cisco HDLC written with a PPP link type
        return _c_hdlc(frame, offset, depth)
    if offset + 2 > len(frame):
        return None
    protocol = frame[offset]
    if protocol & 1:  # compressed to one byte (RFC 1661 section 6.5)
        offset += 1
    else:
        protocol = protocol << 8 | frame[offset + 1]
        offset += 2
    ethertype = _PPP_TO_ETHERTYPE.get(protocol)
    return None if ethertype is None else _below_ethertype(ethertype, frame, offset, 0, depth)


def _ppp_with_direction(frame: bytes, offset: int, depth: int) -> Network | None:
    return _ppp(frame, offset + 1, depth)


def _ppp_ether(frame: bytes, offset: int, depth: int) -> Network | None:
    return _ppp(frame, offset + 6, depth)


def _c_hdlc(frame: bytes, offset: int, depth: int) -> Network | None:
    if offset + 4 > len(frame):
        return None
    if frame[offset] not in (0x0F, 0x8F):  # PPP written with the Cisco HDLC link type
        return _ppp(frame, offset, depth)
    (ethertype,) = _U16.unpack_from(frame, offset + 2)
    return _below_ethertype(ethertype, frame, offset + 4, 0, depth)


def _null(frame: bytes, offset: int, depth: int) -> Network | None:
    """BSD loopback: an address family of the writing system, in its byte order. The IP header says which IP it is."""
    if offset + 5 > len(frame):
        return None
    family = _U32.unpack_from(frame, offset)[0]
    if family > 0xFFFF:
        family = _LITTLE_U32.unpack_from(frame, offset)[0]
    # AF_INET everywhere; AF_INET6 of Linux, BSD, FreeBSD, macOS and Windows.
    return Network(offset + 4, 0) if family in (2, 10, 23, 24, 28, 30) else None


def _sll(frame: bytes, offset: int, depth: int) -> Network | None:
    if offset + 16 > len(frame):
        return None
    return _below_ethertype(_U16.unpack_from(frame, offset + 14)[0], frame, offset + 16, 0, depth)


def _sll2(frame: bytes, offset: int, depth: int) -> Network | None:
    if offset + 20 > len(frame):
        return None
    return _below_ethertype(_U16.unpack_from(frame, offset)[0], frame, offset + 20, 0, depth)


def _enc(frame: bytes, offset: int, depth: int) -> Network | None:
    """OpenBSD's IPsec interface: address family, SPI, flags."""
    return Network(offset + 12, 0) if offset + 12 < len(frame) else None


def _pflog(frame: bytes, offset: int, depth: int) -> Network | None:
    """BSD packet filter log: its header's length without padding in the first byte."""
    if offset >= len(frame):
        return None
    start = offset + (frame[offset] + 3 & ~3)
    return Network(start, 0) if frame[offset] >= 20 and start < len(frame) else None


def _frame_relay(frame: bytes, offset: int, depth: int) -> Network | None:
    """RFC 2427: an address of two to four bytes (the last has its lowest bit set), control, NLPID."""
    for length in (2, 3, 4):
        if frame[offset + length - 1 : offset + length] and frame[offset + length - 1] & 1:
            offset += length
            break
    else:
        return None
    if frame[offset : offset + 1] != b"\x03":  # Cisco: an EtherType follows the address
        kind = frame[offset : offset + 2]
        return _below_ethertype(int.from_bytes(kind, "big"), frame, offset + 2, 0, depth) if len(kind) == 2 else None
    offset += 2 if frame[offset + 1 : offset + 2] == b"\0" else 1
    kind = frame[offset : offset + 1]
    if kind in (b"\xcc", b"\x8e"):
        return Network(offset + 1, 0) if offset + 1 < len(frame) else None
    if kind != b"\x80" or offset + 6 > len(frame):  # SNAP
        return None
    return _below_ethertype(_U16.unpack_from(frame, offset + 4)[0], frame, offset + 6, 0, depth)


def _atm(frame: bytes, offset: int, depth: int) -> Network | None:
    return _llc(frame, offset, 0, depth)


def _fibre_channel(frame: bytes, offset: int, depth: int) -> Network | None:
    return _llc(frame, offset + 16, 0, depth)


def _firewire(frame: bytes, offset: int, depth: int) -> Network | None:
    if offset + 18 > len(frame):
        return None
    return _below_ethertype(_U16.unpack_from(frame, offset + 16)[0], frame, offset + 18, 0, depth)


def _netanalyzer(frame: bytes, offset: int, depth: int) -> Network | None:
    return _find(ETHERNET, frame, offset + 4, depth + 1)


def _erf(frame: bytes, offset: int, depth: int) -> Network | None:
    """Endace: 16 bytes with the type at byte 8, whose top bit announces extension headers of 8 bytes each."""
    if offset + 16 > len(frame):
        return None
    more, kind = frame[offset + 8], frame[offset + 8] & 0x7F
    offset += 16
    while more & 0x80:
        if offset + 8 > len(frame):
            return None
        more = frame[offset]
        offset += 8
    if kind in (2, 11, 16, 20):  # Ethernet, behind two bytes of padding
        return _find(ETHERNET, frame, offset + 2, depth + 1)
    if kind in (22, 23):
        return Network(offset, 0) if offset < len(frame) else None
    return _find(C_HDLC, frame, offset, depth + 1) if kind in (1, 5, 9, 17) else None


def _token_ring(frame: bytes, offset: int, depth: int) -> Network | None:
    if offset + 16 > len(frame):
        return None
    route = frame[offset + 14] & 0x1F if frame[offset + 8] & 0x80 else 0
    return _llc(frame, offset + 14 + route, 0, depth)


def _fddi(frame: bytes, offset: int, depth: int) -> Network | None:
    return _llc(frame, offset + 13, 0, depth)


def _wifi(frame: bytes, offset: int, depth: int) -> Network | None:
    """IEEE 802.11-2020 section 9.3.2: address 4 with both DS bits, QoS control with subtype bit 3, HT control."""
    if offset + 24 > len(frame):
        return None
    control, flags = frame[offset], frame[offset + 1]
    if control & 0x0C != 0x08 or control & 0x40 or flags & 0x40:  # not data, no payload, or encrypted
        return None
    header = 30 if flags & 0x03 == 0x03 else 24
    if control & 0x80:
        header += 6 if flags & 0x80 else 2
    found = _llc(frame, offset + header, 0, depth)
    if found is None and header % 4:  # some drivers pad the header to four bytes
        found = _llc(frame, offset + header + 4 - header % 4, 0, depth)
    return found


def _radiotap(frame: bytes, offset: int, depth: int) -> Network | None:
    if offset + 8 > len(frame):
        return None
    return _wifi(frame, offset + _LITTLE_U16.unpack_from(frame, offset + 2)[0], depth)


def _prism(frame: bytes, offset: int, depth: int) -> Network | None:
    return _wifi(frame, offset + 144, depth)


def _avs(frame: bytes, offset: int, depth: int) -> Network | None:
    if offset + 8 > len(frame):
        return None
    return _wifi(frame, offset + _U32.unpack_from(frame, offset + 4)[0], depth)


def _ppi(frame: bytes, offset: int, depth: int) -> Network | None:
    if offset + 8 > len(frame):
        return None
    length = _LITTLE_U16.unpack_from(frame, offset + 2)[0]
    return _find(_LITTLE_U32.unpack_from(frame, offset + 4)[0], frame, offset + length, depth + 1)


def _pktap(frame: bytes, offset: int, depth: int) -> Network | None:
    """macOS: header length, record type, then the link type of the frame behind it."""
    if offset + 12 > len(frame):
        return None
    length = _LITTLE_U32.unpack_from(frame, offset)[0]
    return _find(_LITTLE_U32.unpack_from(frame, offset + 8)[0], frame, offset + length, depth + 1)


def _nflog(frame: bytes, offset: int, depth: int) -> Network | None:
    """Netfilter log: attributes padded to four bytes, of which type 9 is the packet."""
    offset += 4
    while offset + 4 <= len(frame):
        length, kind = _LITTLE_U16.unpack_from(frame, offset)[0], _LITTLE_U16.unpack_from(frame, offset + 2)[0]
        if kind & 0x7FFF == 9:
            return Network(offset + 4, 0) if offset + 4 < len(frame) else None
        if length < 4:
            return None
        offset += length + 3 & ~3
    return None


_AT_IP = frozenset((RAW_BSD, RAW_OPENBSD, RAW, IPV4, IPV6))
_READERS = {
    NULL: _null,
    ETHERNET: _ethernet,
    TOKEN_RING: _token_ring,
    PPP: _ppp,
    FDDI: _fddi,
    PPP_HDLC: _ppp,
    PPP_ETHER: _ppp_ether,
    ATM_RFC1483: _atm,
    C_HDLC: _c_hdlc,
    IEEE802_11: _wifi,
    FRAME_RELAY: _frame_relay,
    LOOP: _null,
    ENC: _enc,
    LINUX_SLL: _sll,
    PFLOG: _pflog,
    PRISM: _prism,
    IP_OVER_FC: _fibre_channel,
    IEEE802_11_RADIO: _radiotap,
    IP_OVER_1394: _firewire,
    IEEE802_11_AVS: _avs,
    PPI: _ppi,
    ERF: _erf,
    PPP_WITH_DIRECTION: _ppp_with_direction,
    NFLOG: _nflog,
    NETANALYZER: _netanalyzer,
    PKTAP: _pktap,
    LINUX_SLL2: _sll2,
}

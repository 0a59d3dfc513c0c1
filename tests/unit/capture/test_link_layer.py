"""Link layers: the IP header is found behind every kind of frame, and nowhere in what carries none."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.contrib.mpls import MPLS
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import LLC, SNAP, CookedLinux, CookedLinuxV2, Dot1AD, Dot1Q, Dot3, Ether
from scapy.layers.ppp import HDLC, PPP, PPPoE

from netally.capture import link_layer
from netally.capture.link_layer import Network, find_network, is_known

V4 = IP(src="192.0.2.1", dst="192.0.2.2") / UDP(sport=1, dport=2) / b"payload"
V6 = IPv6(src="2001:db8::1", dst="2001:db8::2") / UDP(sport=1, dport=2) / b"payload"
ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")

WIFI_DATA = b"\x08\x01\x00\x00" + bytes(18) + b"\x00\x00"
WIFI_QOS = b"\x88\x02\x00\x00" + bytes(18) + b"\x00\x00" + b"\x05\x00"
SNAP_IP = b"\xaa\xaa\x03\x00\x00\x00\x08\x00"

CASES = [
    ("ethernet", 1, bytes(ETHER)[:12] + b"\x08\x00", 0),
    ("vlan", 1, bytes(ETHER / Dot1Q(vlan=7, type=0x0800)), 7),
    ("double tag 802.1Q", 1, bytes(ETHER / Dot1Q(vlan=7) / Dot1Q(vlan=9, type=0x0800)), 9),
    ("double tag 802.1ad", 1, bytes(ETHER / Dot1AD(vlan=7) / Dot1Q(vlan=9, type=0x0800)), 9),
    ("pppoe", 1, bytes(ETHER / PPPoE(sessionid=1, len=9) / PPP(proto=0x21)), 0),
    ("pppoe in a vlan", 1, bytes(ETHER / Dot1Q(vlan=3) / PPPoE(sessionid=1, len=9) / PPP(proto=0x21)), 3),
    ("mpls", 1, bytes(ETHER / MPLS(label=16, s=0) / MPLS(label=17, s=1)), 0),
    (
        "ethernet pseudowire",
        1,
        bytes(ETHER / MPLS(label=16, s=1)) + bytes(4) + bytes(ETHER / Dot1Q(vlan=5, type=0x0800)),
        5,
    ),
    ("llc snap", 1, bytes(Dot3(len=60) / LLC(dsap=0xAA, ssap=0xAA, ctrl=3) / SNAP(code=0x0800)), 0),
    ("cooked", 113, bytes(CookedLinux(proto=0x0800)), 0),
    ("cooked with a vlan", 113, bytes(CookedLinux(proto=0x8100) / Dot1Q(vlan=8, type=0x0800)), 8),
    ("cooked 2", 276, bytes(CookedLinuxV2(proto=0x0800)), 0),
    ("raw", 101, b"", 0),
    ("raw of bsd", 12, b"", 0),
    ("ip 4", 228, b"", 0),
    ("null, little endian", 0, b"\x02\0\0\0", 0),
    ("null, big endian", 0, b"\0\0\0\x02", 0),
    ("loop", 108, b"\0\0\0\x02", 0),
    ("ppp", 9, b"\x00\x21", 0),
    ("ppp, one byte", 9, b"\x21", 0),
    ("ppp in hdlc", 50, bytes(HDLC() / PPP(proto=0x21)), 0),
    ("ppp with direction", 204, b"\x00\xff\x03\x00\x21", 0),
    ("pppoe alone", 51, b"\x11\x00\x00\x01\x00\x10\x00\x21", 0),
    ("cisco hdlc", 104, b"\x0f\x00\x08\x00", 0),
    ("cisco hdlc, multicast", 104, b"\x8f\x00\x08\x00", 0),
    ("cisco hdlc as ppp", 50, b"\x0f\x00\x08\x00", 0),
    ("openbsd enc", 109, bytes(12), 0),
    ("openbsd pflog", 117, b"\x3d" + bytes(63), 0),
    ("frame relay", 107, b"\x18\x41\x03\xcc", 0),
    ("frame relay, snap", 107, b"\x18\x41\x03\x00\x80\x00\x00\x00\x08\x00", 0),
    ("frame relay, long address, cisco", 107, b"\x18\x40\x00\x01\x08\x00", 0),
    ("atm", 100, SNAP_IP, 0),
    ("ip over fibre channel", 122, bytes(16) + SNAP_IP, 0),
    ("ip over 1394", 138, bytes(16) + b"\x08\x00", 0),
    ("802.11 avs", 163, struct.pack("!II", 0x80211001, 64) + bytes(56) + WIFI_DATA + SNAP_IP, 0),
    ("netanalyzer", 240, bytes(4) + bytes(ETHER)[:12] + b"\x08\x00", 0),
    ("erf ethernet", 197, bytes(8) + b"\x02" + bytes(9) + bytes(ETHER)[:12] + b"\x08\x00", 0),
    ("erf with an extension", 197, bytes(8) + b"\x82" + bytes(17) + bytes(ETHER)[:12] + b"\x08\x00", 0),
    ("vn-tag", 1, bytes(ETHER)[:12] + b"\x89\x26\0\0\0\0\x08\x00", 0),
    ("hsr", 1, bytes(ETHER)[:12] + b"\x89\x2f\0\0\0\0\x08\x00", 0),
    ("802.1BR", 1, bytes(ETHER)[:12] + b"\x89\x3f" + bytes(6) + b"\x08\x00", 0),
    ("nsh", 1, bytes(ETHER)[:12] + b"\x89\x4f\x0f\xc2\x02\x01" + bytes(4), 0),
    ("802.11", 105, WIFI_DATA + SNAP_IP, 0),
    ("802.11 quality of service", 105, WIFI_QOS + SNAP_IP, 0),
    ("802.11 padded", 105, WIFI_QOS + b"\0\0" + SNAP_IP, 0),
    ("802.11 radiotap", 127, b"\0\0\x0c\0" + bytes(8) + WIFI_DATA + SNAP_IP, 0),
    ("802.11 prism", 119, bytes(144) + WIFI_DATA + SNAP_IP, 0),
    ("ppi", 192, struct.pack("<BBHI", 0, 0, 8, 1) + bytes(ETHER)[:12] + b"\x08\x00", 0),
    ("pktap", 258, struct.pack("<III", 16, 1, 1) + bytes(4) + bytes(ETHER)[:12] + b"\x08\x00", 0),
    ("nflog", 239, b"\2\0\0\0" + struct.pack("<HH", 5, 1) + b"x\0\0\0" + struct.pack("<HH", 100, 9), 0),
    ("token ring", 6, bytes(8) + b"\x80" + bytes(5) + b"\x82\x30" + SNAP_IP, 0),
    ("fddi", 10, bytes(13) + SNAP_IP, 0),
]


@pytest.mark.parametrize(("link_type", "head", "vlan"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_ip_behind(link_type: int, head: bytes, vlan: int) -> None:
    assert find_network(link_type, head + bytes(V4)) == Network(len(head), vlan)
    assert is_known(link_type)


def test_ipv6_behind_the_address_families_of_each_system() -> None:
    for family in (10, 23, 24, 28, 30):
        assert find_network(0, struct.pack("<I", family) + bytes(V6)) == Network(4, 0)
    assert find_network(1, bytes(ETHER / V6)) == Network(14, 0)
    assert find_network(9, b"\x00\x57" + bytes(V6)) == Network(2, 0)


@pytest.mark.parametrize(
    ("link_type", "frame"),
    [
        (1, b"\xff" * 12 + b"\x08\x06" + bytes(28)),  # ARP
        (1, bytes(Dot3(len=40) / LLC(dsap=0x42, ssap=0x42, ctrl=3)) + bytes(40)),  # spanning tree
        (1, bytes(ETHER)[:12] + b"\x88\xcc" + bytes(50)),  # LLDP
        (9, b"\xc0\x21" + bytes(20)),  # PPP's own control protocol
        (0, b"\x1e\x1e\x1e\x1e" + bytes(V4)),
        (105, b"\x80\x00" + bytes(60)),  # beacon
        (105, b"\x08\x41" + bytes(22) + SNAP_IP + bytes(V4)),  # encrypted
        (105, b"\x48\x01" + bytes(22) + SNAP_IP + bytes(V4)),  # no data
        (999, bytes(V4)),
    ],
)
def test_no_ip(link_type: int, frame: bytes) -> None:
    assert find_network(link_type, frame) is None
    assert is_known(link_type) == (link_type != 999)


def test_nested_capture_headers_end() -> None:
    frame = struct.pack("<BBHI", 0, 0, 8, 192) * 5_000 + bytes(V4)
    assert find_network(192, frame) is None


@given(st.sampled_from([case[1:3] for case in CASES]), st.binary(max_size=80), st.integers(0, 400), st.integers(0, 255))
def test_cut_and_mutated_frames_never_raise(case: tuple[int, bytes], noise: bytes, place: int, value: int) -> None:
    link_type, head = case
    frame = bytearray(head + noise)
    if place < len(frame):
        frame[place] = value
    for end in (len(frame), place, len(head)):
        network = find_network(link_type, bytes(frame[:end]))
        assert network is None or 0 <= network.offset < end
    assert link_layer.ppp_network(noise, 0) is None or noise

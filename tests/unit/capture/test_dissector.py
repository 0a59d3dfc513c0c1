"""The dissector: addresses, ports, lengths and payload of every packet, also of odd, cut and hostile ones."""

from __future__ import annotations

import ipaddress
import random
import struct

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.contrib.gtp import GTP_U_Header, GTPPDUSessionContainer
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_Router_Alert, fragment
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    fragment6,
)
from scapy.layers.l2 import GRE, GRE_PPTP, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet as ScapyPacket

from netally.capture import dissector
from netally.capture.dissector import FragmentTable, Packet, dissect, dissect_ip

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
A, B = "192.0.2.1", "198.51.100.2"
A6, B6 = "2001:db8::1", "2001:db8:ffff::2"
INNER = IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=4000, dport=443, flags="PA", seq=77) / b"hello"
INNER6 = IPv6(src="fd00::1", dst="fd00::2") / UDP(sport=5000, dport=53) / b"query"


def ends(packet: Packet | None) -> tuple[int, str, int, str, int]:
    assert packet is not None
    src, dst = ipaddress.ip_address(packet.src), ipaddress.ip_address(packet.dst)
    return packet.protocol, str(src), packet.src_port, str(dst), packet.dst_port


def payload(packet: Packet | None, frame: bytes) -> bytes:
    assert packet is not None
    return frame[packet.payload : packet.payload_end]


def test_tcp_over_ethernet_without_its_padding() -> None:
    segment = IP(src=A, dst=B) / TCP(sport=40000, dport=443, flags="PA", seq=99, options=[("MSS", 1460)]) / b"ab"
    frame = bytes(ETHER / segment) + b"\0" * 6
    packet = dissect(1, frame)
    assert ends(packet) == (6, A, 40000, B, 443)
    assert packet is not None
    assert (packet.length, packet.tcp_seq, packet.tcp_flags) == (len(segment), 99, 0x18)
    assert payload(packet, frame) == b"ab"


def test_ip_options_are_passed_over() -> None:
    frame = bytes(IP(src=A, dst=B, options=[IPOption_Router_Alert()]) / UDP(sport=1, dport=2) / b"x")
    assert ends(dissect_ip(frame)) == (17, A, 1, B, 2)
    assert payload(dissect_ip(frame), frame) == b"x"


@pytest.mark.parametrize(
    "headers",
    [
        IPv6ExtHdrHopByHop(),
        IPv6ExtHdrDestOpt(),
        IPv6ExtHdrRouting(addresses=["2001:db8::9"]),
        IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / IPv6ExtHdrRouting() / IPv6ExtHdrDestOpt(),
        IPv6ExtHdrFragment(m=0, offset=0, id=5),
    ],
    ids=["hop by hop", "destination", "routing", "chain", "atomic fragment"],
)
def test_extension_headers_are_passed_over(headers: ScapyPacket) -> None:
    frame = bytes(IPv6(src=A6, dst=B6) / headers / UDP(sport=1000, dport=2000) / b"data")
    packet = dissect_ip(frame)
    assert ends(packet) == (17, A6, 1000, B6, 2000)
    assert payload(packet, frame) == b"data"
    assert packet is not None
    assert packet.length == len(frame)
    assert packet.datagram is None


def test_protocols_without_ports() -> None:
    assert ends(dissect_ip(bytes(IP(src=A, dst=B) / ICMP()))) == (1, A, 0, B, 0)
    assert ends(dissect_ip(bytes(IPv6(src=A6, dst=B6) / ICMPv6EchoRequest()))) == (58, A6, 0, B6, 0)
    assert ends(dissect_ip(bytes(IP(src=A, dst=B, proto=132) / bytes(12)))) == (132, A, 0, B, 0)
    assert ends(dissect_ip(bytes(IPv6(src=A6, dst=B6, nh=59)))) == (59, A6, 0, B6, 0)


def test_length_zero_of_a_split_to_come_counts_what_is_there() -> None:
    frame = bytearray(bytes(IP(src=A, dst=B) / TCP(sport=1, dport=2) / bytes(3_000)))
    frame[2:4] = b"\0\0"
    packet = dissect_ip(bytes(frame))
    assert packet is not None
    assert packet.length == len(frame)
    assert packet.payload_end - packet.payload == 3_000


def test_cut_packets_keep_their_length_on_the_wire() -> None:
    whole = bytes(IP(src=A, dst=B) / TCP(sport=7, dport=8) / bytes(1_000))
    for cut, ports in ((41, (7, 8)), (24, (7, 8)), (23, (0, 0)), (20, (0, 0))):
        packet = dissect_ip(whole[:cut])
        assert packet is not None
        assert (packet.src_port, packet.dst_port) == ports
        assert packet.length == len(whole)
        assert packet.payload <= packet.payload_end <= cut
    assert dissect_ip(whole[:19]) is None
    assert dissect_ip(bytes(IPv6(src=A6, dst=B6))[:39]) is None


@pytest.mark.parametrize("shuffled", [False, True])
def test_later_fragments_belong_to_their_flow(shuffled: bool) -> None:
    whole = IP(src=A, dst=B, id=42) / UDP(sport=9, dport=10) / bytes(4_000)
    pieces = [bytes(piece) for piece in fragment(whole, fragsize=1_000)]
    table = FragmentTable()
    first = dissect_ip(pieces[0])
    assert first is not None
    if shuffled:
        later = dissect_ip(pieces[1])
        assert later is not None
        assert not table.complete(later, 0.0)
    assert table.complete(first, 0.0)
    for piece in pieces[1:]:
        packet = dissect_ip(piece)
        assert packet is not None
        assert packet.src_port == 0
        assert table.complete(packet, 1.0)
        assert ends(packet) == (17, A, 9, B, 10)
    other = dissect_ip(bytes(fragment(IP(src=A, dst=B, id=43) / UDP(sport=9, dport=10) / bytes(2_000), 1_000)[1]))
    assert other is not None
    assert not table.complete(other, 1.0)


def test_fragments_of_ipv6_behind_extension_headers() -> None:
    whole = (
        IPv6(src=A6, dst=B6) / IPv6ExtHdrDestOpt() / IPv6ExtHdrFragment(id=7) / TCP(sport=9, dport=10) / bytes(3_000)
    )
    table = FragmentTable()
    pieces = fragment6(whole, 1_280)
    assert len(pieces) > 1
    for piece in pieces:
        packet = dissect_ip(bytes(piece))
        assert packet is not None
        assert table.complete(packet, 0.0)
        assert ends(packet) == (6, A6, 9, B6, 10)


def test_fragment_table_is_bounded_and_forgets() -> None:
    table = FragmentTable(limit=10, lifetime=60.0)
    pieces = {}
    for number in range(20):
        first, later = fragment(IP(src=A, dst=B, id=number) / UDP(sport=number, dport=1) / bytes(1_200), 1_000)
        packet = dissect_ip(bytes(first))
        assert packet is not None
        table.complete(packet, 0.0)
        pieces[number] = dissect_ip(bytes(later))
    assert len(table) == 10
    old, kept = pieces[0], pieces[19]
    assert old is not None
    assert kept is not None
    assert not table.complete(old, 1.0)
    assert not table.complete(kept, 61.0)
    assert table.complete(kept, 60.0)


def wrap_capwap(inner: bytes, *, swapped: bool) -> bytes:
    control = b"\x01\x08" if swapped else b"\x08\x01"
    wifi = control + bytes(22) + b"\xaa\xaa\x03\0\0\0\x08\x00" + inner
    return struct.pack("!II", 2 << 19 | 1 << 9 | 0x100, 0) + wifi


OUTER = IP(src=A, dst=B)
OUTER6 = IPv6(src=A6, dst=B6)
GTP = UDP(sport=1, dport=2152)
NUMBERED = GRE(key_present=1, key=5, seqnum_present=1, sequence_number=9)
PPTP = GRE_PPTP(seqnum_present=1, sequence_number=1)
QUALITY = GTP_U_Header(E=1, next_ex=0x85, gtp_type=255) / GTPPDUSessionContainer(QFI=1)
TUNNELS = [
    ("4in4", OUTER / INNER, False),
    ("6in4", OUTER / INNER6, True),
    ("4in6", OUTER6 / INNER, False),
    ("6in6", OUTER6 / INNER6, True),
    ("6in6 behind a destination header", OUTER6 / IPv6ExtHdrDestOpt() / INNER6, True),
    ("gre", OUTER / GRE() / INNER, False),
    ("gre with key and sequence", OUTER / NUMBERED / INNER6, True),
    ("gre with checksum", OUTER / GRE(chksum_present=1) / INNER, False),
    ("gre with ethernet", OUTER / GRE(proto=0x6558) / ETHER / INNER, False),
    ("gre over ipv6", OUTER6 / GRE() / INNER, False),
    ("pptp", OUTER / PPTP / (b"\xff\x03\x00\x21" + bytes(INNER)), False),
    ("erspan 2", OUTER / GRE(proto=0x88BE, seqnum_present=1) / bytes(8) / ETHER / INNER, False),
    ("erspan 3", OUTER / GRE(proto=0x22EB, seqnum_present=1) / (bytes(11) + b"\1" + bytes(8)) / ETHER / INNER, False),
    ("ethernet in ip", IP(src=A, dst=B, proto=143) / b"\x30\0" / ETHER / INNER, False),
    ("vxlan", OUTER / UDP(sport=9, dport=4789) / VXLAN(flags=8, NextProtocol=0, vni=7) / ETHER / INNER, False),
    (
        "vxlan with a vlan",
        OUTER / UDP(sport=9, dport=4789) / VXLAN(flags=8, NextProtocol=0, vni=7) / ETHER / Dot1Q(vlan=2) / INNER6,
        True,
    ),
    ("vxlan with a next protocol", OUTER / UDP(sport=9, dport=4790) / VXLAN(flags=0x0C, NextProtocol=1) / INNER, False),
    ("vxlan answer", OUTER / UDP(sport=4789, dport=9) / VXLAN(flags=8, NextProtocol=0, vni=7) / ETHER / INNER, False),
    ("geneve", OUTER / UDP(sport=9, dport=6081) / (b"\x01\x00\x65\x58" + bytes(8)) / ETHER / INNER, False),
    ("gtp", OUTER / GTP / GTP_U_Header(teid=1, gtp_type=255) / INNER, False),
    ("gtp with sequence", OUTER / GTP / GTP_U_Header(S=1, gtp_type=255) / INNER6, True),
    ("gtp with extension", OUTER / GTP / QUALITY / INNER, False),
    ("capwap", OUTER / UDP(sport=9, dport=5247) / wrap_capwap(bytes(INNER), swapped=False), False),
    ("capwap, swapped", OUTER / UDP(sport=5247, dport=9) / wrap_capwap(bytes(INNER), swapped=True), False),
    ("capwap with 802.3", OUTER / UDP(sport=9, dport=5247) / struct.pack("!II", 2 << 19, 0) / ETHER / INNER, False),
    ("tzsp", OUTER / UDP(sport=9, dport=37008) / b"\x01\x00\x00\x01\x0a\x01\x2a\x00\x01" / ETHER / INNER, False),
    ("four deep", OUTER / IP(src=B, dst=A) / GRE() / IPv6(src=A6, dst=B6) / INNER, False),
]


@pytest.mark.parametrize(("outer", "is_ipv6"), [case[1:] for case in TUNNELS], ids=[case[0] for case in TUNNELS])
def test_tunnels(outer: ScapyPacket, is_ipv6: bool) -> None:
    frame = bytes(ETHER / outer)
    closed = dissect(1, frame)
    assert closed is not None
    assert ends(closed)[1] in (A, A6)
    opened = dissect(1, frame, inner=True)
    expected = (17, "fd00::1", 5000, "fd00::2", 53) if is_ipv6 else (6, "10.0.0.1", 4000, "10.0.0.2", 443)
    assert ends(opened) == expected
    assert payload(opened, frame) == (b"query" if is_ipv6 else b"hello")
    assert opened is not None
    assert opened.length == closed.length == len(frame) - 14


@pytest.mark.parametrize(
    "outer",
    [
        IP(src=A, dst=B) / GRE(proto=0x0800) / b"\x99 no ip header here, surely",
        IP(src=A, dst=B, proto=4) / b"",
        IP(src=A, dst=B) / UDP(sport=9, dport=4789) / bytes(60),
        IP(src=A, dst=B) / UDP(sport=9, dport=2152) / b"\x30\x01\x00\x04" / bytes(4),
        IP(src=A, dst=B) / UDP(sport=9, dport=2152) / b"\x34\xff\x00\x04\0\0\0\1\0\0\0\x85" / bytes(40),
        IP(src=A, dst=B) / UDP(sport=9, dport=5247) / b"\x01\0\0\0" / bytes(60),
        IP(src=A, dst=B) / UDP(sport=9, dport=37008) / (b"\x01\0\0\x01" + bytes(40)),
    ],
    ids=["gre", "4in4", "vxlan", "gtp echo", "gtp endless extension", "capwap dtls", "tzsp without end"],
)
def test_a_tunnel_that_cannot_be_read_stays_the_outer_flow(outer: ScapyPacket) -> None:
    frame = bytes(outer)
    assert dissect_ip(frame, inner=True) == dissect_ip(frame)


def test_tunnels_in_tunnels_end() -> None:
    frame = bytes(IP(src=A, dst=B) / INNER)
    for _ in range(100):
        frame = bytes(IP(src=A, dst=B, proto=4) / frame)
    opened = dissect_ip(frame, inner=True)
    assert ends(opened) == (4, A, 0, B, 0)


def test_fragments_of_a_tunnel_belong_to_the_inner_flow() -> None:
    whole = IP(src=A, dst=B, id=3, proto=47) / GRE() / (INNER / bytes(2_000))
    table = FragmentTable()
    for piece in fragment(whole, 1_000):
        packet = dissect_ip(bytes(piece), inner=True)
        assert packet is not None
        assert table.complete(packet, 0.0)
        assert ends(packet) == (6, "10.0.0.1", 4000, "10.0.0.2", 443)


def random_frame(rng: random.Random) -> bytes:
    """A frame with a random selection of what the dissector passes over."""
    link = ETHER
    for _ in range(rng.choice((0, 0, 1, 2))):
        link = link / Dot1Q(vlan=rng.randrange(1, 4_095))
    transport = rng.choice((
        TCP(sport=rng.randrange(1, 65_536), dport=rng.randrange(1, 65_536), options=[("NOP", None)] * rng.randrange(8)),
        UDP(sport=rng.randrange(1, 65_536), dport=rng.randrange(1, 65_536)),
    ))  # fmt: skip
    data = rng.randbytes(rng.randrange(200))
    if rng.random() < 0.5:
        return bytes(link / IP(src=str(ipaddress.IPv4Address(rng.randbytes(4))), dst=B) / transport / data)
    network = IPv6(src=str(ipaddress.IPv6Address(rng.randbytes(16))), dst=A6)
    for header in (IPv6ExtHdrHopByHop(), IPv6ExtHdrDestOpt()):
        if rng.random() < 0.3:
            network = network / header
    return bytes(link / network / transport / data)


def test_scapy_and_dpkt_read_the_same() -> None:
    rng = random.Random(7)
    for _ in range(300):
        frame = random_frame(rng)
        ours = dissect(1, frame)
        assert ours is not None
        theirs = Ether(frame)
        network = theirs[IP] if IP in theirs else theirs[IPv6]
        layer = theirs[TCP] if TCP in theirs else theirs[UDP]
        tags = [tag.vlan for tag in theirs.iterpayloads() if isinstance(tag, Dot1Q)]
        assert ends(ours)[1:] == (network.src, layer.sport, network.dst, layer.dport)
        assert ours.vlan == (tags[-1] if tags else 0)
        assert frame[ours.payload : ours.payload_end] == bytes(layer.payload)
        network = dpkt.ethernet.Ethernet(frame).data
        assert (network.src, network.dst) == (ours.src, ours.dst)
        if isinstance(network.data, dpkt.tcp.TCP | dpkt.udp.UDP):
            assert (network.data.sport, network.data.dport) == (ours.src_port, ours.dst_port)


SEEDS = [bytes(ETHER / case[1]) for case in TUNNELS]


@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(12, 200), st.integers(0, 255)), max_size=8),
    st.integers(0, 200),
)
def test_mutated_frames_never_raise(seed: bytes, changes: list[tuple[int, int]], cut: int) -> None:
    frame = bytearray(seed)
    for place, value in changes:
        if place < len(frame):
            frame[place] = value
    data = bytes(frame[: cut if cut > 14 else len(frame)])
    table = FragmentTable()
    for inner in (False, True):
        packet = dissect(1, data, inner=inner)
        if packet is not None:
            assert 0 <= packet.payload <= packet.payload_end <= len(data)
            assert len(packet.src) == len(packet.dst) in (4, 16)
            assert 0 <= packet.src_port < 65_536
            assert packet.length >= 20
            table.complete(packet, 0.0)


@given(st.binary(max_size=300))
def test_noise_never_raises(noise: bytes) -> None:
    for start in (b"\x45", b"\x60", b"\x4f", b""):
        dissect_ip(start + noise, inner=True)
    for link_type in (0, 1, 9, 101, 104, 113, 127, 276):
        dissector.dissect(link_type, noise, inner=True)

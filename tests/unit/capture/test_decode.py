"""The block decoder: what a ring's blocks hold, packet for packet, the same as the dissector sees it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet as ScapyPacket
from scapy.packet import Raw

from netally.capture.decode import Block, decode_block
from netally.capture.dissector import FragmentTable, dissect
from netally.capture.link_layer import ETHERNET
from netally.capture.packets import (
    A_IS_CLIENT,
    A_IS_LOCAL,
    B_IS_CLIENT,
    B_IS_LOCAL,
    CLOSED,
    SYN,
    FlowEnds,
    ends_of_words,
    key_words,
)
from tests.builders import packed
from tests.ring_blocks import HOST, OTHERHOST, OUTGOING, RingFrame, make_block

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
LOW, HIGH = "10.0.0.1", "192.0.2.9"
LOW6, HIGH6 = "2001:db8::1", "2001:db8::9"


def decode(*frames: RingFrame, vnet_header: bool = True, directed: bool = True) -> Block:
    return decode_block(
        make_block(frames), interface=7, fragments=FragmentTable(), vnet_header=vnet_header, directed=directed
    )


def frame_of(packet: ScapyPacket) -> bytes:
    return bytes(ETHER / packet)


def ends(block: Block, row: int = 0) -> FlowEnds:
    return ends_of_words(block.packets.words[row])


@pytest.mark.parametrize(
    ("packet", "protocol", "low", "high", "length"),
    [
        (IP(src=LOW, dst=HIGH) / TCP(sport=40000, dport=443) / Raw(b"x" * 100), 6, LOW, HIGH, 140),
        (IP(src=LOW, dst=HIGH) / UDP(sport=40000, dport=443) / Raw(b"x" * 100), 17, LOW, HIGH, 128),
        (IPv6(src=LOW6, dst=HIGH6) / TCP(sport=40000, dport=443) / Raw(b"x" * 100), 6, LOW6, HIGH6, 160),
        (IPv6(src=LOW6, dst=HIGH6) / UDP(sport=40000, dport=443) / Raw(b"x" * 100), 17, LOW6, HIGH6, 148),
    ],
)
def test_plain_packets(packet: ScapyPacket, protocol: int, low: str, high: str, length: int) -> None:
    block = decode(RingFrame(frame_of(packet), OUTGOING, time=1234.5))
    assert ends(block) == FlowEnds(protocol, packed(low), 40000, packed(high), 443, 7)
    assert block.packets.lengths.tolist() == [length]
    assert block.packets.counts.tolist() == [1]
    assert block.packets.reverse.tolist() == [False]
    assert block.packets.times.tolist() == [1234.5]
    assert block.packets.events[0] & A_IS_LOCAL


def test_both_directions_share_a_key() -> None:
    there = IP(src=LOW, dst=HIGH) / TCP(sport=40000, dport=443, flags="S")
    back = IP(src=HIGH, dst=LOW) / TCP(sport=443, dport=40000, flags="SA")
    block = decode(RingFrame(frame_of(there), OUTGOING), RingFrame(frame_of(back), HOST))
    assert ends(block, 0) == ends(block, 1)
    assert block.packets.reverse.tolist() == [False, True]
    # The answer says as well who the client is, and that A is this machine.
    assert block.packets.events.tolist() == [A_IS_CLIENT | SYN | A_IS_LOCAL, A_IS_CLIENT | A_IS_LOCAL]


def test_a_server_sees_the_other_end_as_client() -> None:
    syn = IP(src=HIGH, dst=LOW) / TCP(sport=50000, dport=22, flags="S")
    fin = IP(src=LOW, dst=HIGH) / TCP(sport=22, dport=50000, flags="FA")
    block = decode(RingFrame(frame_of(syn), HOST), RingFrame(frame_of(fin), OUTGOING))
    assert block.packets.events.tolist() == [B_IS_CLIENT | SYN | A_IS_LOCAL, CLOSED | A_IS_LOCAL]


def test_loopback_knows_no_direction() -> None:
    packet = IP(src="127.0.0.1", dst="127.0.0.1") / UDP(sport=40000, dport=53)
    block = decode(RingFrame(frame_of(packet), HOST), directed=False)
    assert not block.packets.events[0] & (A_IS_LOCAL | B_IS_LOCAL)


def test_ethernet_padding_is_not_counted() -> None:
    frame = frame_of(IP(src=LOW, dst=HIGH) / TCP(sport=1, dport=2)).ljust(60, b"\0")
    assert decode(RingFrame(frame)).packets.lengths.tolist() == [40]


def test_the_ring_keeps_the_beginning_the_count_is_of_the_whole() -> None:
    frame = frame_of(IP(src=LOW, dst=HIGH) / UDP(sport=1, dport=2) / Raw(b"x" * 1400))
    assert decode(RingFrame(frame)).packets.lengths.tolist() == [1428]


@pytest.mark.parametrize(("payload", "segments"), [(65_000, 45), (1448 * 3, 3), (1448 * 3 + 1, 4), (1448, 1), (0, 1)])
def test_offloaded_segments_count_as_on_the_wire(payload: int, segments: int) -> None:
    packet = IP(src=LOW, dst=HIGH) / TCP(sport=1, dport=2, options=[("Timestamp", (1, 2)), ("NOP", 0), ("NOP", 0)])
    frame = frame_of(packet / Raw(b"x" * payload))
    block = decode(RingFrame(frame, OUTGOING, gso_size=1448))
    assert block.packets.counts.tolist() == [segments]
    assert block.packets.lengths.tolist() == [payload + segments * 52]


def test_a_super_packet_above_64_kib_has_no_length_of_its_own() -> None:
    # BIG TCP leaves the IP header's length 0; the frame's length is all there is.
    frame = bytearray(frame_of(IPv6(src=LOW6, dst=HIGH6) / TCP(sport=1, dport=2)))
    frame[18:20] = b"\0\0"
    block = decode(RingFrame(bytes(frame), OUTGOING, length=14 + 60 + 140_000, gso_size=1400))
    assert block.packets.counts.tolist() == [100]
    assert block.packets.lengths.tolist() == [140_000 + 100 * 60]


def test_udp_segmentation() -> None:
    frame = frame_of(IP(src=LOW, dst=HIGH) / UDP(sport=1, dport=443) / Raw(b"x" * 3000))
    block = decode(RingFrame(frame, OUTGOING, gso_size=1200, gso_type=5))
    assert (block.packets.counts.tolist(), block.packets.lengths.tolist()) == ([3], [3000 + 3 * 28])


def test_odd_packets_go_through_the_dissector() -> None:
    tagged = bytes(ETHER / Dot1Q(vlan=5) / IP(src=LOW, dst=HIGH) / UDP(sport=9, dport=53) / Raw(b"abc"))
    options = frame_of(IPv6(src=LOW6, dst=HIGH6) / IPv6ExtHdrDestOpt() / TCP(sport=8, dport=80))
    ping = frame_of(IP(src=LOW, dst=HIGH) / ICMP())
    first, second = (
        frame_of(part) for part in fragment(IP(src=LOW, dst=HIGH) / UDP(sport=7, dport=6) / Raw(b"x" * 1200), 800)
    )
    block = decode(*(RingFrame(frame, HOST) for frame in (tagged, options, ping, first, second)))
    assert [ends(block, row) for row in range(5)] == [
        FlowEnds(17, packed(LOW), 9, packed(HIGH), 53, 7),
        FlowEnds(6, packed(LOW6), 8, packed(HIGH6), 80, 7),
        FlowEnds(1, packed(LOW), 0, packed(HIGH), 0, 7),
        FlowEnds(17, packed(LOW), 7, packed(HIGH), 6, 7),
        FlowEnds(17, packed(LOW), 7, packed(HIGH), 6, 7),
    ]
    # The tag is link header: not among the L3 bytes.
    assert block.packets.lengths.tolist() == [31, 68, 28, 820, 428]


def test_what_is_no_ip_and_what_is_for_others_is_summed_up() -> None:
    arp = frame_of(ARP())
    ours = frame_of(IP(src=LOW, dst=HIGH) / UDP(sport=1, dport=2))
    block = decode(RingFrame(arp, HOST), RingFrame(arp, OUTGOING), RingFrame(arp, OUTGOING), RingFrame(ours, OTHERHOST))
    assert not len(block.packets.times)
    assert block.odd.not_ip_bytes == (28, 56)
    assert block.odd.not_ip_packets == (1, 2)
    assert (block.odd.other_bytes, block.odd.other_packets) == (28, 1)


def test_an_empty_block() -> None:
    assert len(decode().packets.times) == 0


def test_frames_cut_anywhere_and_broken_anywhere_never_raise() -> None:
    whole = [
        frame_of(IP(src=LOW, dst=HIGH) / TCP(sport=1, dport=2) / Raw(b"abc")),
        frame_of(IPv6(src=LOW6, dst=HIGH6) / UDP(sport=1, dport=2) / Raw(b"abc")),
        bytes(ETHER / Dot1Q(vlan=5) / IPv6(src=LOW6, dst=HIGH6) / IPv6ExtHdrDestOpt() / TCP()),
        frame_of(ARP()),
    ]

    @settings(max_examples=300, deadline=None)
    @given(
        st.lists(st.tuples(st.sampled_from(whole), st.integers(0, 90), st.randoms(use_true_random=False)), max_size=6)
    )
    def decodes(mutations: list[tuple[bytes, int, random.Random]]) -> None:
        frames = []
        for frame, keep, dice in mutations:
            broken = bytearray(frame)
            for _ in range(dice.randrange(4)):
                broken[dice.randrange(len(broken))] = dice.randrange(256)
            frames.append(
                RingFrame(
                    bytes(broken[:keep]),
                    dice.randrange(5),
                    gso_size=dice.choice((0, 0, 1448)),
                    length=len(frame),
                    protocol=int.from_bytes(broken[12:14], "big"),
                )
            )
        block = decode(*frames)
        packets = len(block.packets.times) + sum(block.odd.not_ip_packets) + block.odd.other_packets
        assert packets == len(frames)
        assert (block.packets.lengths >= 0).all()
        assert (block.packets.counts >= 1).all()

    decodes()


ADDRESSES = st.sampled_from([(LOW, HIGH), (HIGH, LOW), (LOW6, HIGH6), (HIGH6, LOW6), (LOW, LOW), (LOW6, LOW6)])
PORTS = st.integers(0, 65_535)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(ADDRESSES, st.sampled_from((TCP, UDP)), PORTS, PORTS, st.integers(0, 60)), min_size=1, max_size=8
    )
)
def test_vectors_and_dissector_agree(flows: list[tuple[tuple[str, str], type[ScapyPacket], int, int, int]]) -> None:
    frames = []
    for (src, dst), layer, sport, dport, size in flows:
        network = (IPv6 if ":" in src else IP)(src=src, dst=dst)
        frames.append(frame_of(network / layer(sport=sport, dport=dport) / Raw(b"x" * size)))
    block = decode(*(RingFrame(frame, OUTGOING, time=float(n)) for n, frame in enumerate(frames)))
    for row, frame in enumerate(frames):
        packet = dissect(ETHERNET, frame)
        assert packet is not None
        words, reverse = key_words(packet.protocol, packet.src, packet.src_port, packet.dst, packet.dst_port, 7)
        assert tuple(block.packets.words[row].tolist()) == words
        assert bool(block.packets.reverse[row]) == reverse
        assert int(block.packets.lengths[row]) == packet.length

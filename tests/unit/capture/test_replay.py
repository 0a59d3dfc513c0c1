"""Replay: flows of any number and kind, fragments in any order, names before and after their flow."""

from __future__ import annotations

import io
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.dns import DNS, DNSQR, DNSRR
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import CookedLinux, CookedLinuxV2, Dot1Q, Ether
from scapy.packet import Packet, Raw

from netally.capture.flow_table import FlowTable
from netally.capture.replay import CaptureReader, FlowLine, endpoint, read_flows
from tests.captures import BEGIN, SECOND, make_client_hello, make_pcap, make_records

A, B = "192.0.2.1", "198.51.100.2"


def flows_of(data: bytes, *, inner: bool = False) -> tuple[list[FlowLine], CaptureReader]:
    reader = CaptureReader(io.BytesIO(data), inner=inner)
    return read_flows(reader), reader


def raw(*packets: Packet | tuple[int, Packet]) -> bytes:
    """A capture of IP packets, a second apart or at (second, packet)."""
    timed = [packet if isinstance(packet, tuple) else (number, packet) for number, packet in enumerate(packets)]
    frames = [(BEGIN + second * SECOND, bytes(packet), len(bytes(packet))) for second, packet in timed]
    return make_pcap(frames, link_type=101)


def dns_answer(name: str, address: str, *, client: str = A) -> Packet:
    answer = DNS(qr=1, qd=DNSQR(qname=name), an=[DNSRR(rrname=name, type="A", rdata=address, ttl=60)])
    return IP(src="192.0.2.53", dst=client) / UDP(sport=53, dport=3000) / answer


def test_the_first_sender_is_the_source_whoever_opened_the_connection() -> None:
    flows, _ = flows_of(
        raw(
            IP(src=B, dst=A) / TCP(sport=443, dport=5000, flags="SA"),
            IP(src=A, dst=B) / TCP(sport=5000, dport=443, flags="A"),
            IP(src=A, dst=B) / TCP(sport=5000, dport=443, flags="A"),
        )
    )
    assert [(f.src, f.dst, f.c2s_packets, f.s2c_packets) for f in flows] == [(f"{B}:443", f"{A}:5000", 1, 2)]
    assert (flows[0].first_seen, flows[0].last_seen) == (BEGIN / SECOND, BEGIN / SECOND + 2)


def test_a_flow_never_times_out_and_ports_used_again_stay_one_flow() -> None:
    year = 365 * 86_400
    packet = IP(src=A, dst=B) / TCP(sport=5000, dport=443, flags="S")
    closed = IP(src=A, dst=B) / TCP(sport=5000, dport=443, flags="FA")
    flows, _ = flows_of(raw((0, packet), (1, closed), (year, packet)))
    assert [f.c2s_packets for f in flows] == [3]


def test_a_name_stays_when_the_ports_are_used_again() -> None:
    hello = make_records(make_client_hello("first.example"))
    head = IP(src=A, dst=B)
    flows, _ = flows_of(
        raw(
            head / TCP(sport=5000, dport=443, flags="S", seq=0),
            head / TCP(sport=5000, dport=443, flags="PA", seq=1) / hello,
            head / TCP(sport=5000, dport=443, flags="FA", seq=500),
            head / TCP(sport=5000, dport=443, flags="S", seq=9_000),
        )
    )
    assert [(f.domain, f.domain_source) for f in flows] == [("first.example", "tls_sni")]


def test_bytes_are_the_frames_original_lengths() -> None:
    frame = bytes(Ether() / IP(src=A, dst=B) / UDP(sport=1, dport=2) / bytes(1_000))
    flows, _ = flows_of(make_pcap([(BEGIN, frame[:60], len(frame))]))
    assert [f.c2s_bytes for f in flows] == [len(frame)]


def test_dns_names_only_the_client_that_asked_and_only_afterwards() -> None:
    syn = TCP(sport=5000, dport=9_999, flags="S")
    flows, _ = flows_of(
        raw(
            IP(src=A, dst="203.0.113.1") / syn,
            dns_answer("late.example", "203.0.113.1"),
            dns_answer("www.example", "203.0.113.2"),
            IP(src=A, dst="203.0.113.2") / syn,
            IP(src="192.0.2.77", dst="203.0.113.2") / syn,
        )
    )
    named = {f.dst: (f.domain, f.domain_source) for f in flows if f.l4 == "TCP" and f.src.startswith(A)}
    assert named == {"203.0.113.1:9999": (None, "none"), "203.0.113.2:9999": ("www.example", "dns")}
    assert [f.domain for f in flows if f.src.startswith("192.0.2.77")] == [None]


def test_the_name_in_the_connection_beats_the_one_of_dns() -> None:
    hello = make_records(make_client_hello("own.example"))
    flows, _ = flows_of(
        raw(
            dns_answer("shared.example", B),
            IP(src=A, dst=B) / TCP(sport=5000, dport=443, flags="PA", seq=1) / hello,
        )
    )
    assert [f.domain for f in flows if f.l4 == "TCP"] == ["own.example"]


def test_fragments_are_counted_once_in_any_order() -> None:
    pieces = fragment(IP(src=A, dst=B, id=9) / UDP(sport=1, dport=2) / bytes(5_000), 1_000)
    for order in (pieces, pieces[::-1], [*pieces[3:], *pieces[:3]]):
        flows, _ = flows_of(raw(*order))
        assert [(f.src, f.dst, f.c2s_packets) for f in flows] == [(f"{A}:1", f"{B}:2", len(pieces))]


def test_many_fragments_without_a_first_are_counted_in_bounded_memory() -> None:
    piece = fragment(IP(src=A, dst=B, id=0) / UDP(sport=1, dport=2) / bytes(2_000), 1_000)[1]
    data = bytearray(bytes(piece))
    frames = []
    for number in range(6_000):
        data[4:6] = number.to_bytes(2, "big")
        frames.append(bytes(data))
    flows, _ = flows_of(make_pcap(frames, link_type=101))
    assert [(f.src, f.c2s_packets) for f in flows] == [(f"{A}:0", 6_000)]


def test_more_flows_than_live_traffic_may_have_are_all_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FlowTable.__init__, "__defaults__", (100,))
    frames = [bytes(IP(src=A, dst=B) / UDP(sport=port, dport=2)) for port in range(1_000, 1_500)]
    flows, _ = flows_of(make_pcap(frames, link_type=101))
    assert [f.src for f in flows] == [f"{A}:{port}" for port in range(1_000, 1_500)]


def test_what_is_in_no_flow_is_counted() -> None:
    data = make_pcap([bytes(Ether(type=0x0806)) + bytes(28), bytes(Ether() / IPv6() / b"")])
    _, reader = flows_of(data)
    assert (reader.frames, reader.not_ip, reader.unknown_link_types, reader.problem) == (2, 1, set(), "")
    _, reader = flows_of(make_pcap([b"x" * 60], link_type=250))
    assert reader.unknown_link_types == {250}


def test_endpoints() -> None:
    assert endpoint(bytes((192, 0, 2, 1)), 443) == "192.0.2.1:443"
    assert endpoint(bytes.fromhex("20010db8000000000000000000000001"), 0) == "[2001:db8::1]:0"


SEED = raw(
    dns_answer("www.example", B),
    IP(src=A, dst=B) / TCP(sport=5000, dport=443, flags="PA", seq=1) / make_records(make_client_hello("own.example")),
    IP(src=B, dst=A) / IPv6(src="fd00::1", dst="fd00::2") / UDP(sport=53, dport=1) / DNS(qd=DNSQR(qname="x.example")),
    *fragment(IP(src=A, dst=B) / UDP(sport=1, dport=2) / bytes(2_000), 1_000),
)


@given(st.lists(st.tuples(st.integers(24, len(SEED) - 1), st.integers(0, 255)), max_size=10), st.booleans())
def test_mutated_captures_keep_every_ip_frame_in_exactly_one_flow(changes: list[tuple[int, int]], inner: bool) -> None:
    data = bytearray(SEED)
    for place, value in changes:
        data[place] = value
    flows, reader = flows_of(bytes(data), inner=inner)
    assert sum(f.c2s_packets + f.s2c_packets for f in flows) == reader.frames - reader.not_ip


Sent = tuple[int, bool, int, int, int, bool]
"""Protocol, whether IPv6, number of the client, its port, bytes of payload, whether it is an answer."""


@given(
    st.lists(
        st.tuples(
            st.sampled_from([6, 17, 1]),
            st.booleans(),
            st.integers(1, 3),
            st.integers(40_000, 40_002),
            st.integers(0, 700),
            st.booleans(),
        ),
        min_size=1,
        max_size=30,
    ),
    st.sampled_from([1, 12, 101, 113, 276]),
    st.integers(0, 2),
    st.sampled_from([0, 200]),
)
def test_any_mixture_is_counted_as_it_was_sent(sent: list[Sent], link: int, tags: int, mtu: int) -> None:
    """Against a count of what the frames were made from: flows both ways, tags, padding, fragments."""
    frames: list[bytes] = []
    wanted: Counter[tuple[frozenset[str], int, str]] = Counter()
    for protocol, is_six, client, port, size, is_answer in sent:
        ends = (f"fd00::{client}", "fd00::9") if is_six else (f"192.0.2.{client}", "198.51.100.9")
        ports = (0, 0) if protocol == 1 else (port, 443)
        if is_answer:
            ends, ports = ends[::-1], ports[::-1]
        payload: Packet = Raw(bytes(size))
        if protocol == 1:
            payload = ICMPv6EchoRequest(data=bytes(size)) if is_six else ICMP(type=8) / payload
        else:
            payload = (TCP if protocol == 6 else UDP)(sport=ports[0], dport=ports[1]) / payload
        head = IPv6(src=ends[0], dst=ends[1]) if is_six else IP(src=ends[0], dst=ends[1], id=len(frames) + 1)
        pieces = [head / payload] if is_six or not mtu else fragment(head / payload, mtu)
        key = (
            frozenset(
                f"[{end}]:{number}" if is_six else f"{end}:{number}" for end, number in zip(ends, ports, strict=True)
            ),
            (58 if is_six else 1) if protocol == 1 else protocol,
        )
        for piece in pieces:
            frame = _framed(piece, link, tags, is_six=is_six)
            frames.append(frame)
            wanted[*key, "packets"] += 1
            wanted[*key, "bytes"] += len(frame)
    found: Counter[tuple[frozenset[str], int, str]] = Counter()
    flows, reader = flows_of(make_pcap(frames, link_type=link))
    for flow in flows:
        number = {"TCP": 6, "UDP": 17, "ICMP": 1, "ICMPV6": 58}[flow.l4]
        found[frozenset((flow.src, flow.dst)), number, "packets"] += flow.c2s_packets + flow.s2c_packets
        found[frozenset((flow.src, flow.dst)), number, "bytes"] += flow.c2s_bytes + flow.s2c_bytes
    assert found == wanted
    assert (reader.frames, reader.not_ip) == (len(frames), 0)


def _framed(packet: Packet, link: int, tags: int, *, is_six: bool) -> bytes:
    if link in (12, 101):
        return bytes(packet)
    if link == 1:
        head: Packet = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
        for number in range(tags):
            head /= Dot1Q(vlan=number + 1)
        return bytes(head / packet).ljust(60, b"\0")
    cooked = CookedLinux if link == 113 else CookedLinuxV2
    return bytes(cooked(proto=0x86DD if is_six else 0x0800) / packet)


@pytest.mark.parametrize("inner", [False, True])
def test_both_views_of_a_tunnel_count_the_same_bytes(inner: bool) -> None:
    data = raw(IP(src=A, dst=B) / IPv6(src="fd00::1", dst="fd00::2") / UDP(sport=53, dport=1))
    flows, _ = flows_of(data, inner=inner)
    assert [f.l4 for f in flows] == ["UDP" if inner else "41"]
    assert [f.c2s_bytes for f in flows] == [68]

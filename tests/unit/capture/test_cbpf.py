"""Filters of the packet sockets, run by a small machine of the test's own as the kernel would run them."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet as ScapyPacket
from scapy.packet import Raw

from netally.capture import cbpf
from netally.capture.cbpf import FULL, HEADERS, Instruction, accept_all, assemble, names_and_openings

HOST, OTHERHOST, OUTGOING = 0, 3, 4
HELLO = b"\x16\x03\x01\x02\x00\x01" + bytes(400)
SIZES = {0x00: "I", 0x08: "H", 0x10: "B"}


def run(program: bytes, frame: bytes, packet_type: int = HOST) -> int:
    """Bytes the socket gets of a frame (filter.rst)."""
    code = list(struct.iter_unpack("=HBBI", program))
    at, a, x, memory = 0, 0, 0, dict.fromkeys(range(16), 0)

    def load(offset: int, size: str) -> int | None:
        if offset == cbpf.ANCILLARY_PACKET_TYPE:
            return packet_type
        if offset == cbpf.ANCILLARY_PROTOCOL:
            return int.from_bytes(frame[12:14], "big")
        if offset + struct.calcsize(size) > len(frame):
            return None
        return int(struct.unpack_from(f"!{size}", frame, offset)[0])

    while True:
        operation, yes, no, k = code[at]
        at += 1
        if operation == cbpf.RETURN:
            return int(k)
        if operation in (cbpf.LD_WORD, cbpf.LD_HALF, cbpf.LD_BYTE, cbpf.LD_WORD_X, cbpf.LD_HALF_X, cbpf.LD_BYTE_X):
            value = load(k + (x if operation & 0x40 else 0), SIZES[operation & 0x18])
            if value is None:
                return 0
            a = value
        elif operation == cbpf.LD_LENGTH:
            a = len(frame)
        elif operation == cbpf.LDX_CONSTANT:
            x = k
        elif operation == cbpf.LDX_MEMORY:
            x = memory[k]
        elif operation == cbpf.LDX_HEADER_LENGTH:
            value = load(k, "B")
            if value is None:
                return 0
            x = (value & 15) * 4
        elif operation == cbpf.STX:
            memory[k] = x
        elif operation == cbpf.ADD_X:
            a += x
        elif operation == cbpf.AND:
            a &= k
        elif operation == cbpf.SHIFT_RIGHT:
            a >>= k
        elif operation == cbpf.TAX:
            x = a
        else:
            taken = {cbpf.JUMP_EQUAL: a == k, cbpf.JUMP_GREATER: a > k, cbpf.JUMP_SET: bool(a & k)}[operation]
            at += yes if taken else no


def frame_of(packet: ScapyPacket, src: Any = None) -> bytes:
    return bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / packet)


def v4(layer: ScapyPacket) -> bytes:
    return frame_of(IP(src="10.0.0.1", dst="10.0.0.2") / layer)


def v6(layer: ScapyPacket) -> bytes:
    return frame_of(IPv6(src="fd00::1", dst="fd00::2") / layer)


def data(payload: bytes, *, dport: int = 443, flags: str = "PA", options: Any = ()) -> ScapyPacket:
    return TCP(sport=40000, dport=dport, flags=flags, options=list(options)) / Raw(payload)


PROGRAM = names_and_openings()
TIMESTAMPS = [("Timestamp", (1, 2)), ("NOP", None), ("NOP", None)]


@pytest.mark.parametrize("wrap", [v4, v6])
@pytest.mark.parametrize(
    ("layer", "packet_type", "wanted"),
    [
        (UDP(sport=40000, dport=53) / Raw(b"query"), OUTGOING, FULL),
        (UDP(sport=53, dport=40000) / Raw(b"answer"), HOST, FULL),
        (UDP(sport=5353, dport=5353) / Raw(b"mdns"), HOST, FULL),
        (UDP(sport=40000, dport=4444) / Raw(b"\xc0 data"), OUTGOING, 0),
        (UDP(sport=40000, dport=443) / Raw(b"\xc3\0\0\0\1"), OUTGOING, FULL),
        (UDP(sport=40000, dport=443) / Raw(b"\x43short header"), OUTGOING, 0),
        (UDP(sport=53, dport=40000) / Raw(b"answer"), OTHERHOST, 0),
        (TCP(sport=40000, dport=80, flags="S"), OUTGOING, HEADERS),
        (TCP(sport=80, dport=40000, flags="SA"), HOST, 0),
        (TCP(sport=40000, dport=80, flags="A"), OUTGOING, 0),
        (data(HELLO), OUTGOING, FULL),
        (data(HELLO, options=TIMESTAMPS), OUTGOING, FULL),
        (data(HELLO, dport=9443), HOST, FULL),
        (data(b"\x16\x03\x03\x02\x00\x02" + bytes(400)), HOST, 0),
        (data(b"\x17\x03\x03" + bytes(50)), OUTGOING, FULL),
        (data(b"\x17\x03\x03" + bytes(50)), HOST, 0),
        (data(b"\x17\x03\x03" + bytes(50), dport=9443), OUTGOING, 0),
        (data(b"\x17\x03\x03" + bytes(50), flags="A"), OUTGOING, 0),
        (data(b"\x17\x03\x03" + bytes(5000)), OUTGOING, 0),
        (data(b"GET / HTTP/1.1\r\n", dport=8080), HOST, FULL),
        (data(b"GETTER", dport=8080), OUTGOING, 0),
        (data(b"\0\5query", dport=53), OUTGOING, FULL),
    ],
    ids=[
        "DNS query", "DNS answer", "mDNS", "other UDP", "QUIC Initial", "QUIC data", "for another machine", "SYN",
        "SYN-ACK", "bare ACK", "ClientHello", "ClientHello behind options", "ClientHello to any port", "ServerHello",
        "may complete a ClientHello", "incoming data", "data to another port", "data not pushed", "large data", "HTTP",
        "no HTTP", "DNS over TCP",
    ],
)  # fmt: skip
def test_what_the_tap_gets(wrap: Any, layer: ScapyPacket, packet_type: int, wanted: int) -> None:
    assert run(PROGRAM, wrap(layer), packet_type) == wanted


def test_no_ip_later_fragments_and_other_protocols_are_left_out() -> None:
    assert run(PROGRAM, frame_of(ARP())) == 0
    assert run(PROGRAM, v4(ICMP())) == 0
    _, second = fragment(IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=53, dport=53) / Raw(bytes(1200)), 800)
    assert run(PROGRAM, frame_of(second)) == 0


@settings(max_examples=200)
@given(st.binary(max_size=120), st.sampled_from((b"\x08\x00", b"\x86\xdd", b"\x08\x06")), st.integers(0, 4))
def test_any_frame_ends_in_a_verdict(rest: bytes, kind: bytes, packet_type: int) -> None:
    assert run(PROGRAM, bytes(12) + kind + rest, packet_type) in (0, FULL, HEADERS)


def test_the_ring_takes_everything_short() -> None:
    assert run(accept_all(160), b"") == 160


def test_labels() -> None:
    program = [Instruction(cbpf.JUMP, yes="end"), Instruction(cbpf.RETURN, 1), Instruction(cbpf.RETURN, 2, label="end")]
    assert struct.unpack("=HBBI", assemble(program)[:8]) == (cbpf.JUMP, 0, 0, 1)
    with pytest.raises(ValueError, match="no label 'nowhere'"):
        assemble([Instruction(cbpf.JUMP_EQUAL, 1, "nowhere")])
    with pytest.raises(ValueError, match="away"):
        assemble([Instruction(cbpf.RETURN, label="back"), Instruction(cbpf.JUMP_EQUAL, 1, "back")])
    far = [
        Instruction(cbpf.JUMP_EQUAL, 1, "end"),
        *[Instruction(cbpf.TAX)] * 300,
        Instruction(cbpf.RETURN, label="end"),
    ]
    with pytest.raises(ValueError, match="300 instructions away"):
        assemble(far)

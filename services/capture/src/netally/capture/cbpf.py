"""Classic BPF: a label assembler and the programs of the packet sockets (Documentation/networking/filter.rst).

A program decides per packet how many bytes the socket gets; 0 drops the packet.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from typing import Final, NamedTuple

# linux/bpf_common.h: class | size | mode.
LD_WORD: Final = 0x20
LD_HALF: Final = 0x28
LD_BYTE: Final = 0x30
LD_WORD_X: Final = 0x40
LD_HALF_X: Final = 0x48
LD_BYTE_X: Final = 0x50
LD_LENGTH: Final = 0x80
LDX_CONSTANT: Final = 0x01
LDX_MEMORY: Final = 0x61
LDX_HEADER_LENGTH: Final = 0xB1
"""X = 4 * (byte & 15): the length of an IPv4 header."""
STX: Final = 0x03
ADD_X: Final = 0x0C
AND: Final = 0x54
SHIFT_RIGHT: Final = 0x74
TAX: Final = 0x07
JUMP: Final = 0x05
JUMP_EQUAL: Final = 0x15
JUMP_GREATER: Final = 0x25
JUMP_SET: Final = 0x45
RETURN: Final = 0x06

_ANCILLARY: Final = 0xFFFFF000
"""SKF_AD_OFF: loads from here read what the kernel knows of the packet."""
ANCILLARY_PROTOCOL: Final = _ANCILLARY + 0
ANCILLARY_PACKET_TYPE: Final = _ANCILLARY + 4

_SO_ATTACH_FILTER: Final = 26
_OUTGOING: Final = 4
_OTHERHOST: Final = 3

ETHERNET_HEADER: Final = 14
FULL: Final = 17 * 1024
"""Bytes of a packet whose payload is read: above the largest ClientHello that is put together."""
HEADERS: Final = 128
_HTTP_METHODS: Final = (b"GET ", b"POST", b"HEAD", b"PUT ", b"OPTI", b"CONN", b"DELE", b"PATC")


class Instruction(NamedTuple):
    """One instruction; ``yes`` and ``no`` are labels for jumps, empty to go on. ``label`` names this place."""

    code: int
    k: int = 0
    yes: str = ""
    no: str = ""
    label: str = ""


def assemble(program: list[Instruction]) -> bytes:
    """Array of struct sock_filter. ValueError for an unknown or backward label, or one more than 255 away."""
    places = {instruction.label: index for index, instruction in enumerate(program) if instruction.label}

    def distance(index: int, label: str) -> int:
        if not label:
            return 0
        if label not in places:
            raise ValueError(f"no label {label!r}")
        away = places[label] - index - 1
        if not 0 <= away <= 255:
            raise ValueError(f"label {label!r} is {away} instructions away")
        return away

    out = bytearray()
    for index, (code, k, yes, no, _) in enumerate(program):
        if code == JUMP:
            out += struct.pack("=HBBI", code, 0, 0, distance(index, yes))
        else:
            out += struct.pack("=HBBI", code, distance(index, yes), distance(index, no), k)
    return bytes(out)


def attach(sock: socket.socket, program: bytes) -> None:
    """SO_ATTACH_FILTER. Do it before bind: packets between bind and filter would be queued unfiltered."""
    buffer = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: count, padding, pointer.
    sock.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    )


def accept_all(snaplen: int) -> bytes:
    """Every packet, cut to ``snaplen`` bytes."""
    return assemble([Instruction(RETURN, snaplen)])


def names_and_openings(link: int = ETHERNET_HEADER, *, openings: bool = True) -> bytes:
    """DNS, mDNS and LLMNR over UDP, DNS over TCP, TCP SYNs, ClientHellos and the small segments that may complete one,
    HTTP requests, and QUIC packets with a long header to port 443.

    ``link`` is the length of the link header; ``openings`` False leaves the SYNs out. Loads are relative to the frame:
    loads relative to the network header cannot reach payload outside the linear part of a buffer. A load behind the end
    of a packet drops it, which is what segments without payload deserve. A ClientHello above one segment goes on in
    outgoing, pushed, short segments to a TLS port; a stateless filter can tell it no closer.
    """
    i = Instruction
    tcp_ports = [i(LD_HALF_X, link), i(JUMP_EQUAL, 53, "full"), i(LD_HALF_X, link + 2), i(JUMP_EQUAL, 53, "full")]
    return assemble(
        [
            i(LD_WORD, ANCILLARY_PACKET_TYPE),
            i(JUMP_EQUAL, _OTHERHOST, "drop"),
            i(LD_WORD, ANCILLARY_PROTOCOL),
            i(JUMP_EQUAL, 0x0800, "ipv4"),
            i(JUMP_EQUAL, 0x86DD, "", "drop"),
            i(LDX_CONSTANT, 40),
            i(LD_BYTE, link + 6),
            i(JUMP_EQUAL, socket.IPPROTO_TCP, "tcp"),
            i(JUMP_EQUAL, socket.IPPROTO_UDP, "udp", "drop"),
            i(LD_HALF, link + 6, label="ipv4"),
            i(JUMP_SET, 0x1FFF, "drop"),
            i(LDX_HEADER_LENGTH, link),
            i(LD_BYTE, link + 9),
            i(JUMP_EQUAL, socket.IPPROTO_TCP, "tcp"),
            i(JUMP_EQUAL, socket.IPPROTO_UDP, "", "drop"),
            i(LD_HALF_X, link, label="udp"),
            i(JUMP_EQUAL, 53, "full"),
            i(JUMP_EQUAL, 5353, "full"),
            i(JUMP_EQUAL, 5355, "full"),
            i(LD_HALF_X, link + 2),
            i(JUMP_EQUAL, 53, "full"),
            i(JUMP_EQUAL, 5353, "full"),
            i(JUMP_EQUAL, 5355, "full"),
            # QUIC long headers have the two uppermost bits set (RFC 9000 section 17.2).
            i(JUMP_EQUAL, 443, "", "drop"),
            i(LD_BYTE_X, link + 8),
            i(AND, 0xC0),
            i(JUMP_EQUAL, 0xC0, "full", "drop"),
            i(LD_BYTE_X, link + 13, label="tcp"),
            i(AND, 0x12),
            i(JUMP_EQUAL, 0x02, "headers" if openings else "drop"),
            *tcp_ports,
            # M[0] keeps the offset of the TCP header; X becomes that of the payload.
            i(STX, 0),
            i(LD_BYTE_X, link + 12),
            i(SHIFT_RIGHT, 2),
            i(AND, 0x3C),
            i(ADD_X),
            i(TAX),
            i(LD_HALF_X, link),
            i(JUMP_EQUAL, 0x1603, "", "more"),
            i(LD_BYTE_X, link + 5),
            i(JUMP_EQUAL, 1, "full"),
            i(LD_WORD_X, link, label="more"),
            *(i(JUMP_EQUAL, int.from_bytes(method, "big"), "full") for method in _HTTP_METHODS),
            i(LD_WORD, ANCILLARY_PACKET_TYPE),
            i(JUMP_EQUAL, _OUTGOING, "", "drop"),
            i(LD_LENGTH),
            i(JUMP_GREATER, 1600, "drop"),
            i(LDX_MEMORY, 0),
            i(LD_BYTE_X, link + 13),
            i(JUMP_SET, 0x08, "", "drop"),
            i(LD_HALF_X, link + 2),
            i(JUMP_EQUAL, 443, "full"),
            i(JUMP_EQUAL, 8443, "full"),
            i(JUMP_EQUAL, 853, "full", "drop"),
            i(RETURN, FULL, label="full"),
            i(RETURN, HEADERS, label="headers"),
            i(RETURN, 0, label="drop"),
        ]
    )

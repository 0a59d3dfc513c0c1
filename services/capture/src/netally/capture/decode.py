"""A block of a TPACKET_V3 ring in, packets as columns out (packet_mmap.rst, linux/if_packet.h).

TCP and UDP over plain IPv4 and IPv6 are read in vector operations over the whole block; packets with options,
fragments, extension headers or a tag in the data go to the dissector one by one. What is no IP is summed up.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netally.capture.dissector import TCP, UDP, FragmentTable, dissect_ip
from netally.capture.link_layer import ETHERNET, find_network
from netally.capture.packets import (
    A_IS_CLIENT,
    A_IS_LOCAL,
    B_IS_CLIENT,
    B_IS_LOCAL,
    CLOSED,
    SYN,
    TCP_ACK,
    TCP_FIN,
    TCP_RST,
    TCP_SYN,
    Columns,
    ColumnsBuilder,
    join,
    last_word,
)

# struct tpacket_block_desc: version, offset_to_priv, then tpacket_hdr_v1: block_status, num_pkts, offset_to_first_pkt.
BLOCK_HEADER: Final = struct.Struct("=IIIII")
# struct tpacket3_hdr in 32-bit words, then struct sockaddr_ll at byte 48.
_NEXT, _SECONDS, _NANOSECONDS, _CAPTURED, _LENGTH, _STATUS, _MAC_NET = range(7)
_FRAME_WORDS: Final = 16
_LL_PROTOCOL, _LL_HATYPE_PKTTYPE = 12, 14

PACKET_OTHERHOST: Final = 3
PACKET_OUTGOING: Final = 4

VNET_HEADER: Final = 10
"""struct virtio_net_hdr, right before the frame when the socket has PACKET_VNET_HDR."""
_GSO_NONE: Final = 0
_GSO_ECN: Final = 0x80

_IPV4_BE: Final = 0x0800
_IPV6_BE: Final = 0x86DD
_IP_BYTES: Final = 56
"""Read of each IP packet, in whole 8-byte words: IPv6 header (40), TCP ports to flags (14)."""

ETHERNET_HEADER: Final = 14


class Odd(NamedTuple):
    """What a block held besides the packets to count. Each pair is (received, sent)."""

    not_ip_bytes: tuple[int, int]
    not_ip_packets: tuple[int, int]
    other_bytes: int
    """Frames for other machines (promiscuous mode), without their link header."""
    other_packets: int


class Block(NamedTuple):
    packets: Columns
    odd: Odd


def decode_block(
    block: NDArray[np.uint8],
    interface: int,
    fragments: FragmentTable,
    *,
    vnet_header: bool,
    directed: bool,
    link_type: int = ETHERNET,
) -> Block:
    """Packets of one block that the kernel has handed over.

    ``block`` is the block's memory, 8-byte aligned. ``directed`` False (loopback) leaves out which end is this machine.
    Lengths are L3 bytes per wire segment: a segmentation-offload super-packet counts one header for each segment.
    """
    offsets = _walk(block)
    if not len(offsets):
        return Block(ColumnsBuilder().take(), Odd((0, 0), (0, 0), 0, 0))
    words = _rows(block, offsets, _FRAME_WORDS * 4).view(np.uint32)
    mac = (words[:, _MAC_NET] & 0xFFFF).astype(np.int64)
    net = (words[:, _MAC_NET] >> 16).astype(np.int64)
    captured = words[:, _CAPTURED].astype(np.int64)
    length = words[:, _LENGTH].astype(np.int64)
    times = words[:, _SECONDS] + words[:, _NANOSECONDS] * 1e-9
    kind = (words[:, _LL_PROTOCOL] >> 16).astype(np.uint16).byteswap()
    pkttype = (words[:, _LL_HATYPE_PKTTYPE] >> 16).astype(np.uint32) & np.uint32(0xFF)
    outgoing = pkttype == PACKET_OUTGOING

    start = offsets + net
    # So near to the end of the block that headers could not be read in one piece: one by one.
    inside = start <= len(block) - _IP_BYTES
    headers = _rows(block, np.where(inside, start, 0), _IP_BYTES)
    held = captured - (net - mac)
    mine = inside & (pkttype != PACKET_OTHERHOST)
    version, protocol4, protocol6 = headers[:, 0], headers[:, 9], headers[:, 6]
    fragment = headers.view(">u2")[:, 3] & 0x3FFF
    plain4 = (
        mine & (kind == _IPV4_BE) & (version == 0x45) & (fragment == 0)
        & (((protocol4 == TCP) & (held >= 40)) | ((protocol4 == UDP) & (held >= 28)))
    )  # fmt: skip
    plain6 = (
        mine & (kind == _IPV6_BE) & (version >> 4 == 6)
        & (((protocol6 == TCP) & (held >= 60)) | ((protocol6 == UDP) & (held >= 48)))
    )  # fmt: skip
    l3 = length - (net - mac)
    gso_size = _segmentation(block, offsets + mac) if vnet_header else np.zeros_like(l3)

    plain = plain4 | plain6
    chosen = slice(None) if plain.all() else np.flatnonzero(plain)
    packets = _columns(
        headers[chosen], plain6[chosen], l3[chosen], outgoing[chosen], times[chosen], gso_size[chosen],
        interface, directed,
    )  # fmt: skip
    rest = np.flatnonzero(~plain)
    odd, slow = _one_by_one(
        block, rest, offsets, mac, net, captured, l3, outgoing, pkttype, kind, times, gso_size,
        interface, fragments, directed, link_type,
    )  # fmt: skip
    return Block(join(packets, slow.take()) if len(slow) else packets, odd)


def _walk(block: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Offsets of the frames, following tp_next_offset."""
    memory = memoryview(block.data)
    _, _, _, count, offset = BLOCK_HEADER.unpack_from(memory)
    following = memory.cast("I")
    offsets = []
    for _ in range(count):
        offsets.append(offset)
        offset += following[offset >> 2]
    return np.array(offsets, np.int64)


def _rows(block: NDArray[np.uint8], starts: NDArray[np.int64], size: int) -> NDArray[np.uint8]:
    """(n, size): so many bytes from each start, copied row by row, which is many times faster than byte by byte."""
    overlapping = np.lib.stride_tricks.as_strided(block, (len(block) - size + 1, size), (1, 1), writeable=False)
    return overlapping[starts]


def _segmentation(block: NDArray[np.uint8], frames: NDArray[np.int64]) -> NDArray[np.int64]:
    """gso_size from the virtio_net_hdr before each frame, 0 for single segments."""
    header = frames - VNET_HEADER
    kind = block[header + 1] & ~np.uint8(_GSO_ECN)
    if not kind.any():
        return np.zeros(len(frames), np.int64)
    size = block[header + 4].astype(np.int64) | block[header + 5].astype(np.int64) << 8
    return np.where(kind == _GSO_NONE, 0, size)


def _columns(
    headers: NDArray[np.uint8],
    six: NDArray[np.bool_],
    l3: NDArray[np.int64],
    outgoing: NDArray[np.bool_],
    times: NDArray[np.float64],
    gso_size: NDArray[np.int64],
    interface: int,
    directed: bool,
) -> Columns:
    """Packets whose IP headers are plain; ``six`` tells IPv6."""
    halves, fours, eights = headers.view(">u2"), headers.view(">u4"), headers.view(">u8")
    header = np.where(six, 40, 20)
    payload_told = halves[:, 2].astype(np.int64)
    told = np.where(six, np.where(payload_told > 0, payload_told + 40, 0), halves[:, 1])
    protocol = np.where(six, headers[:, 6], headers[:, 9])
    source = np.where(six, eights[:, 1], 0), np.where(six, eights[:, 2], fours[:, 3])
    target = np.where(six, eights[:, 3], 0), np.where(six, eights[:, 4], fours[:, 4])
    ports = np.where(six, fours[:, 10], fours[:, 5]).astype(np.uint64)
    source_port, target_port = ports >> np.uint64(16), ports & np.uint64(0xFFFF)
    is_tcp = protocol == TCP
    tcp_words = np.where(six, headers[:, 52], headers[:, 32]) >> 4
    flags = np.where(is_tcp, np.where(six, headers[:, 53], headers[:, 33]), 0)

    # The IP header tells the length without Ethernet padding; offload leaves it 0 above 64 KiB.
    length = np.where((told > header) & (told < l3), told, l3)
    all_headers = header + np.where(is_tcp, tcp_words.astype(np.int64) * 4, 8)
    segments = np.ones(len(l3), np.int64)
    if gso_size.any():
        payload = np.maximum(length - all_headers, 0)
        segments = np.where((gso_size > 0) & (payload > 0), -(-payload // np.maximum(gso_size, 1)), 1)

    reverse = source[0] > target[0]
    tie = source[0] == target[0]
    reverse |= tie & (source[1] > target[1])
    tie &= source[1] == target[1]
    reverse |= tie & (source_port > target_port)
    words = np.empty((len(l3), 5), np.uint64)
    for column in (0, 1):
        words[:, column] = np.where(reverse, target[column], source[column])
        words[:, column + 2] = np.where(reverse, source[column], target[column])
    a_port, b_port = np.where(reverse, target_port, source_port), np.where(reverse, source_port, target_port)
    words[:, 4] = (
        a_port << np.uint64(48) | b_port << np.uint64(32) | protocol.astype(np.uint64) << np.uint64(24)
        | np.uint64(last_word(0, 0, 0, 4, interface)) | six.astype(np.uint64)
    )  # fmt: skip

    syn, ack = flags & TCP_SYN != 0, flags & TCP_ACK != 0
    events = np.where(syn, np.where(reverse != ack, B_IS_CLIENT, A_IS_CLIENT), 0)
    events |= np.where(syn & ~ack, SYN, 0)
    events |= np.where(flags & (TCP_FIN | TCP_RST) != 0, CLOSED, 0)
    if directed:
        events |= np.where(reverse == outgoing, B_IS_LOCAL, A_IS_LOCAL)
    return Columns(
        words=words,
        reverse=reverse,
        lengths=length + (segments - 1) * all_headers,
        counts=segments,
        events=events.astype(np.uint8),
        times=times,
    )


def _one_by_one(
    block: NDArray[np.uint8],
    rows: NDArray[np.int64],
    offsets: NDArray[np.int64],
    mac: NDArray[np.int64],
    net: NDArray[np.int64],
    captured: NDArray[np.int64],
    l3: NDArray[np.int64],
    outgoing: NDArray[np.bool_],
    pkttype: NDArray[np.uint32],
    kind: NDArray[np.uint16],
    times: NDArray[np.float64],
    gso_size: NDArray[np.int64],
    interface: int,
    fragments: FragmentTable,
    directed: bool,
    link_type: int,
) -> tuple[Odd, ColumnsBuilder]:
    builder = ColumnsBuilder()
    not_ip_bytes, not_ip_packets, other_bytes, other_packets = [0, 0], [0, 0], 0, 0
    for row in rows.tolist():
        if pkttype[row] == PACKET_OTHERHOST:
            other_bytes += int(l3[row])
            other_packets += 1
            continue
        begin = int(offsets[row] + mac[row])
        frame = block[begin : begin + int(captured[row])].tobytes()
        if kind[row] in (_IPV4_BE, _IPV6_BE):
            at = int(net[row] - mac[row])
        else:
            network = find_network(link_type, frame)
            at = -1 if network is None else network.offset
        packet = None if at < 0 else dissect_ip(frame, at)
        sent = bool(outgoing[row])
        if packet is None:
            not_ip_bytes[sent] += int(l3[row])
            not_ip_packets[sent] += 1
            continue
        time = float(times[row])
        fragments.complete(packet, time)
        # A tag in the data is link header, as a tag that the kernel stripped is.
        on_wire = int(l3[row] + net[row] - mac[row]) - at
        length = min(packet.length, on_wire)
        count = 1
        size = int(gso_size[row])
        headers = packet.payload - at
        if size and length > headers:
            count = -(-(length - headers) // size)
            length += (count - 1) * headers
        builder.add(
            packet,
            length=length,
            time=time,
            interface=interface,
            outgoing=sent if directed else None,
            count=count,
        )
    odd = Odd((not_ip_bytes[0], not_ip_bytes[1]), (not_ip_packets[0], not_ip_packets[1]), other_bytes, other_packets)
    return odd, builder

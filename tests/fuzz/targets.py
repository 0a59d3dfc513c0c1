"""What is fuzzed: bytes in, nothing may be raised and what comes out keeps its bounds.

`SEEDS` are whole inputs to begin with, made or taken from tests/data; the corpus found later lies in tests/fuzz/corpus.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from netally.capture import dns, http_host, link_layer, tls
from netally.capture.capture_file import CaptureFile, CaptureFileError
from netally.capture.client_stream import MAX_STREAM, ClientStreams
from netally.capture.dissector import FragmentTable, dissect, dissect_ip
from netally.capture.flow_names import FlowNames
from netally.capture.names import clean_host, clean_name, clean_query
from netally.capture.quic import MAX_HELLO, QuicHellos, crypto_frames
from netally.capture.replay import CaptureReader, read_flows
from tests.captures import make_chlo, make_client_hello, make_crypto_frame, make_initial, make_records
from tests.data.make_captures import QUIC_KEYS

DATA = Path(__file__).parent.parent / "data"
_LINK_TYPES = [*sorted(link_layer._READERS), link_layer.RAW]


def fuzz_capture_file(data: bytes) -> None:
    try:
        file = CaptureFile(io.BytesIO(data))
    except CaptureFileError:
        return
    for frame in file:
        assert 0 <= frame.length < 2**32
    assert isinstance(file.problem, str)


def fuzz_dissector(data: bytes) -> None:
    """First byte: link type; the rest: a frame."""
    if not data:
        return
    frame = data[1:]
    for inner in (False, True):
        packet = dissect(_LINK_TYPES[data[0] % len(_LINK_TYPES)], frame, inner=inner)
        if packet is None:
            continue
        assert 0 <= packet.payload <= packet.payload_end <= len(frame)
        assert len(packet.src) == len(packet.dst) in (4, 16)
        assert 0 <= packet.protocol < 256
        assert 0 <= packet.vlan < 4096
        FragmentTable().complete(packet, 0.0)


def fuzz_ip(data: bytes) -> None:
    packet = dissect_ip(data, inner=True)
    assert packet is None or packet.payload_end <= len(data)


def fuzz_dns(data: bytes) -> None:
    message = dns.parse_message(data)
    if message is not None:
        assert len(message.addresses) <= 128 * 16
        for record in message.addresses:
            assert len(record.address) in (4, 16)
            message.asked_name(record.name)


def fuzz_tls(data: bytes) -> None:
    tls.looks_like_hello(data)
    tls.parse_dtls_hello(data)
    hello = tls.parse_client_hello(data)
    if isinstance(hello, tls.ClientHello) and hello.server_name is not None:
        assert hello.server_name.encode("latin-1") in data.replace(b"\x16", b"") or len(hello.server_name) < len(data)


def fuzz_http(data: bytes) -> None:
    http_host.looks_like_request(data)
    assert len(http_host.parse_request_host(data)) <= 512


def fuzz_quic(data: bytes) -> None:
    """A datagram as it is, and as the inside of an Initial that decrypts."""
    for _, piece in crypto_frames(data):
        assert piece in data
    hellos = QuicHellos()
    sealed = make_initial(QUIC_KEYS, data[:1_100])
    for number, datagram in enumerate((data, sealed, data)):
        hello = hellos.feed("flow", datagram, float(number))
        assert hello is None or len(hello.client_hello) <= MAX_HELLO


def fuzz_names(data: bytes) -> None:
    raw = data.decode("latin-1")
    for name in (clean_name(raw), clean_host(raw), clean_query(raw)):
        assert name is None or (0 < len(name) <= 253 and name == name.lower() and name.isascii())


def fuzz_stream(data: bytes) -> None:
    """Segments: two bytes of sequence number, one of length, the payload."""
    streams: ClientStreams[str] = ClientStreams(limit=4)
    streams.begin("flow", 0, 0.0)
    position = 0
    while position + 3 <= len(data):
        sequence, size = int.from_bytes(data[position : position + 2], "big"), data[position + 2]
        stream = streams.add("flow", sequence - 100, data[position + 3 : position + 3 + size], 0.0)
        assert stream is None or len(stream) <= MAX_STREAM
        if size == 7:
            streams.consume("flow", size)
        position += 3 + size


def fuzz_flow_names(data: bytes) -> None:
    """Packets behind two bytes of length each, as one client's traffic."""
    names = FlowNames()
    position = 0
    while position + 2 <= len(data):
        size = int.from_bytes(data[position : position + 2], "big") % 1_600
        frame = data[position + 2 : position + 2 + size]
        packet = dissect_ip(frame)
        if packet is not None:
            name = names.observe(packet, frame, position / 100)
            assert name is None or 0 < len(name.domain) <= 253
        position += 2 + size


def fuzz_replay(data: bytes) -> None:
    try:
        reader = CaptureReader(io.BytesIO(data), inner=True)
    except CaptureFileError:
        return
    flows = read_flows(reader)
    assert sum(flow.c2s_packets + flow.s2c_packets for flow in flows) == reader.frames - reader.not_ip


def _files() -> list[bytes]:
    return [path.read_bytes() for path in sorted(DATA.glob("*.pcap*"))]


def _frames() -> list[tuple[int, bytes]]:
    return [
        (frame.link_type, frame.data)
        for path in sorted(DATA.glob("*.pcap*"))
        for frame in CaptureFile(io.BytesIO(path.read_bytes()))
    ]


def _datagrams(port: int) -> list[bytes]:
    found = []
    for link_type, frame in _frames():
        packet = dissect(link_type, frame, inner=True)
        if packet is not None and port in (packet.src_port, packet.dst_port):
            found.append(frame[packet.payload : packet.payload_end])
    return found


def _sized(frames: list[bytes]) -> bytes:
    return b"".join(len(frame).to_bytes(2, "big") + frame for frame in frames)


_HELLO = make_client_hello("www.example.org")

TARGETS: dict[str, Callable[[bytes], None]] = {
    "capture_file": fuzz_capture_file,
    "dissector": fuzz_dissector,
    "ip": fuzz_ip,
    "dns": fuzz_dns,
    "tls": fuzz_tls,
    "http": fuzz_http,
    "quic": fuzz_quic,
    "names": fuzz_names,
    "stream": fuzz_stream,
    "flow_names": fuzz_flow_names,
    "replay": fuzz_replay,
}

SEEDS: dict[str, Callable[[], list[bytes]]] = {
    "capture_file": _files,
    "dissector": lambda: [
        bytes((_LINK_TYPES.index(kind),)) + frame for kind, frame in _frames() if kind in _LINK_TYPES
    ],
    "ip": lambda: [frame[14:] for kind, frame in _frames() if kind == 1],
    "dns": lambda: _datagrams(53) + _datagrams(5353),
    "tls": lambda: [make_records(_HELLO), make_records(_HELLO, 20), b"\x16\xfe\xfd" + bytes(10) + _HELLO],
    "http": lambda: _datagrams(80) + _datagrams(8080),
    "quic": lambda: [*_datagrams(443), make_crypto_frame(0, _HELLO), b"\x0d" + bytes(8) + b"Q043" + make_chlo("a.b")],
    "names": lambda: [b"www.example.org", b"*.xn--mnchen-3ya.de", "mü.de".encode(), b"192.0.2.1", b"2001:db8::1"],
    "stream": lambda: [b"\x00\x64\x05hello\x00\x69\x07, world"],
    "flow_names": lambda: [
        _sized([frame[14:] for kind, frame in _frames() if kind == 1][start::4]) for start in range(4)
    ],
    "replay": _files,
}

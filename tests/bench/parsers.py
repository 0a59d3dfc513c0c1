"""The agent's parsers against dpkt and scapy on the same bytes in the same run; and a capture file read to flows.

Each pair takes turns over several rounds and the fastest round counts, so that a busy machine slows both alike. Where
the other library does less (dpkt reads no server name out of a ClientHello, neither decrypts QUIC), the name says what.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Any

import dpkt
from scapy.layers.dns import DNS, DNSQR, DNSRR, dns_compress
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.layers.tls.record import TLS
from scapy.utils import PcapReader

from netally.capture import dns, http_host, quic, tls
from netally.capture.capture_file import CaptureFile
from netally.capture.dissector import dissect, dissect_ip
from netally.capture.flow_names import FlowNames, Name
from netally.capture.replay import CaptureReader, read_flows
from tests.captures import (
    make_client_hello,
    make_crypto_frame,
    make_extension,
    make_initial,
    make_pcap,
    make_records,
)
from tests.data.make_captures import QUIC_KEYS

ROUNDS = 5
SECONDS = 0.15
"""Of one round of one parser."""


def fastest(calls: list[Callable[[], object]]) -> list[float]:
    """Microseconds a call of each, the best of `ROUNDS` rounds in which they take turns."""
    best = [float("inf")] * len(calls)
    for _ in range(ROUNDS):
        for index, call in enumerate(calls):
            count, began = 0, time.process_time()
            while (spent := time.process_time() - began) < SECONDS:
                call()
                count += 1
            best[index] = min(best[index], spent / count * 1e6)
    return best


def compare(name: str, ours: Callable[[], object], **others: Callable[[], object]) -> list[dict[str, Any]]:
    """A line for each other library; ``ratio`` is how many times longer it takes."""
    mine, *theirs = fastest([ours, *others.values()])
    if not others:
        return [{"name": name, "value": round(mine, 1), "unit": "us", "against": "", "ratio": None}]
    return [
        {
            "name": name,
            "value": round(mine, 1),
            "unit": "us",
            "against": f"{library} {spent:.1f} us",
            "ratio": round(spent / mine, 1),
        }
        for library, spent in zip(others, theirs, strict=True)
    ]


def dns_answer() -> bytes:
    records = [
        DNSRR(rrname="www.example.org", type="CNAME", rdata="www.example.org.cdn.example.net", ttl=300),
        DNSRR(rrname="www.example.org.cdn.example.net", type="CNAME", rdata="e1.cdn.example.net", ttl=300),
        *(DNSRR(rrname="e1.cdn.example.net", type="A", rdata=f"192.0.2.{last}", ttl=20) for last in range(1, 5)),
    ]
    return bytes(dns_compress(DNS(qr=1, qd=DNSQR(qname="www.example.org"), an=records)))


def quic_hello(datagrams: list[bytes]) -> object:
    hellos = quic.QuicHellos()
    hello = None
    for datagram in datagrams:
        hello = hellos.feed("flow", datagram, 0.0) or hello
    assert hello is not None
    return tls.parse_hello_body(hello.client_hello[4:], complete=True)


def first_name(packets: list[bytes]) -> Name:
    """Name of a new connection by its first packets, each from the IP header on."""
    names, found = FlowNames(), None
    for packet in packets:
        dissected = dissect_ip(packet)
        assert dissected is not None
        found = names.observe(dissected, packet, 0.0)
    assert found is not None
    return found


async def measure() -> list[dict[str, Any]]:
    frame = bytes(
        Ether() / IP(src="192.0.2.1", dst="198.51.100.2") / TCP(sport=5000, dport=443, flags="PA") / bytes(1_000)
    )
    answer = dns_answer()
    hello = make_client_hello("www.example.org", extensions=[make_extension(51, bytes(1_800))])
    stream = make_records(hello)
    request = b"GET /index.html HTTP/1.1\r\nUser-Agent: bench\r\nAccept: */*\r\nHost: www.example.org\r\n\r\n"
    frames = [make_crypto_frame(1_000, hello[1_000:]), make_crypto_frame(0, hello[:1_000])]
    datagrams = [make_initial(QUIC_KEYS, part, number=number) for number, part in enumerate(frames)]
    file = make_pcap([frame] * 300)

    def scapy_file() -> object:
        reader: Any = PcapReader
        return list(reader(io.BytesIO(file)))

    def scapy_request() -> object:
        from scapy.layers.http import HTTPRequest

        return HTTPRequest(request).Host

    def dpkt_hello() -> object:
        return dpkt.ssl.TLSHandshake(dpkt.ssl.TLSRecord(stream).data).data.extensions

    lines = compare(
        "parse a frame to ports",
        lambda: dissect(1, frame),
        dpkt=lambda: dpkt.ethernet.Ethernet(frame).data.data.sport,
        scapy=lambda: Ether(frame)[TCP].sport,
    )
    lines += compare(
        "parse a DNS answer",
        lambda: dns.parse_message(answer),
        dpkt=lambda: dpkt.dns.DNS(answer).an,
        scapy=lambda: DNS(answer).an,
    )
    lines += compare(
        "parse a ClientHello to its name",
        lambda: tls.parse_client_hello(stream),
        dpkt=dpkt_hello,
        scapy=lambda: TLS(stream).msg,
    )
    lines += compare(
        "parse an HTTP request to its host",
        lambda: http_host.parse_request_host(request),
        dpkt=lambda: dpkt.http.Request(request).headers["host"],
        scapy=scapy_request,
    )
    lines += compare("QUIC connection, two Initials to the name", lambda: quic_hello(datagrams))
    # As the agent's tap hands them over: headers, streams, names and all.
    segments = [bytes(IP(src="192.0.2.1", dst="198.51.100.2") / TCP(sport=5000, dport=443, flags="S", seq=99))]
    segments += [
        bytes(
            IP(src="192.0.2.1", dst="198.51.100.2")
            / TCP(sport=5000, dport=443, flags="PA", seq=100 + start)
            / stream[start : start + 1_400]
        )
        for start in range(0, len(stream), 1_400)
    ]
    initials = [
        bytes(IP(src="192.0.2.1", dst="198.51.100.2") / UDP(sport=5000, dport=443) / part) for part in datagrams
    ]
    lines += compare("TLS connection, SYN and two segments to the name", lambda: first_name(segments))
    lines += compare("QUIC connection, two packets to the name", lambda: first_name(initials))
    lines += compare(
        "read 300 frames of a capture file",
        lambda: list(CaptureFile(io.BytesIO(file))),
        dpkt=lambda: list(dpkt.pcap.Reader(io.BytesIO(file))),
        scapy=scapy_file,
    )
    lines += compare("replay 300 frames of a capture to flows", lambda: read_flows(CaptureReader(io.BytesIO(file))))
    return lines

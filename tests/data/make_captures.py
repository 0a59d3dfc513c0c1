"""Writes the captures beside this file, and what their flows must be: ``python -m tests.data.make_captures``.

Each flow is written down as it is made, never read back: `Capture.add` counts a frame for the flow it was made for.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from scapy.contrib.gtp import GTP_U_Header
from scapy.layers.dns import DNS, DNSQR, DNSRR
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, fragment6
from scapy.layers.l2 import ARP, GRE, CookedLinux, CookedLinuxV2, Dot1AD, Dot1Q, Ether
from scapy.layers.ppp import PPPoE
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet

from tests.captures import (
    BEGIN,
    SECOND,
    make_chlo,
    make_client_hello,
    make_crypto_frame,
    make_extension,
    make_initial,
    make_interface,
    make_packet_block,
    make_pcap,
    make_records,
    make_section,
)

HERE = Path(__file__).parent
CLIENT, SERVER = "192.0.2.10", "198.51.100.20"
CLIENT6, SERVER6 = "2001:db8::10", "2001:db8:ffff::20"
OUT = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
BACK = Ether(src="02:00:00:00:00:02", dst="02:00:00:00:00:01")
# RFC 9001 appendix A.1, written out: nothing here comes from the code under test.
QUIC_KEYS = (
    bytes.fromhex("1f369613dd76d5467730efcbe3b1a22d"),
    bytes.fromhex("fa044b2f42a3fd3b46fb255c"),
    bytes.fromhex("9f50449e04a0e810283a1e9933adedd2"),
)
QUIC_V2_KEYS = (
    bytes.fromhex("8b1a0bc121284290a29e0971b5cd045d"),
    bytes.fromhex("91f73e2351d8fa91660e909f"),
    bytes.fromhex("45b95e15235d6f45a6b19cbcb0294ba9"),
)


class Capture:
    """Frames of one file and the flows they were made for."""

    def __init__(self, link_type: int = 1) -> None:
        self.link_type = link_type
        self.frames: list[bytes] = []
        self.flows: dict[str, dict[str, Any]] = {}

    def flow(self, name: str, src: str, dst: str, l4: str, domain: str | None = None, source: str = "none") -> None:
        self.flows[name] = {
            "src": src, "dst": dst, "l4": l4, "c2s_packets": 0, "c2s_bytes": 0, "s2c_packets": 0, "s2c_bytes": 0,
            "domain": domain, "domain_source": source,
        }  # fmt: skip

    def add(self, frame: Packet | bytes, flow: str | None, *, answer: bool = False) -> None:
        data = bytes(frame)
        self.frames.append(data)
        if flow is not None:
            side = "s2c" if answer else "c2s"
            self.flows[flow][f"{side}_packets"] += 1
            self.flows[flow][f"{side}_bytes"] += len(data)


def tcp(client_port: int, server_port: int, payload: bytes = b"", *, answer: bool = False, **fields: Any) -> Packet:
    if answer:
        return BACK / IP(src=SERVER, dst=CLIENT) / TCP(sport=server_port, dport=client_port, **fields) / payload
    return OUT / IP(src=CLIENT, dst=SERVER) / TCP(sport=client_port, dport=server_port, **fields) / payload


def udp(client_port: int, server_port: int, payload: bytes | Packet, *, answer: bool = False) -> Packet:
    if answer:
        return BACK / IP(src=SERVER, dst=CLIENT) / UDP(sport=server_port, dport=client_port) / payload
    return OUT / IP(src=CLIENT, dst=SERVER) / UDP(sport=client_port, dport=server_port) / payload


def tls_split() -> Capture:
    """A ClientHello over three segments, the last sent first; the one in the middle sent twice."""
    capture = Capture()
    capture.flow("tls", f"{CLIENT}:40000", f"{SERVER}:443", "TCP", "split.example", "tls_sni")
    hello = make_records(make_client_hello("Split.Example", extensions=[make_extension(21, bytes(1_500))]))
    capture.add(tcp(40000, 443, flags="S", seq=99), "tls")
    capture.add(tcp(40000, 443, flags="SA", seq=500, ack=100, answer=True), "tls", answer=True)
    for start, end in ((1_400, len(hello)), (700, 1_400), (700, 1_400), (0, 700)):
        capture.add(tcp(40000, 443, hello[start:end], flags="PA", seq=100 + start, ack=501), "tls")
    capture.add(tcp(40000, 443, b"x" * 900, flags="PA", seq=501, ack=100, answer=True), "tls", answer=True)
    return capture


def http_and_late_tls() -> Capture:
    """HTTP without a handshake, its Host in the second segment; TLS behind STARTTLS; a request naming an address."""
    capture = Capture()
    capture.flow("http", f"{CLIENT}:40001", f"{SERVER}:8080", "TCP", "web.example", "http")
    request = b"GET /a HTTP/1.1\r\nCookie: " + b"c" * 1_400 + b"\r\nHost: web.example:8080\r\n\r\n"
    capture.add(tcp(40001, 8080, request[:1_000], flags="PA", seq=10), "http")
    capture.add(tcp(40001, 8080, request[1_000:], flags="PA", seq=1_010), "http")
    capture.add(tcp(40001, 8080, b"HTTP/1.1 200 OK\r\n\r\n", flags="PA", answer=True), "http", answer=True)
    capture.flow("smtp", f"{CLIENT}:40002", f"{SERVER}:587", "TCP", "mail.example", "tls_sni")
    capture.add(tcp(40002, 587, flags="S", seq=0), "smtp")
    capture.add(tcp(40002, 587, b"EHLO me\r\n", flags="PA", seq=1), "smtp")
    capture.add(tcp(40002, 587, make_records(make_client_hello("mail.example")), flags="PA", seq=10), "smtp")
    capture.flow("literal", f"{CLIENT}:40003", f"{SERVER}:80", "TCP", SERVER, "http")
    capture.add(tcp(40003, 80, f"GET / HTTP/1.1\r\nHost: {SERVER}\r\n\r\n".encode(), flags="PA"), "literal")
    return capture


def quic_versions() -> Capture:
    """QUIC 1 in two datagrams with shuffled pieces, QUIC 2, gQUIC; an answer that cannot be read."""
    capture = Capture()
    capture.flow("quic 1", f"{CLIENT}:50001", f"{SERVER}:443", "UDP", "quic.example", "quic_sni")
    hello = make_client_hello("quic.example", extensions=[make_extension(0x4469, bytes(1_300))])
    pieces = [(1_200, len(hello)), (0, 300), (900, 1_200), (300, 900)]
    frames = [make_crypto_frame(a, hello[a:b]) for a, b in pieces]
    capture.add(udp(50001, 443, make_initial(QUIC_KEYS, frames[0] + b"\1" + frames[1], number=0)), "quic 1")
    capture.add(udp(50001, 443, make_initial(QUIC_KEYS, frames[2] + bytes(5) + frames[3], number=1)), "quic 1")
    answer = make_initial(QUIC_KEYS, b"", connection_id=b"server", number=0)
    capture.add(udp(50001, 443, answer, answer=True), "quic 1", answer=True)
    capture.flow("quic 2", f"{CLIENT}:50002", f"{SERVER}:443", "UDP", "two.example", "quic_sni")
    second = make_initial(
        QUIC_V2_KEYS, make_crypto_frame(0, make_client_hello("two.example")), version=0x6B3343CF, kind=1
    )
    capture.add(udp(50002, 443, second), "quic 2")
    capture.flow("gquic", f"{CLIENT}:50003", f"{SERVER}:443", "UDP", "google.example", "quic_sni")
    capture.add(udp(50003, 443, b"\x0d" + bytes(8) + b"Q043\x01" + bytes(12) + make_chlo("google.example")), "gquic")
    return capture


def dns_names() -> Capture:
    """An answer with a CNAME chain names a later connection; one over TCP in two segments; mDNS; a reused port."""
    capture = Capture()
    capture.flow("query", f"{CLIENT}:33000", f"{SERVER}:53", "UDP", "www.example.org", "dns_query")
    question = DNSQR(qname="www.example.org")
    capture.add(udp(33000, 53, DNS(id=1, qd=DNSQR(qname="first.example"))), "query")
    capture.add(udp(33000, 53, DNS(id=2, qd=question)), "query")
    records = [
        DNSRR(rrname="www.example.org", type="CNAME", rdata="cdn.example.net", ttl=60),
        DNSRR(rrname="cdn.example.net", type="A", rdata="203.0.113.5", ttl=60),
    ]
    capture.add(udp(33000, 53, DNS(id=2, qr=1, qd=question, an=records), answer=True), "query", answer=True)
    capture.flow("named", f"{CLIENT}:41000", "203.0.113.5:9000", "TCP", "www.example.org", "dns")
    capture.add(OUT / IP(src=CLIENT, dst="203.0.113.5") / TCP(sport=41000, dport=9000, flags="S"), "named")
    capture.flow("stranger", "192.0.2.99:41000", "203.0.113.5:9000", "TCP")
    capture.add(OUT / IP(src="192.0.2.99", dst="203.0.113.5") / TCP(sport=41000, dport=9000, flags="S"), "stranger")
    capture.flow("over tcp", f"{CLIENT}:33001", f"{SERVER}:53", "TCP", "big.example", "dns_query")
    message = bytes(DNS(id=3, qd=DNSQR(qname="big.example", qtype="TXT")))
    message = struct.pack("!H", len(message)) + message
    capture.add(tcp(33001, 53, flags="S", seq=0), "over tcp")
    capture.add(tcp(33001, 53, message[:20], flags="PA", seq=1), "over tcp")
    capture.add(tcp(33001, 53, message[20:], flags="PA", seq=21), "over tcp")
    capture.flow("mdns", "192.0.2.10:5353", "224.0.0.251:5353", "UDP", "_ipp._tcp.local", "dns_query")
    announcement = DNS(qr=1, qd=[], an=[DNSRR(rrname="_ipp._tcp.local", type="PTR", rdata="printer._ipp._tcp.local")])
    capture.add(OUT / IP(src=CLIENT, dst="224.0.0.251") / UDP(sport=5353, dport=5353) / announcement, "mdns")
    return capture


def fragments() -> Capture:
    """IPv4 fragments with a later one first, IPv6 fragments, and one whose first is missing."""
    capture = Capture()
    capture.flow("v4", f"{CLIENT}:6000", f"{SERVER}:6001", "UDP")
    pieces = fragment(IP(src=CLIENT, dst=SERVER, id=77) / UDP(sport=6000, dport=6001) / bytes(3_500), 1_000)
    for piece in [*pieces[2:], *pieces[:2]]:
        capture.add(OUT / piece, "v4")
    capture.flow("v6", f"[{CLIENT6}]:6002", f"[{SERVER6}]:6003", "TCP")
    whole = IPv6(src=CLIENT6, dst=SERVER6) / IPv6ExtHdrFragment(id=5) / TCP(sport=6002, dport=6003) / bytes(2_500)
    for piece in fragment6(whole, 1_280):
        capture.add(OUT / piece, "v6")
    capture.flow("orphan", f"{CLIENT}:0", f"{SERVER}:0", "UDP")
    capture.add(OUT / fragment(IP(src=CLIENT, dst=SERVER, id=78) / UDP() / bytes(1_500), 1_000)[1], "orphan")
    return capture


def ethernet_kinds() -> Capture:
    """VLAN, QinQ, PPPoE, IPv6 with extension headers, protocols without ports, and frames that are no IP."""
    capture = Capture()
    datagram = IP(src=CLIENT, dst=SERVER) / UDP(sport=7000, dport=7001) / b"abc"
    capture.flow("plain", f"{CLIENT}:7000", f"{SERVER}:7001", "UDP")
    capture.add(bytes(OUT / datagram) + bytes(20), "plain")
    capture.flow("vlan 5", f"{CLIENT}:7000", f"{SERVER}:7001", "UDP")
    capture.add(OUT / Dot1Q(vlan=5) / datagram, "vlan 5")
    capture.add(OUT / Dot1AD(vlan=9) / Dot1Q(vlan=5) / datagram, "vlan 5")
    capture.flow("pppoe", f"{CLIENT}:7002", f"{SERVER}:7003", "TCP")
    inner = IP(src=CLIENT, dst=SERVER) / TCP(sport=7002, dport=7003)
    capture.add(OUT / PPPoE(sessionid=1, len=len(inner) + 2) / b"\x00\x21" / inner, "pppoe")
    capture.flow("ping 6", f"[{CLIENT6}]:0", f"[{SERVER6}]:0", "ICMPV6")
    capture.add(OUT / IPv6(src=CLIENT6, dst=SERVER6) / IPv6ExtHdrHopByHop() / ICMPv6EchoRequest(), "ping 6")
    capture.flow("ping", f"{CLIENT}:0", f"{SERVER}:0", "ICMP")
    capture.add(OUT / IP(src=CLIENT, dst=SERVER) / ICMP(), "ping")
    capture.add(BACK / IP(src=SERVER, dst=CLIENT) / ICMP(type=0), "ping", answer=True)
    capture.flow("igmp", f"{CLIENT}:0", "224.0.0.22:0", "IGMP")
    capture.add(OUT / IP(src=CLIENT, dst="224.0.0.22", proto=2) / bytes(8), "igmp")
    capture.flow("sctp", f"{CLIENT}:0", f"{SERVER}:0", "132")
    capture.add(OUT / IP(src=CLIENT, dst=SERVER, proto=132) / bytes(16), "sctp")
    capture.add(OUT / ARP(), None)
    capture.add(bytes(12) + b"\x00\x26\x42\x42\x03" + bytes(35), None)
    return capture


def tunnels(*, inner: bool) -> Capture:
    """One packet in each kind of tunnel: flows of the tunnels, or of what they carry."""
    capture = Capture()
    carried = IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=4000, dport=443, flags="PA")
    carried6 = IPv6(src="fd00::1", dst="fd00::2") / UDP(sport=5000, dport=5001)
    ip, ip6 = IP(src=CLIENT, dst=SERVER), IPv6(src=CLIENT6, dst=SERVER6)
    wifi = struct.pack("!II", 2 << 19 | 1 << 9 | 0x100, 0) + b"\x01\x08" + bytes(22) + b"\xaa\xaa\x03\0\0\0\x08\x00"
    if inner:
        capture.flow("v4", "10.0.0.1:4000", "10.0.0.2:443", "TCP")
        capture.flow("v6", "[fd00::1]:5000", "[fd00::2]:5001", "UDP")
    cases = [
        (ip, carried, "v4", "4"), (ip, carried6, "v6", "41"), (ip6, carried, "v4", "4"), (ip6, carried6, "v6", "41"),
        (ip, GRE(key_present=1, key=7) / carried, "v4", "47"), (ip6, GRE() / carried6, "v6", "47"),
        (ip, UDP(sport=1, dport=4789) / VXLAN(flags=8, NextProtocol=0, vni=3) / OUT / carried, "v4", "1:4789"),
        (ip, UDP(sport=2, dport=2152) / GTP_U_Header(teid=1, gtp_type=255) / carried6, "v6", "2:2152"),
        (ip6, UDP(sport=3, dport=5247) / (wifi + bytes(carried)), "v4", "3:5247"),
    ]  # fmt: skip
    for network, rest, below, kind in cases:
        flow = below
        if not inner:
            flow = f"{network.src} {kind}"
            ports = kind.split(":") if ":" in kind else ("0", "0")
            hosts = [f"[{host}]" if ":" in host else host for host in (network.src, network.dst)]
            if flow not in capture.flows:
                l4 = "UDP" if ":" in kind else kind
                capture.flow(flow, f"{hosts[0]}:{ports[0]}", f"{hosts[1]}:{ports[1]}", l4)
        capture.add(OUT / network / rest, flow)
    return capture


def one_datagram(link_type: int, head: bytes) -> Capture:
    """One datagram each way behind a link header of a few bytes."""
    capture = Capture(link_type)
    capture.flow("flow", f"{CLIENT}:8000", f"{SERVER}:8001", "UDP")
    capture.add(head + bytes(IP(src=CLIENT, dst=SERVER) / UDP(sport=8000, dport=8001) / b"to"), "flow")
    back = head + bytes(IP(src=SERVER, dst=CLIENT) / UDP(sport=8001, dport=8000) / b"back")
    capture.add(back, "flow", answer=True)
    return capture


CAPTURES = {
    "tls-split": tls_split(),
    "http-and-late-tls": http_and_late_tls(),
    "quic-versions": quic_versions(),
    "dns-names": dns_names(),
    "fragments": fragments(),
    "ethernet-kinds": ethernet_kinds(),
    "tunnels-outer": tunnels(inner=False),
    "tunnels-inner": tunnels(inner=True),
    "link-raw": one_datagram(101, b""),
    "link-null": one_datagram(0, b"\x02\0\0\0"),
    "link-ppp": one_datagram(9, b"\xff\x03\x00\x21"),
    "link-cisco-hdlc": one_datagram(104, b"\x0f\x00\x08\x00"),
    "link-cooked": one_datagram(113, bytes(CookedLinux(proto=0x0800))),
    "link-cooked-2": one_datagram(276, bytes(CookedLinuxV2(proto=0x0800))),
}


def mixed_pcapng() -> tuple[bytes, Capture]:
    """Two interfaces of different link types and time units; a direction of the flow on each."""
    data = make_section(">") + make_interface(1, ">") + make_interface(113, ">", [(9, b"\x09")])
    capture = one_datagram(1, bytes(OUT)[:12] + b"\x08\x00")
    cooked = one_datagram(113, bytes(CookedLinux(proto=0x0800)))
    data += make_packet_block(capture.frames[0], order=">")
    data += make_packet_block(cooked.frames[1], interface=1, stamp=BEGIN + SECOND, order=">")
    capture.flows["flow"]["s2c_bytes"] = cooked.flows["flow"]["s2c_bytes"]
    return data, capture


def main() -> None:
    lines = []
    for name, capture in CAPTURES.items():
        file = f"{name}.pcap"
        nanoseconds = name == "link-raw"
        order = ">" if name in ("link-raw", "link-ppp") else "<"
        data = make_pcap(capture.frames, link_type=capture.link_type, nanoseconds=nanoseconds, order=order)
        (HERE / file).write_bytes(data)
        tunnels_option = "inner" if name == "tunnels-inner" else "outer"
        lines += [{"file": file, "tunnels": tunnels_option, **flow} for flow in capture.flows.values()]
    data, capture = mixed_pcapng()
    (HERE / "mixed.pcapng").write_bytes(data)
    lines += [{"file": "mixed.pcapng", "tunnels": "outer", **flow} for flow in capture.flows.values()]
    (HERE / "truncated.pcap").write_bytes(make_pcap(one_datagram(101, b"").frames, link_type=101)[:-3])
    flow = one_datagram(101, b"").flows["flow"]
    lines.append({"file": "truncated.pcap", "tunnels": "outer", **flow, "s2c_packets": 0, "s2c_bytes": 0})
    (HERE / "truth.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    main()

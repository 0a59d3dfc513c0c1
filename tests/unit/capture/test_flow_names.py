"""Names that packets give their flows: TLS, HTTP, QUIC, DTLS and DNS, in pieces, late, and hidden by ECH."""

from __future__ import annotations

import struct

from scapy.layers.dns import DNS, DNSQR, DNSRR
from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Packet as ScapyPacket

from netally.capture.dissector import dissect_ip
from netally.capture.flow_names import FlowNames, Name
from netally.contracts.codes import DomainSource
from tests.captures import make_client_hello, make_crypto_frame, make_extension, make_initial, make_records
from tests.data.make_captures import QUIC_KEYS

CLIENT, SERVER = "192.0.2.1", "198.51.100.2"
CLIENT_BYTES, SERVER_BYTES = bytes((192, 0, 2, 1)), bytes((198, 51, 100, 2))
HELLO = make_records(make_client_hello("www.example", extensions=[make_extension(51, bytes(1_800))]))


def observe(names: FlowNames, packet: ScapyPacket, time: float = 0.0) -> Name | None:
    frame = bytes(packet)
    dissected = dissect_ip(frame)
    assert dissected is not None
    return names.observe(dissected, frame, time)


def segment(payload: bytes, seq: int = 1, *, flags: str = "PA", dport: int = 443) -> ScapyPacket:
    return IP(src=CLIENT, dst=SERVER) / TCP(sport=5000, dport=dport, flags=flags, seq=seq) / payload


def datagram(payload: bytes | ScapyPacket, *, dport: int = 443) -> ScapyPacket:
    return IP(src=CLIENT, dst=SERVER) / UDP(sport=5000, dport=dport) / payload


def dns_reply(payload: bytes | ScapyPacket) -> ScapyPacket:
    return IP(src=SERVER, dst=CLIENT) / UDP(sport=53, dport=4000) / payload


def test_a_hello_in_segments_out_of_order() -> None:
    names = FlowNames()
    assert observe(names, segment(b"", 0, flags="S")) is None
    assert observe(names, segment(HELLO[1_000:], 1_001)) is None
    assert observe(names, segment(HELLO[:1_000], 1)) == Name("www.example", DomainSource.TLS_SNI)


def test_data_in_the_syn_is_the_beginning() -> None:
    names = FlowNames()
    assert observe(names, segment(HELLO[:500], 0, flags="S")) is None
    assert observe(names, segment(HELLO[500:], 501)) == Name("www.example", DomainSource.TLS_SNI)


def test_a_request_long_after_the_handshake() -> None:
    names = FlowNames()
    observe(names, segment(b"", 0, flags="S"), 0.0)
    request = b"GET / HTTP/1.1\r\nHost: slow.example\r\n\r\n"
    assert observe(names, segment(request, 1), 60.0) == Name("slow.example", DomainSource.HTTP)


def test_a_hello_behind_a_proxys_answer() -> None:
    names = FlowNames()
    observe(names, segment(b"", 0, flags="S"))
    connect = b"CONNECT www.example:443 HTTP/1.1\r\nHost: www.example:443\r\n\r\n"
    assert observe(names, segment(connect, 1)) == Name("www.example", DomainSource.HTTP)
    assert observe(names, segment(HELLO, 1 + len(connect))) == Name("www.example", DomainSource.TLS_SNI)


def test_quic_over_two_datagrams_and_dtls() -> None:
    names = FlowNames()
    hello = make_client_hello("q.example", extensions=[make_extension(51, bytes(1_300))])
    frames = [make_crypto_frame(0, hello[:900]), make_crypto_frame(900, hello[900:])]
    initials = [make_initial(QUIC_KEYS, frame, number=number) for number, frame in enumerate(frames)]
    assert observe(names, datagram(initials[1])) is None
    assert observe(names, datagram(initials[0])) == Name("q.example", DomainSource.QUIC_SNI)
    small = make_client_hello("d.example")
    body = small[4:71] + b"\0" + small[71:]
    message = b"\x01" + len(body).to_bytes(3, "big") + bytes(5) + len(body).to_bytes(3, "big") + body
    record = b"\x16\xfe\xff" + bytes(8) + struct.pack("!H", len(message)) + message
    assert observe(names, datagram(record, dport=4433)) == Name("d.example", DomainSource.TLS_SNI)


def test_dns_names_its_flow_and_the_addresses_it_gives() -> None:
    names = FlowNames()
    query = DNS(qd=DNSQR(qname="www.example"))
    assert observe(names, datagram(query, dport=53)) == Name("www.example", DomainSource.DNS_QUERY)
    empty = DNS(qr=1, qd=DNSQR(qname="www.example"))
    assert observe(names, dns_reply(empty)) == Name("www.example", DomainSource.DNS_QUERY)
    full = DNS(qr=1, qd=DNSQR(qname="www.example"), an=[DNSRR(rrname="www.example", rdata="203.0.113.9", ttl=60)])
    answered = Name("www.example", DomainSource.DNS_QUERY, answered=True)
    assert observe(names, dns_reply(full)) == answered
    assert names.of_address(CLIENT_BYTES, bytes((203, 0, 113, 9)), 30.0) == "www.example"
    assert names.of_address(SERVER_BYTES, bytes((203, 0, 113, 9)), 30.0) is None


def test_the_first_answered_query_names_a_dns_flow() -> None:
    first, second = Name("a.example", DomainSource.DNS_QUERY), Name("b.example", DomainSource.DNS_QUERY, answered=True)
    assert first.beats(None)
    assert second.beats(first)
    assert not first.beats(second)
    assert not Name("c.example", DomainSource.DNS_QUERY, answered=True).beats(second)
    assert Name("d.example", DomainSource.HTTP).beats(second)


def test_dns_over_tcp_with_two_messages_in_three_segments() -> None:
    names = FlowNames()
    both = b""
    for name in ("one.example", "two.example"):
        message = bytes(DNS(qr=1, qd=DNSQR(qname=name), an=[DNSRR(rrname=name, rdata="203.0.113.8", ttl=60)]))
        both += struct.pack("!H", len(message)) + message
    parts = (both[:1], both[1:60], both[60:])
    found, sequence = [], 1
    for part in parts:
        packet = IP(src=SERVER, dst=CLIENT) / TCP(sport=53, dport=4000, flags="PA", seq=sequence) / part
        found.append(observe(names, packet))
        sequence += len(part)
    assert [name.domain if name else None for name in found] == [None, "one.example", "two.example"]
    assert names.of_address(CLIENT_BYTES, bytes((203, 0, 113, 8)), 0.0) == "two.example"


def test_this_machines_addresses_are_one_client() -> None:
    own = {CLIENT_BYTES, bytes((127, 0, 0, 1))}
    names = FlowNames(is_local=own.__contains__)
    reply = DNS(qr=1, qd=DNSQR(qname="www.example"), an=[DNSRR(rrname="www.example", rdata="203.0.113.9", ttl=60)])
    observe(names, IP(src="127.0.0.53", dst="127.0.0.1") / UDP(sport=53, dport=4000) / reply)
    assert names.of_address(CLIENT_BYTES, bytes((203, 0, 113, 9)), 0.0) == "www.example"


def https_reply(public: bytes) -> bytes:
    contents = b"\x07\x00\x20" + struct.pack("!H", 32) + bytes(32) + struct.pack("!H", 4) + b"\0\1\0\1"
    contents += b"\x00" + bytes((len(public),)) + public + b"\0\0"
    config = struct.pack("!HH", 0xFE0D, len(contents)) + contents
    value = struct.pack("!H", len(config)) + config
    data = b"\0\1\0" + struct.pack("!HH", 5, len(value)) + value
    head = struct.pack("!HHHHHH", 1, 0x8180, 1, 1, 0, 0) + b"\x06secret\x07example\0" + struct.pack("!HH", 65, 1)
    return head + b"\xc0\x0c" + struct.pack("!HHIH", 65, 1, 300, len(data)) + data


def test_the_outer_name_of_ech_counts_less_than_what_dns_said() -> None:
    names = FlowNames()
    grease = make_records(make_client_hello("cover.example", behind=[make_extension(0xFE0D, bytes(20))]))
    assert observe(names, segment(grease)) == Name("cover.example", DomainSource.TLS_SNI)
    observe(names, dns_reply(https_reply(b"cover.example")))
    outer = observe(names, segment(grease))
    assert outer == Name("cover.example", DomainSource.ECH_OUTER)
    assert not outer.beats(Name("secret.example", DomainSource.DNS))
    plain = make_records(make_client_hello("cover.example"))
    assert observe(names, segment(plain)) == Name("cover.example", DomainSource.TLS_SNI)


def test_names_that_are_none_are_not_given() -> None:
    names = FlowNames()
    for payload in (
        make_records(make_client_hello(b"bad name\xff")),
        make_records(make_client_hello(None)),
        b"GET / HTTP/1.1\r\nHost: <script>\r\n\r\n",
        b"\x17\x03\x03" + bytes(40),
        b"SSH-2.0-OpenSSH\r\n",
    ):
        assert observe(names, segment(payload)) is None
    assert observe(names, datagram(bytes(40))) is None
    assert observe(names, datagram(b"", dport=53)) is None


def test_a_wrong_name_of_an_address_is_gone_once_forgotten() -> None:
    names = FlowNames()

    def answer(name: str) -> ScapyPacket:
        return dns_reply(DNS(qr=1, qd=DNSQR(qname=name), an=DNSRR(rrname=name, rdata=SERVER, ttl=300)))

    observe(names, answer("wrong.example"))
    assert names.of_address(CLIENT_BYTES, SERVER_BYTES, 1.0) == "wrong.example"
    assert names.forget() == 1
    assert names.of_address(CLIENT_BYTES, SERVER_BYTES, 1.0) is None
    observe(names, answer("right.example"), 2.0)
    assert names.of_address(CLIENT_BYTES, SERVER_BYTES, 3.0) == "right.example"

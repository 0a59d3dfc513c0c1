"""DNS messages: names and addresses as scapy and dpkt read them, chains, HTTPS records, and hostile messages."""

from __future__ import annotations

import ipaddress
import struct

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.dns import DNS, DNSQR, DNSRR, DNSRRHTTPS

from netally.capture.dns import Address, parse_message

QUESTION = DNSQR(qname="www.Example.org")


def answer(*records: DNSRR) -> bytes:
    return bytes(DNS(qr=1, qd=QUESTION, an=list(records)))


def test_a_query() -> None:
    message = parse_message(bytes(DNS(qd=DNSQR(qname="www.Example.org", qtype="AAAA"))))
    assert message is not None
    assert (message.is_response, message.records) == (False, 0)
    assert (message.question, message.question_type) == ("www.Example.org", 28)


def test_addresses_and_the_name_that_was_asked_for_through_a_chain() -> None:
    message = parse_message(
        answer(
            DNSRR(rrname="www.example.org", type="CNAME", rdata="A.cdn.example", ttl=5),
            DNSRR(rrname="a.cdn.example", type="CNAME", rdata="b.cdn.example", ttl=5),
            DNSRR(rrname="b.cdn.example", type="A", rdata="192.0.2.1", ttl=60),
            DNSRR(rrname="b.cdn.example", type="AAAA", rdata="2001:db8::1", ttl=2**31 + 5),
        )
    )
    assert message is not None
    assert message.addresses == [
        Address("b.cdn.example", bytes((192, 0, 2, 1)), 60),
        Address("b.cdn.example", ipaddress.ip_address("2001:db8::1").packed, 0),
    ]
    assert message.asked_name("b.cdn.example") == "www.example.org"
    assert message.asked_name("other.example") == "other.example"


def test_a_chain_in_a_circle_ends() -> None:
    message = parse_message(
        answer(
            DNSRR(rrname="a.example", type="CNAME", rdata="b.example"),
            DNSRR(rrname="b.example", type="CNAME", rdata="a.example"),
            DNSRR(rrname="a.example", type="A", rdata="192.0.2.1"),
        )
    )
    assert message is not None
    assert message.asked_name("a.example") in ("a.example", "b.example")


def service(parameters: bytes, *, priority: int = 1, target: bytes = b"\0") -> bytes:
    """An answer with one HTTPS record of www.example.org, written out."""
    head = struct.pack("!HHHHHH", 1, 0x8180, 1, 1, 0, 0)
    name = b"\x03www\x07example\x03org\x00"
    data = struct.pack("!H", priority) + target + parameters
    return head + name + struct.pack("!HH", 65, 1) + b"\xc0\x0c" + struct.pack("!HHIH", 65, 1, 300, len(data)) + data


def parameter(key: int, value: bytes) -> bytes:
    return struct.pack("!HH", key, len(value)) + value


def ech_list(public_name: bytes, *, version: int = 0xFE0D) -> bytes:
    contents = b"\x07\x00\x20" + struct.pack("!H", 32) + bytes(32) + struct.pack("!H", 4) + b"\0\1\0\1"
    contents += b"\x00" + bytes((len(public_name),)) + public_name + b"\0\0"
    config = struct.pack("!HH", version, len(contents)) + contents
    return struct.pack("!H", len(config)) + config


def test_https_records_hint_addresses_and_name_the_outer_hello() -> None:
    message = parse_message(
        service(
            parameter(1, b"\x02h3")
            + parameter(4, bytes((192, 0, 2, 1, 192, 0, 2, 2)))
            + parameter(5, ech_list(b"other.example", version=0xFE0A)[:-1] + b"\0")
            + parameter(6, ipaddress.ip_address("2001:db8::1").packed)
        )
    )
    assert message is not None
    assert [record.address for record in message.addresses] == [
        bytes((192, 0, 2, 1)),
        bytes((192, 0, 2, 2)),
        ipaddress.ip_address("2001:db8::1").packed,
    ]
    assert message.ech_names == []
    message = parse_message(service(parameter(5, ech_list(b"cover.example"))))
    assert message is not None
    assert message.ech_names == ["cover.example"]


def test_an_https_record_in_alias_mode_is_a_step_of_the_chain() -> None:
    message = parse_message(service(b"", priority=0, target=b"\x03cdn\x07example\x00"))
    assert message is not None
    assert message.asked_name("cdn.example") == "www.example.org"


def test_scapys_https_records() -> None:
    record = DNSRRHTTPS(rrname="www.example.org", svc_priority=1, target_name=".", svc_params=[])
    message = parse_message(bytes(DNS(qr=1, qd=DNSQR(qname="www.example.org", qtype="HTTPS"), an=[record])))
    assert message is not None
    assert (message.question_type, message.addresses, message.ech_names) == (65, [], [])


def test_an_announcement_without_question_has_the_name_of_its_first_record() -> None:
    record = DNSRR(rrname="_ipp._tcp.local", type="PTR", rdata="printer._ipp._tcp.local")
    message = parse_message(bytes(DNS(qr=1, qd=[], an=[record])))
    assert message is not None
    assert message.question == "_ipp._tcp.local"


def test_a_cut_answer_gives_what_came_before() -> None:
    records = [DNSRR(rrname="www.example.org", type="A", rdata=f"192.0.2.{last}") for last in range(1, 5)]
    data = answer(*records)
    message = parse_message(data[:-1])
    assert message is not None
    assert len(message.addresses) == 3


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(11),
        bytes(12),
        struct.pack("!HHHHHH", 1, 0, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1",
        struct.pack("!HHHHHH", 1, 0, 1, 0, 0, 0) + b"\x40" + bytes(80),
        struct.pack("!HHHHHH", 1, 0, 1, 0, 0, 0) + b"\x01a" * 200 + b"\0\0\1\0\1",
        struct.pack("!HHHHHH", 1, 0x1800, 1, 0, 0, 0) + b"\0\0\1\0\1",
    ],
    ids=["empty", "short", "nothing asked", "pointer to itself", "label type", "long name", "unassigned opcode"],
)
def test_what_is_no_query_or_answer(data: bytes) -> None:
    assert parse_message(data) is None


@pytest.mark.parametrize(
    "flags", [0x2400, 0x2800, 0xA400, 0xA800], ids=["notify", "update", "notify answered", "update answered"]
)
def test_messages_about_a_zone_name_it(flags: int) -> None:
    message = parse_message(struct.pack("!HHHHHH", 1, flags, 1, 0, 0, 0) + b"\4zone\7example\0\0\6\0\1")
    assert message is not None
    assert message.question == "zone.example"


def test_pointers_to_pointers_are_bounded() -> None:
    head = struct.pack("!HHHHHH", 1, 0x8000, 1, 1, 0, 0) + b"\x01a\x00\0\1\0\1"
    chain = b"".join(
        struct.pack("!H", 0xC000 | (12 if not index else 12 + 7 + 2 * (index - 1))) for index in range(3_000)
    )
    message = parse_message(head + chain)
    assert message is not None
    assert message.addresses == []


NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,14}[a-z0-9])?(\.[a-z]{1,10}){1,4}", fullmatch=True)


@given(NAMES, st.lists(st.tuples(NAMES, st.ip_addresses(), st.integers(0, 2**31 - 1)), max_size=6))
def test_scapy_and_dpkt_read_the_same(name: str, records: list[tuple[str, object, int]]) -> None:
    kinds = {4: "A", 6: "AAAA"}
    made = [
        DNSRR(rrname=owner, type=kinds[address.version], rdata=str(address), ttl=ttl)  # type: ignore[attr-defined]
        for owner, address, ttl in records
    ]
    data = bytes(DNS(qr=1, qd=DNSQR(qname=name), an=made))
    message = parse_message(data)
    assert message is not None
    assert message.question == name
    assert message.addresses == [Address(o, a.packed, t) for o, a, t in records]  # type: ignore[attr-defined]
    theirs = dpkt.dns.DNS(data)
    assert [(record.name, record.rdata) for record in theirs.an] == [(r.name, r.address) for r in message.addresses]
    assert theirs.qd[0].name == message.question


SEEDS = [
    answer(
        DNSRR(rrname="www.example.org", type="CNAME", rdata="a.b"), DNSRR(rrname="a.b", type="A", rdata="192.0.2.1")
    ),
    service(parameter(4, bytes(8)) + parameter(5, ech_list(b"cover.example"))),
]


@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=6),
    st.integers(0, 200),
)
def test_mutated_messages_never_raise(seed: bytes, changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(seed)
    for place, value in changes:
        data[place % len(data)] = value
    for message in (parse_message(bytes(data)), parse_message(bytes(data[:cut]))):
        if message is not None:
            for record in message.addresses:
                assert len(record.address) in (4, 16)
                message.asked_name(record.name)

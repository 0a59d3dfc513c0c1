"""ClientHellos: the name as soon as it is there, over any records and cuts; DTLS; hostile bytes."""

from __future__ import annotations

import struct

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.tls.extensions import ServerName, TLS_Ext_ServerName
from scapy.layers.tls.handshake import TLSClientHello
from scapy.layers.tls.record import TLS

from netally.capture.tls import (
    MORE,
    NOT_TLS,
    ClientHello,
    looks_like_hello,
    parse_client_hello,
    parse_dtls_hello,
    parse_hello_body,
)
from tests.captures import make_client_hello, make_extension, make_records

NAME = "www.example.org"
HELLO = make_client_hello(NAME, extensions=[make_extension(23, b""), make_extension(51, bytes(1_200))])


@pytest.mark.parametrize("size", [16_384, 700, 100, 5, 1])
def test_a_hello_over_records_of_any_size(size: int) -> None:
    assert parse_client_hello(make_records(HELLO, size)) == ClientHello(NAME, False)


@pytest.mark.parametrize("size", [16_384, 300])
def test_every_cut_waits_for_the_name_and_not_longer(size: int) -> None:
    stream = make_records(make_client_hello(NAME, behind=[make_extension(21, bytes(600))]), size)
    found = [parse_client_hello(stream[:cut]) for cut in range(1, len(stream) + 1)]
    first = next(index for index, hello in enumerate(found) if hello != MORE)
    assert set(found[:first]) == {MORE}
    assert set(found[first:]) == {ClientHello(NAME, False)}
    assert first < stream.index(b"www.example.org") + len(NAME) + 10


def test_without_a_name_and_with_encrypted_client_hello() -> None:
    assert parse_client_hello(make_records(make_client_hello(None))) == ClientHello(None, False)
    hello = make_client_hello(NAME, behind=[make_extension(0xFE0D, bytes(40))])
    assert parse_client_hello(make_records(hello)) == ClientHello(NAME, True)


def test_a_hello_without_extensions() -> None:
    body = b"\x03\x00" + bytes(32) + b"\0" + b"\0\2\0\5" + b"\1\0"
    assert parse_hello_body(body, complete=True) == ClientHello(None, False)


@pytest.mark.parametrize(
    "stream",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x03\x00\x04\x02\0\0\0",  # a ServerHello
        b"\x17\x03\x03\x00\x10" + bytes(16),
        b"\x16\x03\x01\xff\xff\x01\0\0\0",
        b"\x16\x02\x01\x00\x10\x01" + bytes(20),
        make_records(b"\x01\0\0\x05hello"),
    ],
)
def test_what_is_no_client_hello(stream: bytes) -> None:
    assert parse_client_hello(stream) == NOT_TLS


def test_the_first_segment_is_told_by_its_head() -> None:
    assert looks_like_hello(make_records(HELLO)[:6])
    assert not looks_like_hello(make_records(HELLO)[:5])
    assert not looks_like_hello(b"\x16\x03\x03\x00\x04\x02")


def dtls(hello: bytes, *, cookie: bytes = b"", fragment: int | None = None) -> bytes:
    """A DTLS 1.2 record with a ClientHello (or its first ``fragment`` bytes), from a TLS handshake message."""
    body = hello[4:38] + hello[38 : 39 + hello[38]] + bytes((len(cookie),)) + cookie + hello[39 + hello[38] :]
    part = body if fragment is None else body[:fragment]
    message = b"\x01" + len(body).to_bytes(3, "big") + b"\0\0" + bytes(3) + len(part).to_bytes(3, "big") + part
    return b"\x16\xfe\xfd" + bytes(8) + struct.pack("!H", len(message)) + message


def test_dtls() -> None:
    assert parse_dtls_hello(dtls(HELLO)) == ClientHello(NAME, False)
    assert parse_dtls_hello(dtls(HELLO, cookie=bytes(20))) == ClientHello(NAME, False)
    named_first = make_client_hello(NAME, behind=[make_extension(51, bytes(1_500))])
    assert parse_dtls_hello(dtls(named_first, fragment=1_000)) == ClientHello(NAME, False)
    assert parse_dtls_hello(dtls(HELLO, fragment=1_000)) == MORE


@pytest.mark.parametrize("data", [b"", bytes(40), b"\x16\xfe\xfd" + bytes(30), dtls(HELLO)[:20], make_records(HELLO)])
def test_other_udp_is_no_dtls(data: bytes) -> None:
    assert parse_dtls_hello(data) == NOT_TLS


@given(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z]{2,8}){1,3}", fullmatch=True))
def test_scapy_and_dpkt_read_the_same(name: str) -> None:
    theirs = TLS(
        msg=[TLSClientHello(ciphers=[0x1301], ext=[TLS_Ext_ServerName(servernames=[ServerName(servername=name)])])]
    )
    stream = bytes(theirs)
    assert parse_client_hello(stream) == ClientHello(name, False)
    record = dpkt.ssl.TLSRecord(stream)
    hello = dpkt.ssl.TLSHandshake(record.data).data
    assert dict(hello.extensions)[0][5:].decode() == name
    assert TLS(make_records(make_client_hello(name))).msg[0].ext[0].servernames[0].servername == name.encode()


@given(
    st.sampled_from([make_records(HELLO), make_records(HELLO, 40), dtls(HELLO)]),
    st.lists(st.tuples(st.integers(0, 1_400), st.integers(0, 255)), max_size=6),
    st.integers(0, 1_500),
)
def test_mutated_hellos_never_raise(seed: bytes, changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(seed)
    for place, value in changes:
        data[place % len(data)] = value
    for stream in (bytes(data), bytes(data[:cut])):
        for parse in (parse_client_hello, parse_dtls_hello):
            hello = parse(stream)
            assert hello in (MORE, NOT_TLS) or isinstance(hello, ClientHello)

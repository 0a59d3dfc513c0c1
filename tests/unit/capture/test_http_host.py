"""HTTP requests: the host by its field or its target, as soon as it is there and never from what is no request."""

from __future__ import annotations

import string

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netally.capture.http_host import MORE, NOT_HTTP, looks_like_request, parse_request_host

REQUEST = b"GET /index.html HTTP/1.1\r\nUser-Agent: test\r\nHost: www.example.org\r\nCookie: a=b\r\n\r\nbody"


def test_host_field() -> None:
    assert parse_request_host(REQUEST) == "www.example.org"


@pytest.mark.parametrize(
    ("request_bytes", "host"),
    [
        (b"GET / HTTP/1.1\r\nhOST:a.example:8080\r\n\r\n", "a.example"),
        (b"GET / HTTP/1.1\r\nHost: \t a.example \t \r\n\r\n", "a.example"),
        (b"GET / HTTP/1.1\nHost: a.example\n\n", "a.example"),
        (b"GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n", "2001:db8::1"),
        (b"GET / HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n", "192.0.2.1"),
        (b"GET http://u:p@a.example:81/x HTTP/1.0\r\n\r\n", "a.example"),
        (b"CONNECT a.example:443 HTTP/1.1\r\n\r\n", "a.example"),
        (b"VERSION-CONTROL / HTTP/1.1\r\nHost: a.example\r\n\r\n", "a.example"),
        (b"BITS_POST / HTTP/1.1\r\nHost: a.example\r\n\r\n", "a.example"),
        (b"\r\n\r\nGET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "a.example"),
        (b"GET /a blank HTTP/1.1\r\nHost: a.example\r\n\r\n", "a.example"),
        (b"GET / HTTP/1.0\r\n\r\n", ""),
        (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", ""),
        (b"GET / HTTP/1.1\r\nX-Host: no.example\r\n\r\nHost: no.example\r\n", ""),
    ],
)
def test_hosts(request_bytes: bytes, host: str) -> None:
    assert parse_request_host(request_bytes) == host


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HELO mail.example\r\n",
        b"INVITE sip:a@b SIP/2.0\r\nHost: a\r\n\r\n",
        b"RTSP://x RTSP/1.0\r\n",
        b"USER ada\r\n",
        b"GET /\r\n",
        b"GET / HTTP/2x\r\n",
        b"get / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01",
        b"\xff" * 30,
    ],
)
def test_other_protocols(data: bytes) -> None:
    assert parse_request_host(data) == NOT_HTTP


def test_every_cut_waits_until_the_host_is_there() -> None:
    end = REQUEST.index(b"\r\nCookie") + 2
    for cut in range(1, len(REQUEST)):
        assert parse_request_host(REQUEST[:cut]) == (MORE if cut < end else "www.example.org")


def test_a_head_without_end_is_given_up() -> None:
    assert parse_request_host(b"GET / HTTP/1.1\r\nX: " + b"y" * 20_000) == ""
    assert parse_request_host(b"GET /" + b"y" * 20_000) == NOT_HTTP


def test_what_may_begin_a_request() -> None:
    assert looks_like_request(REQUEST)
    assert not looks_like_request(b"HTTP/1.1 200 OK")
    assert not looks_like_request(b"\x16\x03\x01")
    assert not looks_like_request(b"GET")


@given(
    st.sampled_from(["GET", "POST", "OPTIONS", "PUT"]),
    st.text(string.ascii_letters + string.digits + "/?=&%", max_size=40),
    st.lists(st.tuples(st.sampled_from(["accept", "x-a", "cookie"]), st.text("abc=; ", max_size=20)), max_size=5),
    st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z]{2,8}){0,3}", fullmatch=True),
)
def test_dpkt_reads_the_same(method: str, path: str, fields: list[tuple[str, str]], host: str) -> None:
    lines = [f"{method} /{path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields), f"Host: {host}", "", ""]
    data = "\r\n".join(lines).encode()
    assert parse_request_host(data) == dpkt.http.Request(data).headers["host"]


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 255)), max_size=5), st.binary(max_size=60))
def test_mutated_requests_never_raise(changes: list[tuple[int, int]], noise: bytes) -> None:
    data = bytearray(REQUEST + noise)
    for place, value in changes:
        data[place % len(data)] = value
    for stream in (bytes(data), noise, b"GET " + noise):
        host = parse_request_host(stream)
        assert len(host) <= 512

"""Names as they are kept: cleaned, checked, bounded; and who learned which address under which name."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netally.capture.names import GRACE, AddressNames, beats, clean_host, clean_name, clean_query
from netally.contracts.codes import DomainSource

CLIENT, OTHER = b"\x0a\0\0\x01", b"\x0a\0\0\x02"
ADDRESS = bytes((192, 0, 2, 1))


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("WWW.Example.ORG.", "www.example.org"),
        ("localhost", "localhost"),
        ("_ipp._tcp.local", "_ipp._tcp.local"),
        ("*.example.org", "*.example.org"),
        ("xn--mnchen-3ya.de", "xn--mnchen-3ya.de"),
        ("münchen.de".encode().decode("latin-1"), "xn--mnchen-3ya.de"),
        ("MÜNCHEN.de".encode().decode("latin-1"), "xn--mnchen-3ya.de"),
        ("a" * 63 + ".example", "a" * 63 + ".example"),
        ("rack.7", "rack.7"),
    ],
)
def test_names_that_are_kept(raw: str, name: str) -> None:
    assert clean_name(raw) == name
    assert clean_host(raw) == name


@pytest.mark.parametrize(
    "raw",
    ["", ".", "..", "a..b", ".example", "*", "192.0.2.1", "12", "a b.example", "a/b", "a\0b", "<script>.example",
     "a" * 64, "a." * 127 + "aa", "\xff\xfe.example", "a" * 300],
)  # fmt: skip
def test_what_is_no_name(raw: str) -> None:
    assert clean_name(raw) is None


@pytest.mark.parametrize(
    ("raw", "host"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("192.0.2.300", None),
        ("1.2.3", None),
        ("::", "::"),
        (":", None),
        ("web1", "web1"),
    ],
)
def test_hosts_may_be_addresses(raw: str, host: str | None) -> None:
    assert clean_host(raw) == host


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("WWW.Example.", "www.example"),
        ("192.0.2.1", "192.0.2.1"),
        ("Ada's Printer._ipp._tcp.local", "ada_s_printer._ipp._tcp.local"),
        ("data*=.tunnel.example", "data__.tunnel.example"),
        ("", None),
        (".", None),
        ("x" * 300, "x" * 253),
    ],
)
def test_queries_may_hold_anything(raw: str, name: str | None) -> None:
    assert clean_query(raw) == name


@given(st.text(st.characters(max_codepoint=255), max_size=300))
def test_every_kept_name_is_safe_and_stays_itself(raw: str) -> None:
    for clean in (clean_name, clean_host, clean_query):
        name = clean(raw)
        if name is not None:
            assert 0 < len(name) <= 253
            assert name.isascii()
            assert name.isprintable()
            assert not set(name) & set(" <>\"'&/\\")
            assert clean(name) == name


def test_the_last_answer_counts_until_its_time_is_over() -> None:
    names = AddressNames()
    names.learn(CLIENT, ADDRESS, "a.example", 60, 1_000.0)
    names.learn(CLIENT, ADDRESS, "b.example", 60, 1_010.0)
    assert names.name(CLIENT, ADDRESS, 1_020.0) == "b.example"
    assert names.name(OTHER, ADDRESS, 1_020.0) is None
    assert names.name(CLIENT, ADDRESS, 1_010.0 + 60 + GRACE) == "b.example"
    assert names.name(CLIENT, ADDRESS, 1_010.0 + 60 + GRACE + 1) is None


def test_names_of_addresses_are_bounded() -> None:
    names = AddressNames(limit=3)
    for number in range(5):
        names.learn(CLIENT, bytes((192, 0, 2, number)), f"{number}.example", 60, 0.0)
    assert len(names) == 3
    assert names.name(CLIENT, bytes((192, 0, 2, 0)), 0.0) is None
    assert names.name(CLIENT, bytes((192, 0, 2, 4)), 0.0) == "4.example"


def test_precedence_of_sources() -> None:
    order = [
        DomainSource.NONE, DomainSource.ECH_OUTER, DomainSource.DNS, DomainSource.DNS_QUERY, DomainSource.HTTP,
        DomainSource.QUIC_SNI, DomainSource.TLS_SNI,
    ]  # fmt: skip
    for below, above in itertools.pairwise(order):
        assert beats(above, below)
        assert not beats(below, above)
        assert not beats(above, above)


def test_the_ends_of_all_addresses_are_told_in_order() -> None:
    names = AddressNames(2)
    assert names.low_words().tolist() == []
    names.learn(CLIENT, ADDRESS, "example.org", 60, 0.0)
    names.learn(OTHER, bytes(15) + b"\x07", "six.example", 60, 0.0)
    assert names.low_words().tolist() == [7, 0xC0000201]
    names.learn(CLIENT, b"\x0a\0\0\x09", "new.example", 60, 0.0)
    assert names.low_words().tolist() == [7, 0x0A000009]
    names.clear()
    assert names.low_words().tolist() == []

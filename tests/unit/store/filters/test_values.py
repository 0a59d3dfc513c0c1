"""Words to values and back."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from netally.store.filters.errors import FilterError
from netally.store.filters.fields import FIELDS
from netally.store.filters.tree import Pattern, PortRange
from netally.store.filters.values import quoted, read_value, written


@pytest.mark.parametrize(
    ("field", "operator", "text", "content"),
    [
        ("app", "=", "firefox", "firefox"),
        ("app", "=", "Firefox", "Firefox"),
        ("app", "=", "none", ""),
        ("app", "=", '""', ""),
        ("app", "=", '"none"', "none"),
        ("app", "=", r'"a\"b\\c\d"', r'a"b\cd'),
        ("app", "=", "'it is'", "it is"),
        ("unit", "=", r"by\x2duuid", r"by\x2duuid"),
        ("app", "=", '"fire*"', "fire*"),
        ("app", "~", "fire*", Pattern("fire*")),
        ("app", "~", "a***b", Pattern("a*b")),
        ("app", "~", r"a\*b", Pattern(r"a\\*b")),
        ("app", "~", r'"a\*b"', Pattern(r"a\*b")),
        ("app", "~", r'"a\\*\"b"', Pattern(r'a\\*"b')),
        ("domain", "=", "GitHub.COM.", "github.com"),
        ("domain", "=", "bücher.example", "xn--bcher-kva.example"),
        ("domain", "=", "straße.de", "xn--strae-oqa.de"),
        ("domain", "=", "_dmarc.example", "_dmarc.example"),
        ("domain", "~", "*.BÜCHER.example", Pattern("*.xn--bcher-kva.example")),
        ("domain", "under", "github.com", "github.com"),
        ("scope", "=", "Internet", 1),
        ("scope", "=", "none", 0),
        ("role", "=", "unknown", 0),
        ("domain_source", "=", "tls_sni", 2),
        ("domain_source", "=", "none", 0),
        ("protocol", "=", "tcp", 6),
        ("protocol", "=", "255", 255),
        ("protocol", "=", "icmpv6", 58),
        ("port", "=", "443", PortRange(443, 443)),
        ("port", "in", "8000-8100", PortRange(8000, 8100)),
        ("remote", "=", "192.0.2.7", ipaddress.ip_network("192.0.2.7/32")),
        ("remote", "in", "10.1.2.3/8", ipaddress.ip_network("10.0.0.0/8")),
        ("remote", "in", "2001:DB8::/32", ipaddress.ip_network("2001:db8::/32")),
        ("remote", "=", "::ffff:192.0.2.7", ipaddress.ip_network("192.0.2.7/32")),
        ("bytes", ">", "10", 10),
        ("bytes", ">", "10B", 10),
        ("bytes", ">", "10kB", 10_000),
        ("bytes", ">", "10MB", 10_000_000),
        ("bytes", ">", "10mb", 10_000_000),
        ("bytes", ">", "1.5GiB", 3 * 2**29),
        ("bytes", ">", "2T", 2 * 10**12),
        ("packets", ">", "500k", 500_000),
        ("browser", "=", "tor", "Tor Browser"),
        ("browser", "=", '"tor browser"', "Tor Browser"),
        ("browser", "=", "FIREFOX", "Firefox"),
        ("browser", "=", "none", ""),
    ],
)
def test_what_a_word_means(field: str, operator: str, text: str, content: Any) -> None:
    assert read_value(FIELDS[field], operator, text, 0) == content


@pytest.mark.parametrize(
    ("field", "operator", "text", "problem", "suggestion"),
    [
        ("app", "=", "fire*", "'fire*' is a pattern, and = compares whole names", "write app ~ fire*"),
        ("app", "not in", "fire*", "'fire*' is a pattern", "write app !~ fire*"),
        ("app", "=", "and", "a value is missing before 'and'", 'app = "and"'),
        ("app", "~", "none", "~ takes a pattern", "write app = none"),
        ("domain", "=", "https://github.com/x", "no domain name", "write domain = github.com"),
        ("domain", "=", "ü" * 80, "cannot be a domain name", ""),
        ("domain", "=", ".", "no domain name", ""),
        ("domain", "~", "bü*", "mixes a wildcard", "*.bücher.example"),
        ("domain", "under", "*.github.com", "under takes the name alone", "write domain under github.com"),
        ("domain", "under", "none", "not known", "write domain = none"),
        ("scope", "=", "interent", "no scope", "did you mean internet?"),
        ("role", "=", "zzz", "no role", "write one of client, server, unknown"),
        ("protocol", "=", "256", "no protocol", "or a number up to 255"),
        ("port", "=", "https", "no port", "write port = 443"),
        ("port", "=", "70000", "no port", "ports end at 65535"),
        ("port", "in", "90-80", "runs backwards", "write 80-90"),
        ("port", "<", "80-90", "one port", "write port in 80-90"),
        ("remote", "in", "10.*", "no address", "10.0.0.0/8"),
        ("remote", "=", "fe80::1%eth0", "no address", ""),
        ("bytes", ">", "10Mb", "Mb could mean bits", "write 10MB"),
        ("bytes", ">", "10MX", "no unit of bytes", "kB, MB"),
        ("bytes", ">", "ten", "no number", "such as 10MB"),
        ("bytes", ">", "1.5", "no whole number of bytes", ""),
        ("bytes", ">", "9" * 50, "more than any counter holds", ""),
        ("bytes", ">", "9300PB", "more than any counter holds", ""),
        ("packets", ">", "10MB", "no unit of packets", "k, M or G"),
        ("browser", "=", "fierfox", "no known browser", "did you mean Firefox?"),
    ],
)
def test_what_is_no_value_is_said_at_its_place(
    field: str, operator: str, text: str, problem: str, suggestion: str
) -> None:
    with pytest.raises(FilterError) as caught:
        read_value(FIELDS[field], operator, text, 7)
    assert problem in caught.value.problem
    assert suggestion in caught.value.suggestion
    assert (caught.value.start, caught.value.end) == (7, 7 + len(text))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("", "none"), ("firefox", "firefox"), ("none", '"none"'), ("OR", '"OR"'), ("a b", '"a b"')),
        *(("a*", '"a*"'), ('a"b', r'"a\"b"'), ("a\\b", r'"a\\b"'), ("über", "über"), ("a,b", '"a,b"')),
    ],
)
def test_quotes_are_used_where_they_are_needed(text: str, value: str) -> None:
    assert quoted(text) == value


def test_canonical_words() -> None:
    assert written(FIELDS["protocol"], 58) == "icmpv6"
    assert written(FIELDS["protocol"], 200) == "200"
    assert written(FIELDS["scope"], 0) == "unknown"
    assert written(FIELDS["remote"], ipaddress.ip_network("10.0.0.0/8")) == "10.0.0.0/8"
    assert written(FIELDS["remote"], ipaddress.ip_network("2001:db8::1/128")) == "2001:db8::1"
    assert written(FIELDS["port"], PortRange(1, 3)) == "1-3"

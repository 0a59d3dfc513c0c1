"""Filters for property tests: trees made at random, and what a filter means, written a second time and slowly.

`matches` shares nothing with `netally.store.filters.compile`: patterns become regular expressions, names and networks
are compared one by one.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import strategies as st

from netally.contracts.browsers import BROWSERS, browser_of
from netally.store.filters.fields import FIELDS, LIST_OPERATORS, PATTERN_OPERATORS, Field, Kind
from netally.store.filters.tree import And, Comparison, Content, Filter, Not, Or, Pattern, PortRange, Value

Row = Mapping[str, Any]
"""A row with the names put in: the fields of the language by name, ``app_name`` and ``app_executable`` for browser."""

NAMES = (
    *("", "firefox", "Firefox", "fire%fox", "fire_fox", "firexfox", "back\\slash", 'quo"te', "it's", "Google Chrome"),
    *(
        "none",
        "and",
        "x*y",
        "xyy",
        "x?y",
        "über",
        "Über",
        " lead",
        "tab\tx",
        "curl",
        "web-1",
        "WEB-1",
        "100%",
        "chrome",
    ),
    *("/usr/bin/curl", "/opt/google/chrome/chrome", "'; DROP TABLE flow; --", "$1", "línea\nnueva", "a" * 255),
)
DOMAINS = (
    *("", "netflix.com", "api.netflix.com", "notnetflix.com", "a.b.netflix.com", "netflix.com.example", "a_b.example"),
    *("axb.example", "xn--bcher-kva.example", "www.xn--bcher-kva.example", "github.com", "api.github.com", "localhost"),
)
REMOTES = ("203.0.113.7", "203.0.113.200", "10.1.2.3", "10.200.0.1", "2001:db8::1", "2001:db8:1::1", "::1", "fe80::1")
PORTS = (0, 1, 22, 53, 80, 443, 1023, 1024, 1194, 8000, 8001, 8080, 8443, 48_000, 51_820, 65_535)
AMOUNTS = (0, 1, 2, 40, 1_500, 1_000_000, 10_000_000)

_any_name = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
_any_domain = st.from_regex(r"[a-z0-9_-]{1,8}(\.[a-z0-9_-]{1,8}){0,3}", fullmatch=True)


def patterns(names: st.SearchStrategy[str]) -> st.SearchStrategy[Pattern]:
    """Names with some characters replaced by wildcards, the others escaped where they need to be."""

    @st.composite
    def draw(pick: Callable[[Any], Any]) -> Pattern:
        name = pick(names)
        pieces = []
        for character in name:
            replaced = pick(st.sampled_from(["", "", "", "", "", "?", "*"]))
            pieces.append(replaced or re.sub(r"([*?\\])", r"\\\1", character))
        whole = pick(st.sampled_from(["", "*"])) + "".join(pieces) + pick(st.sampled_from(["", "*"]))
        glob = re.sub(r"\\.|\*+", lambda found: "*" if found[0][0] == "*" else found[0], whole, flags=re.DOTALL)
        return Pattern(glob or "*")

    return draw()


def networks() -> st.SearchStrategy[Content]:
    def network(address: str, prefix: int) -> Content:
        bits = 128 if ":" in address else 32
        return ipaddress.ip_network(f"{address}/{min(prefix, bits)}", strict=False)

    return st.builds(network, st.sampled_from(REMOTES), st.sampled_from((0, 8, 16, 24, 25, 32, 33, 48, 64, 127, 128)))


def port_ranges(operator: str) -> st.SearchStrategy[Content]:
    ports = st.sampled_from(PORTS) | st.integers(0, 65_535)
    one = ports.map(lambda port: PortRange(port, port))
    if operator in ("<", "<=", ">", ">="):
        return one
    wide = st.sampled_from((PortRange(0, 65_535), PortRange(1, 1023), PortRange(1024, 65_535), PortRange(8000, 8100)))
    return one | wide | st.tuples(ports, ports).map(lambda pair: PortRange(min(pair), max(pair)))


def contents(field: Field, operator: str, *, wild: bool) -> st.SearchStrategy[Content]:
    """Values of a field; ``wild`` takes any text for a name, else the names of `NAMES` and `DOMAINS`."""
    match field.kind:
        case Kind.NAME | Kind.DOMAIN:
            known = st.sampled_from(DOMAINS if field.kind is Kind.DOMAIN else NAMES)
            texts = (_any_domain if field.kind is Kind.DOMAIN else _any_name) | known if wild else known
            if operator in PATTERN_OPERATORS:
                return patterns(texts)
            return texts.filter(bool) if operator in ("under", "not under") else texts
        case Kind.CODE:
            return st.sampled_from([code for _, code in field.codes])
        case Kind.PORT:
            return port_ranges(operator)
        case Kind.REMOTE:
            return networks()
        case Kind.AMOUNT:
            return st.sampled_from(AMOUNTS)
        case Kind.BROWSER:
            return st.sampled_from(("", *BROWSERS[:4]))


def comparisons(*, wild: bool) -> st.SearchStrategy[Comparison]:
    @st.composite
    def draw(pick: Callable[[Any], Any]) -> Comparison:
        field = FIELDS[pick(st.sampled_from(sorted(FIELDS)))]
        operator = pick(st.sampled_from(field.operators))
        most = 4 if operator in LIST_OPERATORS else 1
        values = pick(st.lists(contents(field, operator, wild=wild), min_size=1, max_size=most))
        return Comparison(field.name, operator, tuple(Value(content) for content in values))

    return draw()


def trees(*, wild: bool) -> st.SearchStrategy[Filter]:
    return st.recursive(
        comparisons(wild=wild),
        lambda inner: (
            st.builds(Not, inner)
            | st.builds(lambda parts: And(tuple(parts)), st.lists(inner, min_size=2, max_size=3))
            | st.builds(lambda parts: Or(tuple(parts)), st.lists(inner, min_size=2, max_size=3))
        ),
        max_leaves=6,
    )


def matches(tree: Filter, row: Row) -> bool:
    """Whether a row is what the filter asks for."""
    match tree:
        case Not(part):
            return not matches(part, row)
        case And(parts):
            return all(matches(part, row) for part in parts)
        case Or(parts):
            return any(matches(part, row) for part in parts)
        case Comparison():
            return _compares(tree, row)
        case _:
            return True


def _compares(comparison: Comparison, row: Row) -> bool:
    operator = comparison.operator
    if operator in ("!=", "!~", "not in", "not under"):
        positive = {"!=": "=", "!~": "~", "not in": "in", "not under": "under"}[operator]
        return not _compares(Comparison(comparison.name, positive, comparison.values), row)
    return any(_compares_one(comparison.name, operator, value.content, row) for value in comparison.values)


def _compares_one(name: str, operator: str, content: Any, row: Row) -> bool:
    if name == "browser":
        return bool((browser_of(row["app_name"], row["app_executable"]) or "") == content)
    actual = row[name]
    if isinstance(content, PortRange):
        if operator in ("<", "<=", ">", ">="):
            return _ordered(operator, actual, content.first)
        return bool(content.first <= actual <= content.last)
    if operator in ("<", "<=", ">", ">="):
        return _ordered(operator, actual, content)
    if isinstance(content, Pattern):
        return _glob_expression(content.glob).fullmatch(actual) is not None
    if operator == "under":
        return bool(actual == content or actual.endswith("." + content))
    if isinstance(content, ipaddress.IPv4Network | ipaddress.IPv6Network):
        return ipaddress.ip_address(actual) in content
    if name == "host":
        return bool(actual.lower() == content.lower())
    return bool(actual == content)


def _ordered(operator: str, actual: int, limit: int) -> bool:
    return {"<": actual < limit, "<=": actual <= limit, ">": actual > limit, ">=": actual >= limit}[operator]


def _glob_expression(glob: str) -> re.Pattern[str]:
    expression = ""
    characters = iter(glob)
    for character in characters:
        if character == "\\":
            expression += re.escape(next(characters))
        else:
            expression += {"*": ".*", "?": "."}.get(character) or re.escape(character)
    return re.compile(expression, re.IGNORECASE | re.DOTALL)

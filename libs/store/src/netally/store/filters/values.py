"""Words of a filter to values, by the kind of the field, and back to text. Errors name the word's place."""

from __future__ import annotations

import ipaddress
import re
from decimal import Decimal
from typing import Final

from netally.contracts.browsers import BROWSERS
from netally.store.domain_name import stored_form
from netally.store.filters.errors import FilterError, shown
from netally.store.filters.fields import PATTERN_OPERATORS, Field, Kind, closest
from netally.store.filters.tree import Content, Network, Pattern, PortRange
from netally.store.port_classes import LAST_PORT

NONE: Final = "none"
"""The unquoted word for "not known"."""
KEYWORDS: Final = frozenset(("and", "or", "not", "in", "under"))

_LARGEST: Final = 2**63 - 1
_BARE: Final = re.compile(r"""[^\s(),"'=!<>~\\]+""")
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_PORTS: Final = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_AMOUNT: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]*)")
_POWERS: Final = {"k": 1, "m": 2, "g": 3, "t": 4, "p": 5}

WELL_KNOWN_PORTS: Final = (
    *((443, "https"), (80, "http"), (53, "dns"), (22, "ssh"), (25, "smtp"), (123, "ntp"), (587, "submission")),
    *((853, "dns over tls"), (993, "imaps"), (445, "smb"), (3306, "mysql"), (5432, "postgresql"), (6379, "redis")),
    *((3389, "rdp"), (8080, "http alternative"), (51820, "wireguard"), (5353, "mdns"), (1883, "mqtt")),
)
"""What completion offers, with a word for each."""


class _Word:
    """One value as it was written."""

    def __init__(self, text: str, start: int) -> None:
        self.written = text
        self.quoted = text[0] in "\"'"
        self.body = text[1:-1] if self.quoted else text
        self.start = start
        self.end = start + len(text)

    @property
    def text(self) -> str:
        """What it says, escapes resolved."""
        return _ESCAPED.sub(r"\1", self.body) if self.quoted else self.body

    @property
    def is_none(self) -> bool:
        return not self.text or (not self.quoted and self.body.lower() == NONE)

    def error(self, problem: str, suggestion: str = "") -> FilterError:
        return FilterError(problem, self.start, self.end, suggestion)


def read_value(field: Field, operator: str, written: str, start: int) -> Content:
    """Content of one word or quoted string; FilterError when it is no value of the field."""
    word = _Word(written, start)
    if not word.quoted and word.body.lower() in KEYWORDS:
        raise word.error(
            f"a value is missing before {shown(word.body)}",
            f"if the word is the value, quote it: {field.name} {operator} {quoted(word.body)}",
        )
    match field.kind:
        case Kind.NAME | Kind.DOMAIN if operator in PATTERN_OPERATORS:
            return _pattern(field, operator, word)
        case Kind.NAME:
            return _name(field, operator, word)
        case Kind.DOMAIN:
            return _domain(field, operator, word)
        case Kind.CODE:
            return _code(field, word)
        case Kind.PORT:
            return _port(operator, word)
        case Kind.REMOTE:
            return _network(word)
        case Kind.AMOUNT:
            return _amount(field, word)
        case Kind.BROWSER:
            return _browser(word)


def _name(field: Field, operator: str, word: _Word) -> str:
    if word.is_none:
        return ""
    if not word.quoted and ("*" in word.body or "?" in word.body):
        sign = "!~" if operator in ("!=", "not in") else "~"
        raise word.error(
            f"{shown(word.body)} is a pattern, and {operator} compares whole names",
            f"write {field.name} {sign} {word.body}, or quote the name if it really has that character",
        )
    return word.text


def _domain(field: Field, operator: str, word: _Word) -> str:
    if operator in ("under", "not under"):
        if word.is_none:
            raise word.error(f"nothing is {operator} a name that is not known", f"write {field.name} = none")
        if word.text.startswith(("*.", ".")):
            raise word.error(
                f"{operator} takes the name alone", f"write {field.name} {operator} {word.text.lstrip('*.')}"
            )
    name = _name(field, operator, word)
    try:
        stored = stored_form(name)
    except ValueError:
        raise word.error(f"{shown(name)} cannot be a domain name") from None
    if "/" in stored or (name and not stored):
        host = re.sub(r"^[a-z]+://", "", stored).partition("/")[0]
        raise word.error(f"{shown(name)} is no domain name", f"write {field.name} {operator} {host}" if host else "")
    return stored


def _pattern(field: Field, operator: str, word: _Word) -> Pattern:
    if word.is_none:
        raise word.error(
            f"{operator} takes a pattern", f"write {field.name} {'=' if operator == '~' else '!='} none for not known"
        )
    glob = _glob(word)
    if field.kind is not Kind.DOMAIN:
        return Pattern(glob)
    labels = []
    for label in glob.split("."):
        if label.isascii():
            labels.append(label.lower())
        elif re.search(r"[*?\\]", label):
            raise word.error(
                f"{shown(label)} mixes a wildcard with letters outside ASCII, which are stored encoded",
                "use the wildcard for whole parts between dots, such as *.bücher.example",
            )
        else:
            try:
                # Some characters stand for a star or question mark once mapped (U+FF0A, U+FF1F).
                labels.append(re.sub(r"([*?\\])", r"\\\1", stored_form(label)))
            except ValueError:
                raise word.error(f"{shown(label)} cannot be part of a domain name") from None
    return Pattern(".".join(labels))


def _glob(word: _Word) -> str:
    """Outside quotes a backslash is a character like any other; in quotes it takes the next one as it is."""
    if not word.quoted:
        glob = word.body.replace("\\", "\\\\")
    else:
        glob = _ESCAPED.sub(lambda found: found[0] if found[1] in "*?\\" else found[1], word.body)
    # Runs of stars mean the same as one, and cost the matcher more.
    return re.sub(r"\\.|\*+", lambda found: "*" if found[0][0] == "*" else found[0], glob, flags=re.DOTALL)


def _code(field: Field, word: _Word) -> int:
    text = word.text.lower()
    codes = dict(field.codes)
    if text in codes:
        return codes[text]
    if field.name == "protocol":
        if re.fullmatch("[0-9]{1,3}", text) and int(text) < 256:
            return int(text)
    elif text in (NONE, "unknown", ""):
        return 0
    near = closest(text, codes)
    known = f"did you mean {near}?" if near else f"write one of {', '.join(codes)}"
    if field.name == "protocol" and not near:
        known += ", or a number up to 255"
    raise word.error(f"{shown(word.text)} is no {field.name}", known)


def _port(operator: str, word: _Word) -> PortRange:
    found = _PORTS.fullmatch(word.text)
    if not found:
        named = {label: port for port, label in WELL_KNOWN_PORTS}.get(word.text.lower())
        raise word.error(
            f"{shown(word.text)} is no port",
            f"write port {operator} {named}" if named else "write a number or a range such as 8000-8100",
        )
    first, last = int(found[1]), int(found[2] or found[1])
    if last > LAST_PORT or first > LAST_PORT:
        raise word.error(f"{shown(word.text)} is no port", f"ports end at {LAST_PORT}")
    if first > last:
        raise word.error(f"the range {shown(word.text)} runs backwards", f"write {last}-{first}")
    if found[2] and operator not in ("=", "!=", "in", "not in"):
        raise word.error(f"{operator} takes one port, not a range", f"write port in {word.text}")
    return PortRange(first, last)


def _network(word: _Word) -> Network:
    try:
        if "%" in word.text:
            raise ValueError
        network = ipaddress.ip_network(word.text, strict=False)
    except ValueError:
        raise word.error(
            f"{shown(word.text)} is no address", "write one such as 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32"
        ) from None
    # Stored addresses are never "mapped" (::ffff:192.0.2.7).
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    return ipaddress.IPv4Network((mapped, network.prefixlen - 96)) if mapped and network.prefixlen >= 96 else network


def _amount(field: Field, word: _Word) -> int:
    unit_of_bytes = field.name.startswith("bytes")
    example = "10MB" if unit_of_bytes else "500k"
    found = _AMOUNT.fullmatch(word.text)
    if not found:
        raise word.error(
            f"{shown(word.text)} is no number", f"write one such as {example}, with a point for fractions and no spaces"
        )
    number, unit = found[1], found[2]
    factor = _factor(unit, unit_of_bytes)
    if factor is None:
        if unit_of_bytes and re.fullmatch("[KMGTP]i?b", unit):
            raise word.error(f"{unit} could mean bits", f"write {number}{unit[:-1]}B for bytes")
        units = "B, kB, MB, GB, TB, PB, KiB, MiB, GiB, TiB or PiB" if unit_of_bytes else "k, M or G"
        raise word.error(f"{shown(unit)} is no unit of {field.name}", f"write {units}")
    # Long numbers are refused before they are multiplied: exact arithmetic on them has no bound.
    if len(number) > 40 or (amount := Decimal(number) * factor) > _LARGEST:
        raise word.error(f"{shown(word.text)} is more than any counter holds")
    if amount != int(amount):
        raise word.error(f"{shown(word.text)} is no whole number of {field.name.partition('_')[0]}")
    return int(amount)


def _factor(unit: str, of_bytes: bool) -> int | None:
    """What a unit multiplies by; None for what is none. Mixed case such as Mb is none: it could mean megabits."""
    lower = unit.lower()
    if of_bytes and len(lower) > 1 and lower.endswith("b"):
        if unit[-1] == "b" and unit != lower:
            return None
        lower = lower[:-1]
    elif of_bytes and lower == "b":
        return 1
    if not lower:
        return 1
    base = 1024 if of_bytes and lower.endswith("i") else 1000
    power = _POWERS.get(lower.removesuffix("i") if of_bytes else lower)
    return None if power is None else base**power


def _browser(word: _Word) -> str:
    if word.is_none:
        return ""
    by_name = {_plain(browser): browser for browser in BROWSERS}
    plain = _plain(word.text)
    found = by_name.get(plain) or by_name.get(f"{plain}browser")
    if found is None:
        near = closest(plain, by_name)
        raise word.error(
            f"{shown(word.text)} is no known browser",
            f"did you mean {quoted(by_name[near])}?" if near else "to look for any application write app = …",
        )
    return found


def _plain(name: str) -> str:
    return re.sub("[ _-]", "", name.lower())


def quoted(text: str) -> str:
    """A text as a value that reads back as the same text: bare where it can be, else in double quotes."""
    if not text:
        return NONE
    if _BARE.fullmatch(text) and text.lower() not in {*KEYWORDS, NONE} and "*" not in text and "?" not in text:
        return text
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def written(field: Field, content: Content) -> str:
    """Canonical text of a value: `read_value` gives the same content back."""
    match content:
        case Pattern(glob):
            bare = _BARE.fullmatch(glob) and glob.lower() not in {*KEYWORDS, NONE}
            return glob if bare else '"' + glob.replace('"', '\\"') + '"'
        case PortRange(first, last):
            return str(first) if first == last else f"{first}-{last}"
        case str():
            return quoted(content)
        case int():
            words = {code: word for word, code in reversed(field.codes)}
            return words.get(content) or str(content)
        case _:
            return str(content.network_address) if content.prefixlen == content.max_prefixlen else str(content)

"""The fields of the filter language: what they hold, which operators they take, which tiers keep them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Final

from netally.contracts.codes import Code, DomainSource, ProcessSource, Role, Scope


class FilterTier(StrEnum):
    """What a filtered query reads: a tier by its name, or the totals by application beside it."""

    RAW = "raw"
    MINUTE = "1m"
    HOUR = "1h"
    DAY = "1d"
    TRAFFIC_HOUR = "traffic_1h"
    TRAFFIC_DAY = "traffic_1d"


FLOW_TIERS: Final = frozenset((FilterTier.RAW, FilterTier.MINUTE, FilterTier.HOUR, FilterTier.DAY))
ALL_TIERS: Final = frozenset(FilterTier)
RAW_ONLY: Final = frozenset((FilterTier.RAW,))

TIER_WORDS: Final = {
    FilterTier.RAW: "raw flows",
    FilterTier.MINUTE: "the figures by minute",
    FilterTier.HOUR: "the figures by hour",
    FilterTier.DAY: "the figures by day",
    FilterTier.TRAFFIC_HOUR: "the hourly totals by application",
    FilterTier.TRAFFIC_DAY: "the daily totals by application",
}


class Kind(StrEnum):
    """What the values of a field are."""

    NAME = auto()
    DOMAIN = auto()
    CODE = auto()
    PORT = auto()
    REMOTE = auto()
    AMOUNT = auto()
    BROWSER = auto()


OPERATORS: Final[dict[Kind, tuple[str, ...]]] = {
    Kind.NAME: ("=", "!=", "in", "not in", "~", "!~"),
    Kind.DOMAIN: ("=", "!=", "in", "not in", "under", "not under", "~", "!~"),
    Kind.CODE: ("=", "!=", "in", "not in"),
    Kind.PORT: ("=", "!=", "in", "not in", "<", "<=", ">", ">="),
    Kind.REMOTE: ("=", "!=", "in", "not in"),
    Kind.AMOUNT: ("=", "!=", "<", "<=", ">", ">="),
    Kind.BROWSER: ("=", "!=", "in", "not in"),
}
LIST_OPERATORS: Final = frozenset(("in", "not in", "under", "not under"))
PATTERN_OPERATORS: Final = frozenset(("~", "!~"))
SCANNING_OPERATORS: Final = PATTERN_OPERATORS | {"under", "not under"}
"""Those that no index of names answers."""


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    kind: Kind
    column: str
    """Of the flow relation, or of the dimension ``table``; for an amount the columns that are added."""
    about: str
    """One line for people."""
    tiers: frozenset[FilterTier]
    table: str = ""
    """The dimension that holds the name."""
    key: str = ""
    """Column of the flow relation that refers to ``table``."""
    codes: tuple[tuple[str, int], ...] = ()
    """Words and numbers of a closed vocabulary, in the order offered."""

    @property
    def operators(self) -> tuple[str, ...]:
        return OPERATORS[self.kind]


def _words(vocabulary: type[Code]) -> tuple[tuple[str, int], ...]:
    return tuple((entry.label, int(entry)) for entry in sorted(vocabulary, key=lambda entry: (entry == 0, entry)))


PROTOCOLS: Final = (
    *(("tcp", 6), ("udp", 17), ("icmp", 1), ("icmpv6", 58), ("igmp", 2), ("sctp", 132), ("gre", 47), ("esp", 50)),
    *(("ah", 51), ("ipip", 4), ("ipv6", 41), ("ospf", 89), ("pim", 103), ("vrrp", 112), ("dccp", 33), ("udplite", 136)),
)
"""Protocols with a word (IANA protocol numbers); all others go by number."""

_FIELDS: Final = (
    Field("host", Kind.NAME, "name", "the machine that was measured", ALL_TIERS, "host", "host_id"),
    Field("app", Kind.NAME, "name", "the application's name", ALL_TIERS, "app", "app_id"),
    Field("executable", Kind.NAME, "executable", "path of the program", ALL_TIERS, "app", "app_id"),
    Field("user", Kind.NAME, "username", "user the application ran as", ALL_TIERS, "app", "app_id"),
    Field("unit", Kind.NAME, "unit", "systemd unit of the application", ALL_TIERS, "app", "app_id"),
    Field("container", Kind.NAME, "container", "container id of the application", ALL_TIERS, "app", "app_id"),
    Field("browser", Kind.BROWSER, "", "known browser the application is", ALL_TIERS, "app", "app_id"),
    Field("domain", Kind.DOMAIN, "name", "domain name of the remote end", FLOW_TIERS, "domain", "domain_id"),
    Field("site", Kind.DOMAIN, "name", "site that caused the traffic", FLOW_TIERS, "domain", "site_id"),
    Field("scope", Kind.CODE, "scope", "where the remote end lies", ALL_TIERS, codes=_words(Scope)),
    Field("protocol", Kind.CODE, "protocol", "IP protocol", FLOW_TIERS, codes=PROTOCOLS),
    Field("port", Kind.PORT, "server_port", "port of the serving side", FLOW_TIERS),
    Field("role", Kind.CODE, "role", "what the host was: client or server", ALL_TIERS, codes=_words(Role)),
    Field("remote", Kind.REMOTE, "remote", "address of the other side", RAW_ONLY),
    Field("bytes", Kind.AMOUNT, "bytes_in bytes_out", "bytes both ways", FLOW_TIERS),
    Field("bytes_in", Kind.AMOUNT, "bytes_in", "bytes the host received", FLOW_TIERS),
    Field("bytes_out", Kind.AMOUNT, "bytes_out", "bytes the host sent", FLOW_TIERS),
    Field("packets", Kind.AMOUNT, "packets_in packets_out", "packets both ways", FLOW_TIERS),
    Field("connections", Kind.AMOUNT, "connections", "new connections", FLOW_TIERS),
    Field(
        "domain_source", Kind.CODE, "domain_source", "how the domain was found", RAW_ONLY, codes=_words(DomainSource)
    ),
    Field(
        "process_source",
        Kind.CODE,
        "process_source",
        "how the process was found",
        RAW_ONLY,
        codes=_words(ProcessSource),
    ),
)
FIELDS: Final = {field.name: field for field in _FIELDS}

_MEANT: Final = {
    **dict.fromkeys(("application", "process", "program", "comm", "name"), "app = …"),
    **dict.fromkeys(("hostname", "machine", "agent"), "host = …"),
    **dict.fromkeys(("exe", "path", "binary"), "executable = …"),
    **dict.fromkeys(("username", "uid"), "user = …"),
    **dict.fromkeys(("service", "systemd"), "unit = …"),
    **dict.fromkeys(("dns", "sni", "url", "fqdn", "server_name"), "domain = …"),
    **dict.fromkeys(("referer", "referrer", "initiator"), "site = …"),
    **dict.fromkeys(("proto", "l4"), "protocol = …"),
    **dict.fromkeys(("dport", "server_port", "dst_port", "dstport"), "port = …"),
    **dict.fromkeys(("sport", "src_port", "srcport"), "port, the server's; the client's is not kept"),
    **dict.fromkeys(
        ("ip", "addr", "address", "src", "dst", "cidr", "net", "srcaddr", "dstaddr"), "remote in 10.0.0.0/8"
    ),
    **dict.fromkeys(("direction", "inbound", "outbound"), "role = client, or bytes_in and bytes_out"),
    **dict.fromkeys(("size", "traffic", "volume", "octets"), "bytes > 10MB"),
    **dict.fromkeys(("download", "received", "rx"), "bytes_in > 10MB"),
    **dict.fromkeys(("upload", "sent", "tx"), "bytes_out > 10MB"),
}
"""Words that people bring from other tools."""


def closest(word: str, known: Iterable[str]) -> str:
    """The known word that was probably meant, or the empty string."""
    found = difflib.get_close_matches(word[:64].lower(), tuple(known), n=1, cutoff=0.6)
    return found[0] if found else ""


def field_suggestion(word: str) -> str:
    """What to write instead of a field that does not exist."""
    lower = word.lower()
    if lower in _MEANT:
        return f"did you mean {_MEANT[lower]}?"
    if near := closest(lower, FIELDS):
        return f"did you mean {near}?"
    return f"write a field before the value, such as app = {word[:40]}; the fields are {', '.join(FIELDS)}"

"""Tree to SQL condition for one tier: names of ours and ``$n``. What a person wrote is only ever a parameter.

Names become ids before the query (`resolve`), so that it compares integers: see docs/decisions/0010-filter-language.md
for the measurements.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from netally.contracts.browsers import DIRECTORIES, PROGRAMS
from netally.store.filters.errors import FilterRefused
from netally.store.filters.fields import ALL_TIERS, FIELDS, RAW_ONLY, TIER_WORDS, Field, FilterTier, Kind
from netally.store.filters.tree import And, Comparison, Everything, Filter, Not, Or, Pattern, PortRange, comparisons
from netally.store.port_classes import KEPT_PORTS, LAST_PORT

_ORDERED: Final = frozenset(("<", "<=", ">", ">="))
_NEGATED: Final = {"!=": "=", "not in": "in", "!~": "~", "not under": "under"}
# Sets of ports as bits of one number: 65,536 of them are compared in a microsecond.
_ALL_PORTS: Final = (1 << LAST_PORT + 1) - 1
_IN_CLASS_ZERO: Final = _ALL_PORTS ^ sum(1 << port for port in KEPT_PORTS) | 1
_ALIAS: Final = re.compile("[a-z][a-z0-9_]*")

ROWS: Final = {
    FilterTier.RAW: "one flow (host, application, domain, site, remote address, protocol, port) in one interval",
    FilterTier.MINUTE: "one host, application, domain, site, scope, role, protocol and port in one minute",
    FilterTier.HOUR: "one host, application, domain, site, scope, role, protocol and port in one hour",
    FilterTier.DAY: "one host, application, domain, site, scope, role, protocol and port in one day",
}
"""What an amount in a filter is compared with."""

# The same rule as `netally.contracts.browsers.browser_of`, over the few thousand rows of ``app``.
_BROWSER_IDS: Final = r"""
SELECT id FROM (
    SELECT app.id, coalesce(
        (SELECT directory.browser
         FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS directory (part, browser, place)
         WHERE strpos(program.path, directory.part) > 0
         ORDER BY directory.place LIMIT 1),
        (SELECT known.browser FROM unnest($4::text[], $5::text[]) AS known (name, browser)
         WHERE known.name = regexp_replace(program.path, '^.*/', '')),
        (SELECT known.browser FROM unnest($4::text[], $5::text[]) AS known (name, browser)
         WHERE known.name = lower(app.name)),
        '') AS browser
    FROM app, LATERAL (SELECT regexp_replace(lower(app.executable), ' \(deleted\)$', '') AS path) AS program
) AS classified
WHERE browser = ANY ($1::text[])
"""


@dataclass(frozen=True, slots=True)
class Lookup:
    """A parameter that is known once its statement has run: the ids (column ``id``) of a dimension's rows."""

    text: str
    parameters: tuple[Any, ...]


Parameter: TypeAlias = Any
"""A value for asyncpg, or a `Lookup`."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What goes after WHERE. Parenthesised as far as needed to be joined by AND."""

    sql: str
    parameters: tuple[Parameter, ...]
    """For ``$first_parameter`` and the following."""
    row: str = ""
    """What an amount was compared with, in words that the answer must show; empty when no amount was asked."""


class Fetching(Protocol):
    """A pool or a connection of asyncpg."""

    async def fetch(self, query: str, *args: Any) -> list[Any]: ...


def compile_filter(tree: Filter, tier: FilterTier, *, first_parameter: int = 1, alias: str = "") -> Condition:
    """The condition on the relation of a tier (``flow``, ``flow_1h``, ``traffic_1d`` …), which may have an alias.

    FilterRefused when the tier does not keep what is asked.
    """
    if alias and not _ALIAS.fullmatch(alias):
        raise ValueError(f"{alias!r} is no alias")
    for comparison in comparisons(tree):
        if refusal := _refusal(comparison, tier):
            raise refusal
    compiling = _Compiling(tier, first_parameter, f"{alias}." if alias else "")
    sql = compiling.condition(tree)
    amounts = any(FIELDS[comparison.name].kind is Kind.AMOUNT for comparison in comparisons(tree))
    return Condition(sql, tuple(compiling.parameters), ROWS[tier] if amounts else "")


async def resolve(connection: Fetching, condition: Condition) -> list[Any]:
    """The parameters with every lookup replaced by the ids it finds."""
    return [
        [row["id"] for row in await connection.fetch(parameter.text, *parameter.parameters)]
        if isinstance(parameter, Lookup)
        else parameter
        for parameter in condition.parameters
    ]


def answering_tiers(tree: Filter) -> frozenset[FilterTier]:
    """The tiers that can answer a filter; never empty, raw flows keep everything."""
    asked = list(comparisons(tree))
    return frozenset(tier for tier in ALL_TIERS if not any(_refusal(comparison, tier) for comparison in asked))


def needs_raw(tree: Filter) -> bool:
    """Whether only raw flows can answer."""
    return answering_tiers(tree) == RAW_ONLY


def _refusal(comparison: Comparison, tier: FilterTier) -> FilterRefused | None:
    field = FIELDS[comparison.name]
    if tier not in field.tiers:
        # The same length of bucket first: it reaches as far back.
        finer = {FilterTier.TRAFFIC_HOUR: FilterTier.HOUR, FilterTier.TRAFFIC_DAY: FilterTier.DAY}.get(
            tier, FilterTier.RAW
        )
        able = finer if _refusal(comparison, finer) is None else FilterTier.RAW
        return FilterRefused(
            f"{field.name} is not kept in {TIER_WORDS[tier]}",
            comparison.start,
            comparison.end,
            f"only {TIER_WORDS[able]} have it: choose a range that they cover, or leave {field.name} out",
            able,
        )
    return None if field.kind is not Kind.PORT or tier is FilterTier.RAW else _port_refusal(comparison, tier)


def _port_refusal(comparison: Comparison, tier: FilterTier) -> FilterRefused | None:
    """The rollups can answer when class 0 is asked for as a whole or not at all."""
    ports = _ports(comparison)
    asked, unasked = ports & _IN_CLASS_ZERO, _IN_CLASS_ZERO & ~ports
    if not asked or not unasked:
        return None
    if ports == (1 << 1024) - 1:
        suggestion = "write port in 1-1023, or choose a range that raw flows still cover"
    else:
        suggestion = "choose a range that raw flows still cover, or ask for a port below 1024"
    # The lowest port that tells the two apart.
    odd = unasked if asked & 1 else asked
    port = (odd & -odd).bit_length() - 1
    return FilterRefused(
        f"port {port} has no figure of its own in {TIER_WORDS[tier]}, which keep well-known ports only",
        comparison.start,
        comparison.end,
        suggestion,
        FilterTier.RAW,
    )


class _Compiling:
    """The parameters so far, and the pieces of SQL that use them."""

    def __init__(self, tier: FilterTier, first_parameter: int, prefix: str) -> None:
        self.parameters: list[Parameter] = []
        self._tier = tier
        self._first = first_parameter
        self._prefix = prefix

    def condition(self, tree: Filter) -> str:
        match tree:
            case Everything():
                return "true"
            case Comparison():
                return self._comparison(tree)
            case Not(part):
                return f"NOT ({self.condition(part)})"
            case And(parts):
                return "(" + " AND ".join(self.condition(part) for part in parts) + ")"
            case Or(parts):
                return "(" + " OR ".join(self.condition(part) for part in parts) + ")"

    def _bind(self, value: Parameter) -> str:
        self.parameters.append(value)
        return f"${self._first + len(self.parameters) - 1}"

    def _comparison(self, comparison: Comparison) -> str:
        field = FIELDS[comparison.name]
        contents = [value.content for value in comparison.values]
        negated = comparison.operator in _NEGATED
        operator = _NEGATED.get(comparison.operator, comparison.operator)
        if field.kind is Kind.AMOUNT:
            total = " + ".join(self._prefix + column for column in field.column.split())
            return f"({total}) {comparison.operator} {self._bind(contents[0])}::bigint"
        if field.kind is Kind.PORT:
            return self._port(comparison)
        if field.kind is Kind.CODE:
            sql = f"{self._prefix}{field.column} = ANY ({self._bind(contents)}::smallint[])"
        elif field.kind is Kind.REMOTE:
            networks = [str(content) for content in contents]
            # As text: on the pool's connections inet is packed bytes without a prefix length.
            sql = f"{self._prefix}{field.column} <<= ANY ({self._bind(networks)}::text[]::inet[])"
        elif contents == [Pattern("*")]:
            sql = "true"
        else:
            lookup = _browser_lookup(contents) if field.kind is Kind.BROWSER else _lookup(field, operator, contents)
            sql = f"{self._prefix}{field.key} = ANY ({self._bind(lookup)}::integer[])"
        return f"NOT ({sql})" if negated else sql

    def _port(self, comparison: Comparison) -> str:
        # Class 0 reads as port 0: `_port_refusal` let pass only what treats all ports of the class as it treats 0.
        column = f"{self._prefix}{'server_port' if self._tier is FilterTier.RAW else 'port_class'}"
        ranges = _ranges(comparison)
        if comparison.operator in _ORDERED:
            return f"{column} {comparison.operator} {self._bind(ranges[0].first)}::integer"
        parts = [
            f"{column} BETWEEN {self._bind(one.first)}::integer AND {self._bind(one.last)}::integer"
            for one in ranges
            if one.first < one.last
        ]
        if single := [one.first for one in ranges if one.first == one.last]:
            parts.append(f"{column} = ANY ({self._bind(single)}::integer[])")
        joined = " OR ".join(parts)
        return f"NOT ({joined})" if comparison.operator in _NEGATED else f"({joined})"


def _ranges(comparison: Comparison) -> list[PortRange]:
    return [value.content for value in comparison.values if isinstance(value.content, PortRange)]


def _ports(comparison: Comparison) -> int:
    """All ports that a comparison matches, as bits."""
    ranges = _ranges(comparison)
    below, upto = (1 << ranges[0].first) - 1, (1 << ranges[0].first + 1) - 1
    match comparison.operator:
        case "<":
            return below
        case "<=":
            return upto
        case ">":
            return _ALL_PORTS ^ upto
        case ">=":
            return _ALL_PORTS ^ below
    named = 0
    for one in ranges:
        named |= (1 << one.last + 1) - (1 << one.first)
    return _ALL_PORTS ^ named if comparison.operator in _NEGATED else named


def _lookup(field: Field, operator: str, contents: Sequence[object]) -> Lookup:
    """The ids of a dimension's rows whose name fits. Tombstoned ones too: what they carried is still told by name."""
    select = f"SELECT id FROM {field.table} WHERE"  # noqa: S608  (names of ours)
    column = field.column
    if isinstance(pattern := contents[0], Pattern):
        # Domains are stored in lower case, and LIKE takes a third of ILIKE's time on half a million of them.
        match = "LIKE" if field.kind is Kind.DOMAIN else "ILIKE"
        return Lookup(f"{select} {column} {match} $1", (like_pattern(pattern.glob),))
    if operator == "under":
        below = ["%." + like_escaped(str(name)) for name in contents]
        return Lookup(f"{select} {column} = ANY ($1::text[]) OR {column} LIKE ANY ($2::text[])", (contents, below))
    if field.table == "host":
        return Lookup(f"{select} lower({column}) = ANY ($1::text[])", ([str(name).lower() for name in contents],))
    return Lookup(f"{select} {column} = ANY ($1::text[])", (contents,))


def _browser_lookup(contents: Sequence[object]) -> Lookup:
    parts, of_parts = zip(*DIRECTORIES, strict=True)
    return Lookup(_BROWSER_IDS, (contents, list(parts), list(of_parts), list(PROGRAMS), list(PROGRAMS.values())))


def like_escaped(text: str) -> str:
    """A text that LIKE takes literally (its escape character is the backslash)."""
    return re.sub(r"([\\%_])", r"\\\1", text)


def like_pattern(glob: str) -> str:
    """The LIKE pattern of a `Pattern`'s glob."""
    wild = {"*": "%", "?": "_"}
    return re.sub(
        r"\\(.)|(.)",
        lambda found: like_escaped(found[1]) if found[1] else wild.get(found[2]) or like_escaped(found[2]),
        glob,
        flags=re.DOTALL,
    )

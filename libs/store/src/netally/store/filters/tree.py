"""What a filter says, as a tree. Positions do not count when two trees are compared."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Pattern:
    """``*`` any characters, ``?`` one, ``\\`` before ``*``, ``?`` or ``\\`` takes that character itself."""

    glob: str


@dataclass(frozen=True, slots=True)
class PortRange:
    first: int
    last: int
    """Inclusive."""


Content: TypeAlias = str | int | Pattern | PortRange | Network
"""By the field's kind: NAME, DOMAIN and BROWSER text (empty: not known) or a Pattern, CODE and AMOUNT a number."""


@dataclass(frozen=True, slots=True)
class Value:
    content: Content
    start: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Comparison:
    name: str
    """Of a field in `fields.FIELDS`."""
    operator: str
    values: tuple[Value, ...]
    """One, but for the operators that take a list."""
    start: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Not:
    part: Node


@dataclass(frozen=True, slots=True)
class And:
    parts: tuple[Node, ...]
    """Two or more."""


@dataclass(frozen=True, slots=True)
class Or:
    parts: tuple[Node, ...]
    """Two or more."""


@dataclass(frozen=True, slots=True)
class Everything:
    """The empty filter. Only ever a whole filter, never a part of one."""


Node: TypeAlias = Comparison | Not | And | Or
Filter: TypeAlias = Node | Everything


def comparisons(tree: Filter) -> Iterator[Comparison]:
    """All of them, in the order written."""
    match tree:
        case Comparison():
            yield tree
        case Not(part):
            yield from comparisons(part)
        case And(parts) | Or(parts):
            for part in parts:
                yield from comparisons(part)


def fields_used(tree: Filter) -> frozenset[str]:
    """Names of the fields that a filter asks about."""
    return frozenset(comparison.name for comparison in comparisons(tree))

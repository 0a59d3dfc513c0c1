"""What of the live figures one reader sees: the hosts he may see, and his filter. Pure.

A live sample names the host, application and domain of its largest movers, so that a filter can ask for these, and for
browsers as far as a program's name tells them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from netally.api.problems import ProblemError, bad_filter
from netally.api.visible import EVERY_HOST, VisibleHosts
from netally.contracts.browsers import browser_of
from netally.store.filters.canonical import format_filter
from netally.store.filters.compile import like_pattern
from netally.store.filters.errors import FilterRefused
from netally.store.filters.fields import FilterTier
from netally.store.filters.tree import And, Comparison, Everything, Filter, Not, Or, Pattern, comparisons, fields_used

FIELDS_OF_MOVERS = frozenset(("host", "app", "browser", "domain"))
_NEGATED = {"!=": "=", "not in": "in", "!~": "~", "not under": "under"}


class MoverKey(NamedTuple):
    host: str
    app: str
    domain: str


Test = Callable[[MoverKey], bool]


class LiveView(msgspec.Struct, frozen=True):
    """Equal for readers that see the same."""

    visible: VisibleHosts = EVERY_HOST
    filter: str = ""
    """Canonical text."""


class Lens:
    """Answers for a view whether a host, and which of its movers, belong to it."""

    def __init__(self, visible: VisibleHosts = EVERY_HOST, tree: Filter | None = None) -> None:
        tree = tree or Everything()
        self.view = LiveView(visible, format_filter(tree))
        self.everything = visible.names is None and isinstance(tree, Everything)
        self.whole_hosts = fields_used(tree) <= {"host"}
        """The filter asks about hosts alone, so that the rates of their interfaces answer it; else the movers do."""
        self._visible = visible
        self._test = _compile(tree)

    def host(self, name: str) -> bool:
        return self._visible.sees(name) and (not self.whole_hosts or self._test(MoverKey(name, "", "")))

    def mover(self, host: str, app: str, domain: str) -> bool:
        return self.everything or (self._visible.sees(host) and self._test(MoverKey(host, app, domain)))


def look(visible: VisibleHosts, tree: Filter) -> Lens:
    """Raises the 422 for a filter that asks what live samples do not tell."""
    for comparison in comparisons(tree):
        if comparison.name not in FIELDS_OF_MOVERS:
            raise _refusal(comparison)
    return Lens(visible, tree)


def _refusal(comparison: Comparison) -> ProblemError:
    return bad_filter(
        FilterRefused(
            f"live samples do not tell {comparison.name}",
            comparison.start,
            comparison.end,
            "ask about host, app, browser and domain, or look at the last minutes in /api/flows",
            FilterTier.RAW,
        )
    )


def _compile(tree: Filter) -> Test:
    match tree:
        case Everything():
            return lambda key: True
        case Not(part):
            negated = _compile(part)
            return lambda key: not negated(key)
        case And(parts):
            every = [_compile(part) for part in parts]
            return lambda key: all(test(key) for test in every)
        case Or(parts):
            some = [_compile(part) for part in parts]
            return lambda key: any(test(key) for test in some)
        case Comparison():
            return _comparison(tree)


def _comparison(comparison: Comparison) -> Test:
    operator = _NEGATED.get(comparison.operator, comparison.operator)
    test = _positive(comparison.name, operator, [value.content for value in comparison.values])
    return test if operator == comparison.operator else lambda key: not test(key)


def _positive(name: str, operator: str, contents: list[object]) -> Test:
    text = _text_of(name)
    if isinstance(pattern := contents[0], Pattern):
        matches = _glob(pattern.glob).fullmatch
        return lambda key: matches(text(key)) is not None
    names = frozenset(str(content).lower() if name == "host" else str(content) for content in contents)
    if operator == "under":
        below = tuple(f".{one}" for one in names)
        return lambda key: text(key) in names or text(key).endswith(below)
    if name == "host":
        return lambda key: key.host.lower() in names
    return lambda key: text(key) in names


def _text_of(name: str) -> Callable[[MoverKey], str]:
    match name:
        case "host":
            return lambda key: key.host
        case "app":
            return lambda key: key.app
        case "domain":
            return lambda key: key.domain
        case _:
            return lambda key: browser_of(key.app) or ""


def _glob(glob: str) -> re.Pattern[str]:
    """The pattern as the database takes it, so that both mean the same."""
    expression = re.sub(
        r"\\(.)|(.)",
        lambda found: re.escape(found[1]) if found[1] else {"%": ".*", "_": "."}.get(found[2]) or re.escape(found[2]),
        like_pattern(glob),
        flags=re.DOTALL,
    )
    return re.compile(expression, re.IGNORECASE | re.DOTALL)


EVERYTHING = Lens()

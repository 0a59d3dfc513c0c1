"""How rules that rename and group applications are written. Text in, rules out; agents apply them. Pure.

One rule is ``FIELD=PATTERN -> NAME``, several are separated by semicolons or line ends, and the first that fits wins.
Fields are those of `FIELDS`; patterns are those of a shell (``*``, ``?``, ``[…]``); the new name may hold fields in
braces. ``unit=pod/* -> pods; executable=/opt/*/chrome -> Chrome of {user}``
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

FIELDS: Final = ("name", "executable", "user", "unit", "container")
PLACE: Final = re.compile(r"\{([^{}]*)\}")
"""A field within a new name."""
MAX_LENGTH: Final = 8_000


class NamingRule(msgspec.Struct, frozen=True):
    field: str
    """One of `FIELDS`."""
    pattern: str
    name: str


def read_rules(text: str) -> list[NamingRule]:
    """Rules in their order. ValueError that says which rule is wrong and why."""
    return [_read(rule.strip()) for rule in re.split(r"[;\n]", text) if rule.strip()]


def _read(rule: str) -> NamingRule:
    condition, arrow, name = rule.partition("->")
    field, equals, pattern = condition.partition("=")
    field, pattern, name = field.strip(), pattern.strip(), name.strip()
    if not (arrow and equals and pattern and name):
        raise ValueError(f"{rule!r} is no rule; write FIELD=PATTERN -> NAME")
    for each in (field, *PLACE.findall(name)):
        if each not in FIELDS:
            raise ValueError(f"{rule!r} names {each!r}; there are {', '.join(FIELDS)}")
    return NamingRule(field, pattern, name)

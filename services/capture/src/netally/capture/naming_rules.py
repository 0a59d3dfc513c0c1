"""Rules of the machine's owner that rename and group applications. Text in, a function from app to app out. Pure.

One rule is ``field=pattern -> name``, several are separated by semicolons, and the first that fits wins. Fields are
``name``, ``executable``, ``user``, ``unit`` and ``container``; patterns are those of a shell (``*``, ``?``, ``[…]``);
the new name may hold fields in braces. ``unit=pod/* -> pods; executable=/opt/*/chrome -> Chrome of {user}``
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import translate
from typing import Final

import msgspec

from netally.capture.app_name import cut_name
from netally.contracts.flow import App

_FIELDS: Final = ("name", "executable", "user", "unit", "container")
_PLACE: Final = re.compile(r"\{([^{}]*)\}")

Rename = Callable[[App], App]


def parse_rules(text: str) -> Rename:
    """Function that gives an app its name by these rules. ValueError that says which rule is wrong and why."""
    rules = [_parse(rule.strip()) for rule in text.split(";") if rule.strip()]

    def rename(app: App) -> App:
        for field, pattern, name in rules:
            if pattern.match(getattr(app, field)):
                # Grouped means one app: what would tell its programs apart goes, unless the name holds it.
                filled = cut_name(_PLACE.sub(lambda place: getattr(app, place.group(1)), name).strip())
                return msgspec.structs.replace(app, name=filled, executable="") if filled else app
        return app

    return rename


def _parse(rule: str) -> tuple[str, re.Pattern[str], str]:
    condition, arrow, name = rule.partition("->")
    field, equals, pattern = condition.partition("=")
    field, pattern, name = field.strip(), pattern.strip(), name.strip()
    if not (arrow and equals and pattern and name):
        raise ValueError(f"{rule!r} is no rule; write FIELD=PATTERN -> NAME")
    for each in (field, *_PLACE.findall(name)):
        if each not in _FIELDS:
            raise ValueError(f"{rule!r} names {each!r}; there are {', '.join(_FIELDS)}")
    return field, re.compile(translate(pattern)), name

"""Naming rules at work: a function from app to app. Pure. They are applied to what is told, not to what is remembered,
so that other rules name the next interval as a whole, programs that are gone included.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import translate
from functools import lru_cache

import msgspec

from netally.capture.app_name import cut_name
from netally.contracts.flow import App
from netally.contracts.naming_rules import PLACE, read_rules

Rename = Callable[[App], App]


def as_found(app: App) -> App:
    """What there is without rules."""
    return app


def parse_rules(text: str) -> Rename:
    """Function that gives an app its name by these rules. ValueError that says which rule is wrong and why."""
    rules = [(rule.field, re.compile(translate(rule.pattern)), rule.name) for rule in read_rules(text)]
    if not rules:
        return as_found

    # An interval asks for the same apps as the one before.
    @lru_cache(maxsize=10_000)
    def rename(app: App) -> App:
        for field, pattern, name in rules:
            if pattern.match(getattr(app, field)):
                # Grouped means one app: what would tell its programs apart goes, unless the name holds it.
                filled = cut_name(PLACE.sub(lambda place: getattr(app, place.group(1)), name).strip())
                return msgspec.structs.replace(app, name=filled, executable="") if filled else app
        return app

    return rename

"""What people fill in on the operations page, as arguments of commands.

In: the fields of a posted form, all texts. Out: arguments as ``netally.contracts.commands`` has them, or a FormError
that names the field. What only the API or the aggregator can know is left to them.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from netally.contracts.command_answers import CommandOrder
from netally.contracts.commands import COMMANDS
from netally.web.ledger_words import CACHE_WORDS
from netally.web.ranges import find_zone

Fields = Mapping[str, str]
LONGEST_FIELD = 2_000


class FormError(ValueError):
    """A field that cannot be used; the message says why and what to write."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Refusal(msgspec.Struct, frozen=True):
    """Why a form came back."""

    form: str
    field: str
    """Empty when it is no single field's fault."""
    message: str
    values: dict[str, str]
    """What was entered."""
    command: str = ""
    """Id of the refused command in the ledger."""


def text(fields: Fields, name: str) -> str:
    return fields.get(name, "").strip()[:LONGEST_FIELD]


def read_time(fields: Fields, name: str, zone: ZoneInfo) -> int | None:
    """Epoch milliseconds of a date field; in the zone that the form was made for, else the viewer's."""
    entered = text(fields, name)
    if not entered:
        return None
    try:
        time = dt.datetime.fromisoformat(entered)
        if time.tzinfo is None:
            time = time.replace(tzinfo=find_zone(text(fields, "tz")) or zone)
        return round(time.timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        raise FormError(name, f"“{entered[:40]}” is no time. Write it like 2026-11-19T14:15.") from None


def read_number(fields: Fields, name: str, words: str, *, least: int = 1, most: int = 36_500) -> int | None:
    entered = text(fields, name)
    if not entered:
        return None
    if not (entered.isascii() and entered.isdigit() and len(entered) < 9 and least <= int(entered) <= most):
        raise FormError(name, f"{words} is a whole number from {least} to {most}.")
    return int(entered)


def read_decimal(fields: Fields, name: str, words: str, *, most: float) -> float | None:
    entered = text(fields, name)
    if not entered:
        return None
    try:
        number = float(entered)
    except ValueError:
        number = 0.0
    if not 0 < number <= most:
        raise FormError(name, f"{words} is a number above 0 and up to {most:g}.")
    return number


def names(fields: Fields, name: str) -> list[str] | None:
    """Names with commas between them; null for none."""
    found = [part.strip() for part in text(fields, name).split(",") if part.strip()]
    return found or None


def given(**arguments: Any) -> dict[str, Any]:
    """Arguments that are there; a trailing underscore is for Python's own words."""
    return {name.rstrip("_"): value for name, value in arguments.items() if value is not None}


def aggregate(fields: Fields, zone: ZoneInfo) -> dict[str, Any]:
    start, end = read_time(fields, "from", zone), read_time(fields, "to", zone)
    if start is None and end is not None:
        raise FormError("from", "An end needs a start. Leave both empty for everything outstanding.")
    return given(tier=text(fields, "tier") or "all", from_=start, to=end)


def cleanup(_fields: Fields, _zone: ZoneInfo) -> dict[str, Any]:
    return {}


def refresh_cache(fields: Fields, _zone: ZoneInfo) -> dict[str, Any]:
    caches = [cache for cache in CACHE_WORDS if fields.get(f"cache-{cache}")]
    if not caches:
        raise FormError("caches", "Choose at least one cache.")
    return given(caches=None if len(caches) == len(CACHE_WORDS) else caches, hosts=names(fields, "hosts"))


def export(fields: Fields, zone: ZoneInfo) -> dict[str, Any]:
    start, end = read_time(fields, "from", zone), read_time(fields, "to", zone)
    for name, value in (("from", start), ("to", end)):
        if value is None:
            raise FormError(name, "An export needs a start and an end.")
    return given(
        from_=start,
        to=end,
        tier=text(fields, "tier") or None,
        format=text(fields, "format") or None,
        host=names(fields, "host"),
        app=names(fields, "app"),
        domain=names(fields, "domain"),
        filter=text(fields, "filter") or None,
    )


def hosts_only(fields: Fields, _zone: ZoneInfo) -> dict[str, Any]:
    return given(hosts=names(fields, "hosts"))


def set_interval(fields: Fields, _zone: ZoneInfo) -> dict[str, Any]:
    return given(interval=read_number(fields, "interval", "The interval", most=60), hosts=names(fields, "hosts"))


def set_retention(fields: Fields, _zone: ZoneInfo) -> dict[str, Any]:
    budget = read_decimal(fields, "budget_gb", "The budget", most=1_000_000)
    if fields.get("by") == "budget":
        if budget is None:
            raise FormError("budget_gb", "Enter how many GB the figures may take.")
        return {"budget_gb": budget}
    arguments = given(
        raw=read_number(fields, "raw", "Days"),
        minutes=read_number(fields, "minutes", "Days"),
        hours=read_number(fields, "hours", "Days"),
        days=read_number(fields, "days", "Days"),
    )
    if fields.get("for-ever"):
        if "days" in arguments:
            raise FormError("days", "Either a number of days or for ever: leave one out.")
        arguments["days"] = None
    return arguments


def set_config(fields: Fields, _zone: ZoneInfo) -> dict[str, Any]:
    return given(
        ledger_days=read_number(fields, "ledger_days", "Days", most=3_650),
        answer_seconds=read_decimal(fields, "answer_seconds", "Seconds", most=120),
    )


def set_log_level(fields: Fields, _zone: ZoneInfo) -> dict[str, Any]:
    target, _, host = text(fields, "target").partition(":")
    return given(target=target, level=text(fields, "level"), hosts=[host] if host else None)


def set_naming_rules(fields: Fields, _zone: ZoneInfo) -> dict[str, Any]:
    return {"rules": text(fields, "rules")}


def purge(fields: Fields, _zone: ZoneInfo) -> dict[str, Any]:
    name = text(fields, "name")
    if not name:
        raise FormError("name", "Enter the name of a host, an application or a domain.")
    dimension = text(fields, "dimension")
    if dimension not in ("host", "app", "domain"):
        raise FormError("dimension", "Choose host, application or domain.")
    return {dimension: name}


FORMS: dict[str, Callable[[Fields, ZoneInfo], dict[str, Any]]] = {
    "aggregate": aggregate,
    "cleanup": cleanup,
    "refresh-cache": refresh_cache,
    "export": export,
    "pause": hosts_only,
    "resume": hosts_only,
    "set-interval": set_interval,
    "set-retention": set_retention,
    "set-config": set_config,
    "set-log-level": set_log_level,
    "set-naming-rules": set_naming_rules,
    "purge": purge,
}
"""Every command but `cancel`, which is a button of the command it is about, and those of saved views, which are kept
where they are looked at.
"""

FIELDS = {"purge": {"host": "name", "app": "name", "domain": "name"}, "refresh-cache": {"hosts": "hosts"}}
"""Where the form's field is not called as the argument."""


def field_of(form: str, argument: str) -> str:
    """The field of a form that an argument at fault came from."""
    return FIELDS.get(form, {}).get(argument, argument.removeprefix("retention."))


def order(name: str, fields: Fields, zone: ZoneInfo) -> CommandOrder:
    """The order that a form makes. What can be previewed is: the preview's own page carries it out.

    The same form sent twice with the same content is one command, as its key says. Raises FormError.
    """
    arguments = FORMS[name](fields, zone)
    preview = COMMANDS[name].previews
    content = msgspec.json.encode([text(fields, "key"), name, arguments], order="sorted")
    key = f"form-{hashlib.sha256(content).hexdigest()[:32]}" if text(fields, "key") else None
    return CommandOrder(name=name, arguments=arguments, dry_run=preview, idempotency_key=key)

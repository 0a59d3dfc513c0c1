"""A command in words: what it is called, how it stands, what was asked and what came out.

Everything here may come from anybody who can reach the bus, so nothing is taken to have the shape it should have.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from msgspec import UNSET

from netally.contracts.command_answers import CommandRow
from netally.contracts.commands import (
    COMMANDS,
    FINAL_STATES,
    TIER_ALIASES,
    Aggregate,
    Cancel,
    CleanUp,
    DeleteView,
    Export,
    Pause,
    Purge,
    RefreshCache,
    Resume,
    RevokeToken,
    SaveView,
    SetConfig,
    SetInterval,
    SetLogLevel,
    SetNamingRules,
    SetRetention,
)
from netally.web.figures import NBSP, THIN, amount, count, duration, moment, span

TITLES = {
    "aggregate": "Run aggregation",
    "cleanup": "Clean up",
    "refresh-cache": "Refresh caches",
    "export": "Export",
    "pause": "Pause capture",
    "resume": "Resume capture",
    "set-interval": "Set interval",
    "set-retention": "Set retention",
    "set-config": "Change settings",
    "set-log-level": "Set log level",
    "set-naming-rules": "Set naming rules",
    "purge": "Purge",
    "save-view": "Save view",
    "delete-view": "Delete view",
    "cancel": "Stop a command",
    "create-token": "Make a token",
    "revoke-token": "Revoke a token",
}

TIER_WORDS = {"raw": "Flows", "1m": "1 minute", "1h": "1 hour", "1d": "1 day"}
CACHE_WORDS = {
    "processes": "processes",
    "names": "DNS names",
    "hosts": "host ids",
    "apps": "application ids",
    "domains": "domain ids",
}
FORMAT_WORDS = {"csv": "CSV", "json": "JSON lines", "parquet": "Parquet"}
LONGEST_TEXT = 160


class State(msgspec.Struct, frozen=True):
    """How a command stands: the mark's CSS class and a word."""

    mark: str
    word: str


_STATES = {
    "waiting": State("silent", "waiting"),
    "accepted": State("silent", "queued"),
    "progress": State("late", "running"),
    "succeeded": State("", "done"),
    "failed": State("failed", "failed"),
    "cancelled": State("silent", "cancelled"),
    "expired": State("failed", "expired"),
}
STATE_FILTERS = tuple((key, state.word) for key, state in _STATES.items())
"""Key for the API and word, for the ledger's filter."""


class LedgerRow(msgspec.Struct, frozen=True):
    """A row of the ledger."""

    id: str
    name: str
    title: str
    state: State
    active: bool
    arguments: str
    target: str
    actor: str
    verified: bool
    issued: str
    took: str
    outcome: str


def title(name: str) -> str:
    return TITLES.get(name, name[:40])


def state_of(row: CommandRow) -> State:
    """State with shape and word; a refusal never ran, a preview changed nothing, a part of the hosts is not all."""
    if row.state == "failed" and row.started_at is None:
        return State("failed", "refused")
    if row.state == "succeeded" and row.dry_run:
        return State("silent", "preview")
    if row.state == "succeeded" and row.result.get("silent"):
        return State("late", "partly")
    return _STATES.get(row.state, State("silent", row.state[:20]))


def ledger_rows(rows: Sequence[CommandRow], zone: ZoneInfo, now: int) -> list[LedgerRow]:
    return [ledger_row(row, zone, now) for row in rows]


def ledger_row(row: CommandRow, zone: ZoneInfo, now: int) -> LedgerRow:
    return LedgerRow(
        id=row.id,
        name=row.name,
        title=title(row.name),
        state=state_of(row),
        active=row.state not in FINAL_STATES,
        arguments=argument_words(row, zone, now),
        target=row.target,
        actor=row.actor or "nobody",
        verified=row.actor_verified,
        issued=moment(row.issued_at, zone, now, seconds=True),
        took=took_words(row, now),
        outcome=outcome_words(row),
    )


def took_words(row: CommandRow, now: int) -> str:
    """How long it has run; an en dash for one that never did."""
    if row.started_at is None:
        return "–"
    seconds = ((row.ended_at or now) - row.started_at) / 1000
    return f"<1{NBSP}s" if seconds < 1 else duration(seconds)


def outcome_words(row: CommandRow) -> str:
    """What became of it, as a clause."""
    rows, size = row.result.get("rows"), row.result.get("bytes")
    if row.name == "export" and row.state == "succeeded" and isinstance(rows, int) and isinstance(size, int):
        return f"{count(rows)} rows, {amount(size)}"
    return spaced(row.message)


def spaced(message: str) -> str:
    """A message with its large numbers in groups."""
    return re.sub(r"(?<![\w.-])\d{5,}(?![\w-])", lambda found: f"{int(found[0]):,}".replace(",", THIN), message)


def sentence(message: str) -> str:
    """A clause as a sentence."""
    text = spaced(message).strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text[-1:] in '.…' else '.'}" if text else ""


def range_words(start: int | None, end: int | None, zone: ZoneInfo, now: int) -> str:
    if start is None:
        return ""
    try:
        return span(start, end, zone, now) if end else f"from {moment(start, zone, now)}"
    except (OverflowError, OSError, ValueError):
        return f"{start}–{end}"


def argument_words(row: CommandRow, zone: ZoneInfo, now: int) -> str:
    """What was asked, short; what does not fit the command as it came."""
    kind = COMMANDS.get(row.name)
    if kind is not None and kind.withheld:
        # What is withheld makes it fit.
        return _plain({name: value for name, value in row.arguments.items() if name != "token"})[:LONGEST_TEXT]
    try:
        known: Any = msgspec.convert(row.arguments, kind.arguments) if kind else None
    except msgspec.ValidationError:
        known = None
    words = _words(known, zone, now) if known is not None else _plain(row.arguments)
    return words if len(words) <= LONGEST_TEXT else f"{words[: LONGEST_TEXT - 1]}…"


def _words(known: Any, zone: ZoneInfo, now: int) -> str:
    match known:
        case Aggregate(tier=tier, from_=start, to=end):
            coarsest = TIER_ALIASES.get(tier, tier)
            tiers = "all tiers" if coarsest == "all" else f"up to {TIER_WORDS[coarsest]}"
            return f"{tiers}, {range_words(start, end, zone, now) or 'all outstanding'}"
        case CleanUp():
            return "by the retention in force"
        case RefreshCache(caches=caches):
            return ", ".join(CACHE_WORDS[cache] for cache in caches) if caches else "all caches"
        case Export(from_=start, to=end):
            names = [*(known.host or ()), *(known.app or ()), *(known.domain or ()), known.filter]
            parts = [range_words(start, end, zone, now), TIER_WORDS[known.tier], FORMAT_WORDS[known.format], *names]
            return ", ".join(part for part in parts if part)
        case Pause(hosts=hosts) | Resume(hosts=hosts):
            return ", ".join(hosts) if hosts else "all hosts"
        case SetInterval(interval=interval):
            return f"every {interval}{NBSP}s"
        case SetLogLevel(level=level, target=target):
            return f"{target}: {level}"
        case SetNamingRules(rules=rules, hosts=hosts):
            return f"{', '.join(hosts) if hosts else 'all hosts'}: {rules or 'none'}"
        case SetRetention():
            return _retention(known)
        case SetConfig(retention=retention, ledger_days=days, answer_seconds=seconds):
            parts = [
                _retention(retention) if retention else "",
                f"ledger {days}{NBSP}d" if days else "",
                f"answer within {seconds:g}{NBSP}s" if seconds else "",
            ]
            return ", ".join(part for part in parts if part)
        case Purge(host=host, app=app, domain=domain):
            named = {"host": host, "application": app, "domain": domain}
            return ", ".join(f"{kind} {name}" for kind, name in named.items() if name)
        case SaveView(name=name):
            return name
        case DeleteView(view=view):
            return view[:8]
        case RevokeToken(token=token):
            return token
        case Cancel(command=command):
            return command[:8]
    return ""


def _retention(wanted: SetRetention) -> str:
    if wanted.budget_gb is not None:
        return f"what fits into {wanted.budget_gb:g}{NBSP}GB"
    given = [("flows", wanted.raw), ("minutes", wanted.minutes), ("hours", wanted.hours)]
    parts = [f"{name} {days}{NBSP}d" for name, days in given if days is not None]
    if wanted.days is not UNSET:
        parts.append("days for ever" if wanted.days is None else f"days {wanted.days}{NBSP}d")
    return ", ".join(parts)


def _plain(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in arguments.items())

"""One command as its page shows it: how it stands, what it did or would do, and what can be done next."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from netally.contracts.command_answers import CommandAnswer, CommandEventRow, CommandRow, RetentionBody
from netally.contracts.commands import COMMANDS, FINAL_STATES
from netally.web.figures import NBSP, Unit, amount, amount_unit, count, duration, in_unit, moment
from netally.web.ledger_words import (
    CACHE_WORDS,
    TIER_WORDS,
    LedgerRow,
    State,
    argument_words,
    ledger_row,
    outcome_words,
    sentence,
    state_of,
)

T = TypeVar("T")

PREVIEW_MS = 15 * 60_000
"""A preview older than this is not carried out: the figures have moved on."""
ALREADY_STOPPING = ("cancel",)

LOST = {
    "raw": "single connections, addresses and ports",
    "1m": "figures by the minute",
    "1h": "figures by the hour",
    "1d": "figures by the day",
}
KEPT = {
    "raw": "the bytes of every application × domain × host of that time, by the minute",
    "1m": "the bytes of every application × domain × host of that time, by the hour",
    "1h": "the bytes of every application × domain × host of that time, by the day",
    "1d": "everything that is younger",
}
RELATION_WORDS = {
    "flow": "Flows", "flow_1m": "1 minute", "flow_1h": "1 hour", "flow_1d": "1 day", "traffic_1h": "Totals, 1 hour",
    "traffic_1d": "Totals, 1 day", "tally": "Interface counters", "tab_activity": "Browser tabs",
}  # fmt: skip
SETTING_WORDS = {
    "raw": "Flows, days",
    "minutes": "1 minute, days",
    "hours": "1 hour, days",
    "days": "1 day, days",
    "ledger_days": "Ledger, days",
    "answer_seconds": "Hosts answer within, s",
    "log_level": "Log level",
}


class Column(msgspec.Struct, frozen=True):
    words: str
    css: str = ""


class Row(msgspec.Struct, frozen=True):
    cells: list[str]
    mark: str | None = None
    """Mark of the first cell."""
    rest: bool = False


class Detail(msgspec.Struct, frozen=True):
    """A table of what a command did."""

    caption: str
    columns: list[Column]
    rows: list[Row]
    foot: list[str] = []


class Confirm(msgspec.Struct, frozen=True):
    """What carries out a preview."""

    button: str
    size: str = ""
    """To be typed; empty when nothing is lost."""
    too_old: bool = False


class Progress(msgspec.Struct, frozen=True):
    words: str
    percent: float | None
    """Null when it cannot be told."""


class File(msgspec.Struct, frozen=True):
    """A finished export."""

    name: str
    size: str
    sha256: str
    until: str
    gone: bool


class EventLine(msgspec.Struct, frozen=True):
    time: str
    state: State
    source: str
    message: str


class CommandView(msgspec.Struct, frozen=True):
    row: LedgerRow
    """As in the ledger."""
    dry_run: bool
    state: str
    headline: str
    advice: str
    """Why, and the next step; may be empty."""
    field: str
    facts: list[tuple[str, str]]
    arguments: str
    progress: Progress | None
    details: list[Detail]
    lost: str
    kept: str
    confirm: Confirm | None
    file: File | None
    events: list[EventLine]
    stop: str
    """Words on the button that ends it; empty when it cannot be ended."""


class _Written(msgspec.Struct):
    buckets: int
    rows: int
    seconds: float


class Dropped(msgspec.Struct):
    """What went of a tier, or would go."""

    rows: int
    bytes: int
    before: int | None = None
    oldest: int | None = None


FOR_EVER_DAYS = 3650
"""What is kept for ever is told for ten years."""


class _Cost(msgspec.Struct):
    tier: str
    bytes_per_day: int
    days: int | None
    bytes: int


class _Change(msgspec.Struct):
    before: str | float | None
    after: str | float | None


class _Host(msgspec.Struct):
    before: dict[str, Any]
    after: dict[str, Any]
    acknowledged: bool


class _Cache(msgspec.Struct):
    instance: str
    service: str
    dropped: dict[str, int]


class _File(msgspec.Struct):
    file: str
    bytes: int
    sha256: str
    expires_at: int


def command_view(answer: CommandAnswer, zone: ZoneInfo, now: int) -> CommandView:
    row = answer.command
    dropped = drops(row)
    active = row.state not in FINAL_STATES
    headline, advice = _headline(row)
    would_go = {tier: part for tier, part in dropped.items() if part.rows or part.bytes}
    return CommandView(
        row=ledger_row(row, zone, now),
        dry_run=row.dry_run,
        state=row.state,
        headline=headline,
        advice=advice,
        field=row.field or "",
        facts=_facts(row, zone, now),
        arguments=argument_words(row, zone, now),
        progress=_progress(answer, now) if row.state == "progress" else None,
        details=_details(row, zone, now) if not active else [],
        lost=_lost(would_go, zone, now) if row.dry_run else "",
        kept=KEPT[max(would_go, key=list(KEPT).index)] if would_go and row.dry_run else "",
        confirm=_confirm(row, now),
        file=_file(row, zone, now),
        events=[_event(event, row, zone, now) for event in answer.events],
        stop="" if not active or row.name in ALREADY_STOPPING else "Stop" if row.state == "progress" else "Take back",
    )


def _headline(row: CommandRow) -> tuple[str, str]:
    """What is so; why and the next step."""
    said = sentence(row.message)
    match row.state:
        case "waiting":
            return (
                "Waiting: no aggregator is running.",
                "It is kept on the bus and runs as soon as an aggregator is there.",
            )
        case "accepted":
            return "Queued.", said if row.message != "accepted" else "Its turn comes at once."
        case "progress":
            return "Running.", ""
        case "succeeded" if row.dry_run:
            return "Preview. Nothing is changed yet.", "" if row.result.get("changes") else said
        case "succeeded":
            silent = row.result.get("silent")
            said = sentence(outcome_words(row))
            if not silent:
                return said or "Done.", ""
            # A setting is kept for a host that is away; an order to forget is not.
            kept = "follow" if row.name != "refresh-cache" else "keep what they remember: refresh again"
            return said, f"The others are done. Those named {kept} when they are back."
        case "failed" if row.started_at is None:
            return f"Refused: {said}" if said else "Refused.", "Nothing was run."
        case "failed":
            return f"Failed: {said}" if said else "Failed.", ""
        case "cancelled":
            return f"Cancelled: {said}" if said else "Cancelled.", ""
        case "expired":
            return "Expired.", said
    return said, ""


def _facts(row: CommandRow, zone: ZoneInfo, now: int) -> list[tuple[str, str]]:
    facts = [
        ("For", row.target),
        ("By", f"{row.actor or 'nobody'}{'' if row.actor_verified else ', not verified'}"),
        ("Issued", moment(row.issued_at, zone, now, seconds=True)),
    ]
    if row.started_at is not None:
        facts += [
            ("Started", moment(row.started_at, zone, now, seconds=True)),
            ("Took" if row.ended_at else "Runs for", ledger_row(row, zone, now).took),
        ]
    if row.deadline is not None:
        facts.append(("Not to start after", moment(row.deadline, zone, now, seconds=True)))
    return facts


def _event(event: CommandEventRow, row: CommandRow, zone: ZoneInfo, now: int) -> EventLine:
    at = msgspec.structs.replace(row, state=event.state, result=event.detail)
    return EventLine(moment(event.time, zone, now, seconds=True), state_of(at), event.source, sentence(event.message))


def _progress(answer: CommandAnswer, now: int) -> Progress:
    """``63 %, 2 min 08 s, about 1 min left``: of the last event that tells how far it is."""
    row = answer.command
    share = None
    for event in answer.events:
        told = event.detail.get("share")
        steps = re.search(r"\b(\d{1,6}) of (\d{1,6})\b", event.message)
        if isinstance(told, int | float) and 0 <= told <= 1:
            share = float(told)
        elif steps and 0 < int(steps[1]) <= int(steps[2]):
            share = (int(steps[1]) - 1) / int(steps[2])
    elapsed = max(0, now - (row.started_at or now)) / 1000
    words = [sentence(row.message).rstrip("."), duration(elapsed)]
    if share is not None:
        words.insert(1, f"{int(share * 100)}{NBSP}%")
    if share and elapsed >= 2:
        words.append(f"about {duration(elapsed / share - elapsed)} left")
    return Progress(", ".join(word for word in words if word), None if share is None else round(share * 100, 1))


def _read(value: Any, kind: type[T]) -> T | None:
    """A part of a result, if it has the shape it should have."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return None


def drops(row: CommandRow) -> dict[str, Dropped]:
    """What went of each tier, or would go, by `cleanup` and `set-retention`."""
    part = {"cleanup": "tiers", "set-retention": "drops", "set-config": "drops"}.get(row.name)
    found = _read(row.result.get(part), dict[str, Dropped]) if part else None
    return {tier: one for tier, one in (found or {}).items() if tier in TIER_WORDS}


def size_words(row: CommandRow) -> str:
    """How much is lost, as one types it: ``22.2 GB``, or ``48210 rows`` where bytes are not known."""
    if row.name == "purge":
        rows = row.result.get("rows")
        return _rows(rows) if isinstance(rows, int) else ""
    parts = drops(row).values()
    size, rows = sum(part.bytes for part in parts), sum(part.rows for part in parts)
    return amount(size).replace(NBSP, " ") if size else _rows(rows)


def _rows(rows: int) -> str:
    return f"{count(rows)} row{'' if rows == 1 else 's'}" if rows else ""


def is_typed(typed: str, size: str) -> bool:
    """Whether what was typed is the size, however its parts are spaced."""
    plain = re.compile(r"[\s\u2009\u00a0]+")
    return plain.sub("", typed).lower() == plain.sub("", size).lower()


def _confirm(row: CommandRow, now: int) -> Confirm | None:
    if not row.dry_run or row.state != "succeeded" or row.name not in COMMANDS:
        return None
    too_old = now - (row.ended_at or row.issued_at) > PREVIEW_MS
    size = size_words(row)
    if row.name in ("cleanup", "purge"):
        return Confirm(f"Delete {size}", size, too_old) if size else None
    if not row.result.get("changes"):
        return None
    return Confirm(f"Save, delete {size} in the next clean-up" if size else "Save", size, too_old)


def _lost(would_go: dict[str, Dropped], zone: ZoneInfo, now: int) -> str:
    parts = []
    for tier, part in would_go.items():
        ends = ""
        if part.before is not None:
            ends = f" before {moment(part.before, zone, now)}"
            if part.oldest is not None:
                ends = f" from {moment(part.oldest, zone, now)} to {moment(part.before, zone, now)}"
        parts.append(LOST[tier] + ends)
    return "; ".join(parts)


def _file(row: CommandRow, zone: ZoneInfo, now: int) -> File | None:
    found = _read(row.result, _File) if row.name == "export" and row.state == "succeeded" else None
    if found is None:
        return None
    return File(
        found.file,
        amount(found.bytes),
        found.sha256,
        moment_ahead(found.expires_at, zone, now),
        found.expires_at <= now,
    )


def moment_ahead(ms: int, zone: ZoneInfo, now: int) -> str:
    """A moment to come: the day as well as the time."""
    return f"{moment(ms, zone, now - 7 * 86_400_000)} {moment(ms, zone, ms)}"


# --- tables of what was done ----------------------------------------------------------------------------------------


def _details(row: CommandRow, zone: ZoneInfo, now: int) -> list[Detail]:
    result = row.result
    found: Iterable[Detail | None] = (
        _written(_read(result.get("tiers"), dict[str, _Written])) if row.name == "aggregate" else None,
        _changes(_read(result.get("changes"), dict[str, _Change])),
        _dropped(row, drops(row), zone, now),
        costs(row),
        _hosts(row, _read(result.get("hosts"), dict[str, _Host])),
        _caches(_read(result.get("instances"), list[_Cache]), _read(result.get("silent"), list[str])),
        _relations(_read(result.get("relations"), dict[str, int])),
    )
    return [detail for detail in found if detail is not None]


def _written(tiers: dict[str, _Written] | None) -> Detail | None:
    if not tiers:
        return None
    return Detail(
        "Written by tier",
        [Column("Tier"), Column("Buckets", "n"), Column("Rows", "n"), Column("Took s", "n p2")],
        [
            Row([TIER_WORDS.get(tier, tier), count(one.buckets), count(one.rows), f"{one.seconds:.1f}"])
            for tier, one in tiers.items()
        ],
        [
            "Together",
            count(sum(one.buckets for one in tiers.values())),
            count(sum(one.rows for one in tiers.values())),
            f"{sum(one.seconds for one in tiers.values()):.1f}",
        ],
    )


def _dropped(row: CommandRow, tiers: dict[str, Dropped], zone: ZoneInfo, now: int) -> Detail | None:
    if not tiers:
        return None
    unit = amount_unit([*(one.bytes for one in tiers.values()), sum(one.bytes for one in tiers.values())])
    preview = row.dry_run
    if row.name == "cleanup":
        caption = "What would be deleted" if preview else "What was deleted"
    else:
        caption = "What the next clean-up deletes"
    columns = [
        Column("Tier"),
        Column("From" if preview else "Oldest left", "n p3"),
        Column("Before", "n p2"),
        Column("Rows", "n"),
        Column(f"{'Frees' if preview else 'Freed'} {unit.symbol}", "n"),
    ]
    rows = [
        Row(
            [
                TIER_WORDS[tier],
                moment(one.oldest, zone, now),
                moment(one.before, zone, now),
                count(one.rows),
                in_unit(one.bytes, unit),
            ],
            rest=not one.rows and not one.bytes,
        )
        for tier, one in tiers.items()
    ]
    total = sum(one.bytes for one in tiers.values())
    foot = ["Together", "", "", count(sum(one.rows for one in tiers.values())), in_unit(total, unit)]
    return Detail(caption, columns, rows, foot)


def costs(row: CommandRow, retention: RetentionBody | None = None) -> Detail | None:
    """What the tiers take once they are as old as they may get: by the command, or by another retention at its rate."""
    found = _read(row.result.get("costs"), list[_Cost])
    if not found:
        return None
    if retention:
        ages = {"raw": retention.raw, "1m": retention.minutes, "1h": retention.hours, "1d": retention.days}
        found = [
            _Cost(one.tier, one.bytes_per_day, ages[one.tier], one.bytes_per_day * (ages[one.tier] or FOR_EVER_DAYS))
            for one in found
            if one.tier in ages
        ]
    a_day = amount_unit([one.bytes_per_day for one in found])
    full = amount_unit([*(one.bytes for one in found), sum(one.bytes for one in found)])
    return Detail(
        "What it costs, at the rate of the last day",
        [
            Column("Tier"),
            Column("Keep", "n"),
            Column(f"{a_day.symbol} a day", "n p2"),
            Column(f"{full.symbol} when full", "n"),
        ],
        [
            Row(
                [
                    TIER_WORDS.get(one.tier, one.tier),
                    days_words(one.days),
                    in_unit(one.bytes_per_day, a_day),
                    f"{in_unit(one.bytes, full)}{'' if one.days is not None else ' in 10 years'}",
                ]
            )
            for one in found
        ],
        ["Together", "", *_sums(found, a_day, full)],
    )


def _sums(found: Sequence[_Cost], a_day: Unit, full: Unit) -> list[str]:
    return [in_unit(sum(one.bytes_per_day for one in found), a_day), in_unit(sum(one.bytes for one in found), full)]


def days_words(days: int | None) -> str:
    return "for ever" if days is None else f"{count(days)}{NBSP}d"


def _changes(changes: dict[str, _Change] | None) -> Detail | None:
    if not changes:
        return None

    def words(name: str, value: str | float | None) -> str:
        if value is None:
            return "for ever" if name == "days" else "as started"
        return value if isinstance(value, str) else f"{value:g}"

    return Detail(
        "Before and after",
        [Column("Setting"), Column("Before", "n"), Column("After", "n")],
        [
            Row([SETTING_WORDS.get(name, name), words(name, one.before), words(name, one.after)])
            for name, one in changes.items()
        ],
    )


def _hosts(row: CommandRow, hosts: dict[str, _Host] | None) -> Detail | None:
    if not hosts:
        return None

    def words(settings: dict[str, Any]) -> str:
        if row.name == "set-interval":
            return f"every {settings.get('interval')}{NBSP}s"
        if row.name == "set-log-level":
            return str(settings.get("log_level") or "as started")
        if row.name == "set-naming-rules":
            return str(settings.get("naming_rules") or "no rules")
        return "paused" if settings.get("paused") else "capturing"

    late_first = sorted(hosts.items(), key=lambda item: (item[1].acknowledged, item[0]))
    return Detail(
        "By host",
        [Column("Host"), Column("Before"), Column("After"), Column("Result")],
        [
            Row(
                [
                    name,
                    words(one.before),
                    words(one.after),
                    "followed" if one.acknowledged else "no answer yet; follows when it is back",
                ],
                "" if one.acknowledged else "silent",
            )
            for name, one in late_first
        ],
    )


def _caches(instances: list[_Cache] | None, silent: list[str] | None) -> Detail | None:
    if instances is None:
        return None

    def dropped(one: _Cache) -> str:
        return ", ".join(f"{CACHE_WORDS.get(cache, cache)} {count(number)}" for cache, number in one.dropped.items())

    lines = [Row([name, "capture", "–", "–", "no answer"], "silent") for name in silent or ()]
    lines += [
        Row([one.instance, one.service, dropped(one) or "–", count(sum(one.dropped.values())), "done"], "")
        for one in instances
    ]
    total = sum(sum(one.dropped.values()) for one in instances)
    return Detail(
        "Result by instance",
        [
            Column("Instance"),
            Column("Service", "p2"),
            Column("Caches", "p3"),
            Column("Entries dropped", "n"),
            Column("Result", "p2"),
        ],
        lines,
        ["Together", "", "", count(total), ""],
    )


def _relations(relations: dict[str, int] | None) -> Detail | None:
    if not relations:
        return None
    return Detail(
        "Rows by relation",
        [Column("Relation"), Column("Rows", "n")],
        [Row([RELATION_WORDS.get(name, name), count(rows)], rest=not rows) for name, rows in relations.items()],
        ["Together", count(sum(relations.values()))],
    )

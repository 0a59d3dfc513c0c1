"""The operations page (what is done at once, and the ledger), the settings page, and a command's own page."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Response, get, post
from litestar.exceptions import NotFoundException
from litestar.params import FromPath, URLEncodedBody
from litestar.response import Redirect, Stream

from netally.contracts.command_answers import (
    CommandAnswer,
    CommandOrder,
    CommandRow,
    CommandsAnswer,
    ConfigAnswer,
    HostConfig,
    RetentionBody,
)
from netally.contracts.commands import COMMANDS, FINAL_STATES
from netally.web.api_client import ApiProblem
from netally.web.appearance import LOCALES, UNITS, locale_of
from netally.web.command_forms import FORMS, FormError, Refusal, field_of, order, text
from netally.web.command_view import CommandView, Detail, command_view, costs, is_typed, size_words
from netally.web.figures import NBSP, STYLE, local
from netally.web.ledger_words import (
    CACHE_WORDS,
    FORMAT_WORDS,
    STATE_FILTERS,
    TIER_WORDS,
    TITLES,
    LedgerRow,
    ledger_row,
    ledger_rows,
    sentence,
)
from netally.web.live_page import RETRY_SECONDS, sse
from netally.web.metrics import LIVE_STREAMS
from netally.web.ranged_page import Part, settle
from netally.web.ranges import DAY, HOUR, ZONES, find_zone
from netally.web.rendering import render
from netally.web.security import same_origin
from netally.web.visits import AnyRequest, Visit, visit_of

Form = URLEncodedBody[dict[str, str]]

ORDER_SECONDS = 2.0
"""Most commands are over by then, so that their page need not be followed."""
LEDGER_ROWS = 25
RECENT_ROWS = 200
"""How far back the last command of each kind is looked for."""
SET_BY_HAND = frozenset(
    ("set-retention", "set-log-level", "set-config", "set-naming-rules", "set-interval", "pause", "resume")
)
"""Ordered on the settings page; all other commands on the operations page."""
INTERVALS = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60)
LEVELS = ("debug", "info", "warning", "error")
IDENTITY = re.compile("[0-9a-f]{32}")


class HostLine(msgspec.Struct, frozen=True):
    """A host's settings: how it stands, what is wanted of it."""

    name: str
    mark: str
    words: str
    interval: int
    wanted: str
    """What it has yet to follow; empty when it does."""
    paused: bool
    """Wanted."""
    level: str


def host_line(host: HostConfig) -> HostLine:
    wanted = []
    if not host.follows:
        if host.desired_paused != host.actual_paused:
            wanted.append("paused" if host.desired_paused else "capturing")
        if host.desired_interval not in (None, host.actual_interval):
            wanted.append(f"every {host.desired_interval}{NBSP}s")
        wanted = wanted or [f"settings {host.desired_version}, has {host.actual_version}"]
    return HostLine(
        host.host,
        "late" if wanted else "paused" if host.actual_paused else "",
        "paused" if host.actual_paused else "capturing",
        host.actual_interval,
        ", ".join(wanted),
        host.desired_paused,
        host.desired_log_level or "as started",
    )


@get("/operations", include_in_schema=False)
async def operations(request: AnyRequest) -> Response[str]:
    return await _page(visit_of(request))


async def _page(visit: Visit, refused: Refusal | None = None, status: int = 200) -> Response[str]:
    query = visit.request.query_params
    name = query.get("command", "") if query.get("command") in COMMANDS else ""
    state = query.get("state", "") if query.get("state") in dict(STATE_FILTERS) else ""
    before = query.get("before", "")[:60]
    api, reader = visit.api, visit.reader
    ledger, recent = await api.together(
        asyncio.gather(
            settle(api.commands(reader, limit=LEDGER_ROWS, before=before, name=name, state=state)),
            settle(api.commands(reader, limit=RECENT_ROWS)),
        )
    )
    await visit.know_role()
    context = _commanded(visit, _latest(recent))
    return visit.page(
        "operations.html.j2",
        "Operations",
        status=status,
        refused=refused,
        counts=_counts(recent),
        active=any(row.active for row in context["last"].values()) or _any_active(ledger),
        ledger=_ledger(visit, ledger, name, state, before),
        tiers=TIER_WORDS,
        caches=CACHE_WORDS,
        formats=FORMAT_WORDS,
        **context,
        **_last_day(visit),
    )


def _commanded(visit: Visit, latest: dict[str, CommandRow]) -> dict[str, Any]:
    """What forms of commands need, and how the last command of each kind stands."""
    return {
        "key": secrets.token_hex(8),
        "zone": visit.zone.key,
        "unmanned": any(row.state == "waiting" for row in latest.values()),
        "last": {command: ledger_row(row, visit.zone, visit.now) for command, row in latest.items()},
    }


@get("/settings", include_in_schema=False)
async def settings(request: AnyRequest) -> Response[str]:
    return await _settings(visit_of(request))


async def _settings(visit: Visit, refused: Refusal | None = None, status: int = 200) -> Response[str]:
    """Appearance, which is the browser's own, works whatever the API says; the rest are commands."""
    api, reader = visit.api, visit.reader
    recent, config = await api.together(
        asyncio.gather(settle(api.commands(reader, limit=RECENT_ROWS)), settle(api.config(reader)))
    )
    await visit.know_role()
    cookies = visit.request.cookies
    latest = _latest(recent)
    rows = recent.commands if isinstance(recent, CommandsAnswer) else []
    return visit.page(
        "settings.html.j2",
        "Settings",
        status=status,
        refused=refused,
        costs=_costs(rows, config.retention) if isinstance(config, ConfigAnswer) else None,
        units=UNITS,
        unit="bytes" if STYLE.get().rates_in_bytes else "bits",
        locales=LOCALES,
        locale=cookies["locale"] if cookies.get("locale") in LOCALES else "automatic",
        locale_found=locale_of(visit.request.headers.get("accept-language", "")),
        zones=ZONES,
        zone_chosen=visit.zone.key if find_zone(cookies.get("zone", "").replace("%2F", "/")) else "automatic",
        fleet=_fleet(visit, latest),
        config=_config(config),
        hosts=[host_line(host) for host in config.hosts] if isinstance(config, ConfigAnswer) else [],
        intervals=INTERVALS,
        levels=LEVELS,
        **_commanded(visit, latest),
    )


def _costs(rows: Sequence[CommandRow], retention: RetentionBody | None) -> Detail | None:
    """What the retention in force costs, at the rate that the newest preview or change of it measured."""
    for row in rows:
        if row.name == "set-retention" and row.state == "succeeded" and retention and (found := costs(row, retention)):
            return found
    return None


def _latest(recent: CommandsAnswer | ApiProblem) -> dict[str, CommandRow]:
    """The newest command of each name; one that is not over before all others."""
    rows = recent.commands if isinstance(recent, CommandsAnswer) else []
    found: dict[str, CommandRow] = {}
    for row in sorted(rows, key=lambda row: (row.state in FINAL_STATES, -row.issued_at)):
        found.setdefault(row.name, row)
    return found


def _fleet(visit: Visit, latest: dict[str, CommandRow]) -> LedgerRow | None:
    """The newest command to hosts."""
    rows = [latest[name] for name in ("pause", "resume", "set-interval") if name in latest]
    newest = max(rows, key=lambda row: (row.state not in FINAL_STATES, row.issued_at), default=None)
    return ledger_row(newest, visit.zone, visit.now) if newest else None


def _counts(recent: CommandsAnswer | ApiProblem) -> list[tuple[str, int]]:
    if isinstance(recent, ApiProblem):
        return []
    return [("Running", recent.running), ("Waiting", recent.waiting), ("Failed in 24 h", recent.failed)]


def _any_active(ledger: CommandsAnswer | ApiProblem) -> bool:
    return isinstance(ledger, CommandsAnswer) and any(row.state not in FINAL_STATES for row in ledger.commands)


class Ledger(msgspec.Struct, frozen=True):
    rows: list[LedgerRow]
    older: str
    """Query of the page with older ones; empty when there are none."""
    newest: bool
    name: str
    state: str
    names: list[tuple[str, str]]
    states: tuple[tuple[str, str], ...]


def _ledger(visit: Visit, answer: CommandsAnswer | ApiProblem, name: str, state: str, before: str) -> Ledger | Part:
    if isinstance(answer, ApiProblem):
        return Part(str(answer))
    older = ""
    if answer.next:
        pairs = {"command": name, "state": state, "before": answer.next}
        older = urlencode({key: value for key, value in pairs.items() if value})
    rows = ledger_rows(answer.commands, visit.zone, visit.now)
    return Ledger(rows, older, not before, name, state, list(TITLES.items()), STATE_FILTERS)


def _config(config: ConfigAnswer | ApiProblem) -> ConfigAnswer | Part:
    return Part(str(config)) if isinstance(config, ApiProblem) else config


def _last_day(visit: Visit) -> dict[str, Any]:
    """The last 24 whole hours, as the export's form has them before anything is entered."""
    end = visit.now // HOUR * HOUR
    return {
        f"day_{name}": f"{local(moment, visit.zone):%Y-%m-%dT%H:%M}"
        for name, moment in (("from", end - DAY), ("to", end))
    }


@post("/operations/{name:str}", include_in_schema=False, status_code=303)
async def order_command(request: AnyRequest, name: FromPath[str], data: Form) -> Response[Any]:
    """A form of the page. See other: the command's own page; or the form again with what is wrong."""
    visit = visit_of(request)
    _check_origin(request)
    if name not in FORMS:
        raise NotFoundException
    fields = {key[:40]: value[:2000] for key, value in data.items()}
    show = _settings if name in SET_BY_HAND else _page
    try:
        wanted = order(name, fields, visit.zone)
    except FormError as error:
        return await show(visit, Refusal(name, error.field, str(error), fields), 400)
    try:
        row = await _ordered(visit, wanted)
    except ApiProblem as problem:
        if problem.status not in (400, 403, 409, 422, 503):
            raise
        field = field_of(name, problem.parameter) if problem.parameter else ""
        return await show(visit, Refusal(name, field, problem.detail, fields, problem.command), problem.status)
    if row.state == "failed" and row.field:
        # Only the aggregator could tell, but still within the time that the form waited.
        return await show(visit, Refusal(name, field_of(name, row.field), sentence(row.message), fields, row.id), 400)
    return Redirect(f"/operations/commands/{row.id}", status_code=303)


async def _ordered(visit: Visit, wanted: CommandOrder) -> CommandRow:
    return await visit.api.together(visit.api.order(visit.reader, wanted, wait=ORDER_SECONDS))


def _check_origin(request: AnyRequest) -> None:
    if not same_origin(request):
        raise ApiProblem(403, "The form was sent from another site.")


@get("/operations/commands/{identity:str}", include_in_schema=False)
async def command_page(request: AnyRequest, identity: FromPath[str]) -> Response[str]:
    visit = visit_of(request)
    await visit.know_role()
    return _command_page(visit, await _read(visit, identity))


async def _read(visit: Visit, identity: str) -> CommandAnswer:
    if not IDENTITY.fullmatch(identity):
        raise NotFoundException
    return await visit.api.together(visit.api.command(visit.reader, identity))


def _command_page(visit: Visit, answer: CommandAnswer, *, problem: str = "", status: int = 200) -> Response[str]:
    view = command_view(answer, visit.zone, visit.now)
    return visit.page(
        "command.html.j2",
        view.row.title,
        status=status,
        view=view,
        follows=answer.command.state not in FINAL_STATES,
        problem=problem,
    )


@post("/operations/commands/{identity:str}/confirm", include_in_schema=False, status_code=303)
async def confirm_preview(request: AnyRequest, identity: FromPath[str], data: Form) -> Response[Any]:
    """Carries out what a preview showed, once, when its size was typed."""
    visit = visit_of(request)
    _check_origin(request)
    answer = await _read(visit, identity)
    preview = answer.command
    view = command_view(answer, visit.zone, visit.now)
    if view.confirm is None or view.confirm.too_old:
        return _command_page(visit, answer, status=409, problem="This preview cannot be carried out any more.")
    size = size_words(preview)
    if size and not is_typed(text(data, "size"), size):
        return _command_page(visit, answer, status=400, problem=f"Nothing was deleted: type {size} as it stands here.")
    wanted = CommandOrder(name=preview.name, arguments=preview.arguments, idempotency_key=f"preview-{preview.id}")
    try:
        row = await _ordered(visit, wanted)
    except ApiProblem as problem:
        if problem.status not in (400, 403, 409, 422, 503):
            raise
        return _command_page(visit, answer, status=problem.status, problem=problem.detail)
    return Redirect(f"/operations/commands/{row.id}", status_code=303)


@post("/operations/commands/{identity:str}/cancel", include_in_schema=False, status_code=303)
async def cancel_command(request: AnyRequest, identity: FromPath[str]) -> Response[Any]:
    """Takes a command back, or stops it; then its page says what became of it."""
    visit = visit_of(request)
    _check_origin(request)
    if not IDENTITY.fullmatch(identity):
        raise NotFoundException
    await visit.api.together(visit.api.cancel(visit.reader, identity))
    return Redirect(f"/operations/commands/{identity}", status_code=303)


@get("/operations/commands/{identity:str}/events", include_in_schema=False)
async def command_stream(request: AnyRequest, identity: FromPath[str]) -> Stream:
    """Server-sent events: the command's part of its page, each time something happens; ``ended`` when it is over."""
    visit = visit_of(request)
    answer = await _read(visit, identity)
    return Stream(
        _follow(visit, answer),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _follow(visit: Visit, answer: CommandAnswer) -> AsyncIterator[str]:
    identity = answer.command.id
    clock = visit.request.app.state.clock
    LIVE_STREAMS.inc()
    try:
        while True:
            yield _part(command_view(answer, visit.zone, clock()))
            if answer.command.state in FINAL_STATES:
                yield sse("ended", event="ended")
                return
            try:
                after = max((event.id for event in answer.events), default=0)
                async with visit.api.command_events(visit.reader, identity, after) as events:
                    async for _ in events:
                        answer = await visit.api.command(visit.reader, identity)
                        if answer.command.state in FINAL_STATES:
                            break
                        yield _part(command_view(answer, visit.zone, clock()))
                answer = await visit.api.command(visit.reader, identity)
            except ApiProblem as problem:
                if problem.status == 401:
                    yield sse("session ended", event="reload")
                    return
                await asyncio.sleep(RETRY_SECONDS)
    finally:
        LIVE_STREAMS.dec()


def _part(view: CommandView) -> str:
    return sse(render("_command.html.j2", view=view, problem=""))

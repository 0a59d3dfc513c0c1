"""``/api/commands``: order commands, see the ledger, follow and cancel one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter
from litestar.response import Stream

from netally.api.command_bus import ADVICE, BUS_TROUBLE, CommandBus, row_of
from netally.api.database import Database
from netally.api.guarding import STREAM
from netally.api.parameters import Name
from netally.api.permissions import actor_limit
from netally.api.problems import (
    BAD_PARAMETER,
    CONFLICT,
    DETAIL_PROBLEMS,
    FORBIDDEN,
    NOT_FOUND,
    QUERY_PROBLEMS,
    UNAUTHORIZED,
    UNAVAILABLE,
    ProblemError,
    bad_parameter,
    not_found,
    problem,
)
from netally.api.ranges import DAY_MS, parse_time
from netally.api.reading import Clock
from netally.contracts.command_answers import (
    CommandAnswer,
    CommandEventRow,
    CommandKindRow,
    CommandOrder,
    CommandRow,
    CommandsAnswer,
)
from netally.contracts.commands import COMMANDS, FINAL_STATES
from netally.contracts.queries import Session

Wait = Annotated[
    float, QueryParameter(name="wait", ge=0, le=30, description="Seconds to wait for the end; 202 when it takes longer")
]
IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key", min_length=1, max_length=200, description="The same key is not run a second time"
    ),
]
ORDER_PROBLEMS = {**BAD_PARAMETER, **UNAUTHORIZED, **FORBIDDEN, **CONFLICT, **UNAVAILABLE}
ACCEPTED = {202: ResponseSpec(CommandRow, description="It waits or runs; its id is in the answer")}
CANCEL_WAIT = 12.0
KEEP_ALIVE = 15.0

_encoder = msgspec.json.Encoder()


def answer(row: CommandRow) -> Response[CommandRow]:
    """200 with the outcome, 202 while there is none."""
    return Response(row, status_code=200 if row.state in FINAL_STATES else 202, headers={"Location": _path(row.id)})


def _path(command_id: str) -> str:
    return f"/api/commands/{command_id}"


async def with_times(database: Database, arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments with ``from`` and ``to`` in epoch milliseconds. Raises the 400 that names the one that is no time."""
    texts = {name: arguments[name] for name in ("from", "to") if isinstance(arguments.get(name), str)}
    if not texts:
        return arguments
    async with database.read(ADVICE) as (_, zone):
        return {**arguments, **{name: parse_time(text, name, zone) for name, text in texts.items()}}


@post(
    "/api/commands",
    status_code=200,
    summary="Order a command",
    responses={**ORDER_PROBLEMS, **ACCEPTED},
)
async def order(
    request: Request[Any, Session, Any],
    command_bus: NamedDependency[CommandBus],
    database: NamedDependency[Database],
    data: JSONBody[CommandOrder],
    wait: Wait = 0.0,
) -> Response[CommandRow]:
    """One of the commands of `/api/commands/kinds`. Every order is in the ledger, a refused one with the reason; what
    the role may not order is answered with 403 and is not.
    """
    kind = COMMANDS.get(data.name)
    if kind is not None and kind.withheld:
        raise bad_parameter("name", f"{data.name} is ordered at /api/tokens, which makes the secret.")
    if actor_limit(request.auth) is not None:
        await _check_own(command_bus, database, request.auth, data)
    row = await command_bus.order(
        data.name,
        await with_times(database, data.arguments),
        by=request.auth,
        dry_run=data.dry_run,
        key=data.idempotency_key,
        deadline=data.deadline,
        wait=wait,
    )
    return answer(row)


async def _check_own(command_bus: CommandBus, database: Database, by: Session, data: CommandOrder) -> None:
    """What a token for some hosts cancels or deletes must be its own."""
    if data.name == "cancel":
        await _found(command_bus, str(data.arguments.get("command")), by)
    if data.name == "delete-view":
        async with database.read(ADVICE) as (rows, _):
            owners = [row["owner"] for row in await rows("saved_views") if row["id"] == data.arguments.get("view")]
        if by.actor not in owners:
            raise not_found("There is no view with this id.")


@get("/api/commands/kinds", summary="Which commands there are", responses=UNAUTHORIZED)
async def kinds() -> list[CommandKindRow]:
    """Each with the JSON Schema of its arguments."""
    return [
        CommandKindRow(
            name=kind.name,
            summary=kind.summary,
            role=kind.role,
            lane=kind.lane,
            previews=kind.previews,
            arguments=msgspec.json.schema(kind.arguments),
        )
        for kind in COMMANDS.values()
    ]


@get("/api/commands", summary="The command ledger", responses=QUERY_PROBLEMS)
async def ledger(
    request: Request[Any, Session, Any],
    database: NamedDependency[Database],
    clock: NamedDependency[Clock],
    command_bus: NamedDependency[CommandBus],
    states: Annotated[
        list[Literal["waiting", "accepted", "progress", "succeeded", "failed", "cancelled", "expired"]] | None,
        QueryParameter(name="state", max_items=7, description="Only these states; may be repeated"),
    ] = None,
    name: Annotated[
        list[Name] | None,
        QueryParameter(name="name", max_items=20, description="Only commands of these names; may be repeated"),
    ] = None,
    before: Annotated[
        str | None, QueryParameter(name="before", max_length=60, description="`next` of an answer: older ones")
    ] = None,
    limit: Annotated[int, QueryParameter(name="limit", ge=1, le=500, description="Most commands")] = 50,
) -> CommandsAnswer:
    """Newest first, those that wait for an aggregator before all others."""
    moment, identity = _place(before)
    actor = actor_limit(request.auth)
    waiting = await command_bus.waiting(actor)
    async with database.read(ADVICE) as (rows, _):
        found = await rows(
            "commands", states=states, names=name, before=moment, before_id=identity, actor=actor, limit=limit + 1
        )
        counts = (await rows("command_counts", since=clock() - DAY_MS, actor=actor))[0]
    shown = [row_of(row) for row in found[:limit]]
    known = {row.id for row in shown}
    first = [
        row
        for row in reversed(waiting)
        if before is None
        and row.id not in known
        and (not states or "waiting" in states)
        and (not name or row.name in name)
    ]
    last = shown[-1] if len(found) > limit else None
    return CommandsAnswer(
        commands=first + shown,
        next=None if last is None else f"{last.issued_at}.{last.id}",
        running=counts["running"],
        waiting=counts["waiting"] + len(waiting),
        failed=counts["failed"],
    )


def _place(before: str | None) -> tuple[int | None, str]:
    if before is None:
        return None, ""
    moment, _, identity = before.partition(".")
    if not (moment.isascii() and moment.isdigit() and len(moment) < 16):
        raise bad_parameter("before", "before is no place in the ledger: give `next` of an answer.")
    return int(moment), identity


@get("/api/commands/{command_id:str}", summary="A command and its events", responses=DETAIL_PROBLEMS)
async def one(
    request: Request[Any, Session, Any], command_bus: NamedDependency[CommandBus], command_id: FromPath[str]
) -> CommandAnswer:
    """404 for an id that neither the ledger nor the bus knows."""
    row = await _found(command_bus, command_id, request.auth)
    return CommandAnswer(row, await command_bus.events(row.id, 0))


async def _found(command_bus: CommandBus, command_id: str, by: Session) -> CommandRow:
    row = await command_bus.find(command_id[:64].replace("\0", ""), actor_limit(by))
    if row is None:
        raise ProblemError(problem(404, "There is no command with this id, or the ledger has forgotten it."))
    return row


@delete(
    "/api/commands/{command_id:str}",
    status_code=200,
    summary="Cancel a command",
    responses={**ORDER_PROBLEMS, **NOT_FOUND, **ACCEPTED},
)
async def cancel(
    request: Request[Any, Session, Any], command_bus: NamedDependency[CommandBus], command_id: FromPath[str]
) -> Response[CommandRow]:
    """Takes it back when it waits, stops it when it runs; the answer is the command as it is then. One that has ended
    stays as it is.
    """
    row = await _found(command_bus, command_id, request.auth)
    if row.state not in FINAL_STATES:
        await command_bus.order("cancel", {"command": row.id}, by=request.auth, wait=CANCEL_WAIT)
        row = await _found(command_bus, command_id, request.auth)
    return answer(row)


@get(
    "/api/commands/{command_id:str}/events",
    summary="Events of a command as they happen",
    media_type="text/event-stream",
    opt={STREAM: True},
    responses={
        **DETAIL_PROBLEMS,
        200: ResponseSpec(
            CommandEventRow,
            description="Server-sent events called `command`; the data of each is this. Ends with the command",
            media_type="text/event-stream",
            generate_examples=False,
        ),
    },
)
async def events(
    request: Request[Any, Session, Any],
    command_bus: NamedDependency[CommandBus],
    command_id: FromPath[str],
    last_event_id: Annotated[
        str | None,
        HeaderParameter(name="Last-Event-ID", max_length=20, description="Id of the last event seen; later ones come"),
    ] = None,
) -> Stream:
    """Those there are already first, then each new one."""
    after = 0
    if last_event_id:
        if not (last_event_id.isascii() and last_event_id.isdigit()):
            raise bad_parameter("Last-Event-ID", "Last-Event-ID is no id of this stream: leave it out.")
        after = int(last_event_id)
    row = await _found(command_bus, command_id, request.auth)
    return Stream(
        _follow(command_bus, row.id, after),
        media_type="text/event-stream; charset=utf-8",
        headers={"X-Accel-Buffering": "no"},
    )


async def _follow(command_bus: CommandBus, command_id: str, after: int) -> AsyncIterator[bytes]:
    yield b"retry: 2000\n\n"
    quiet = 0.0
    async with command_bus.news(command_id) as news:
        while True:
            news.clear()
            found = []
            # The reader's patience outlasts a restart of the database.
            with contextlib.suppress(ProblemError, *BUS_TROUBLE):
                found = await command_bus.events(command_id, after)
            for event in found:
                after = event.id
                yield b"id: %d\nevent: command\ndata: %s\n\n" % (event.id, _encoder.encode(event))
                if event.state in FINAL_STATES:
                    return
            quiet = 0.0 if found else quiet + 1.0
            if quiet >= KEEP_ALIVE:
                quiet = 0.0
                yield b": still here\n\n"
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await news.wait()

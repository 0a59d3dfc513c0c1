"""``/api/export``: rows as a file. The aggregator makes it (command ``export``), the API passes its pieces on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal
from urllib.parse import quote

import structlog
from litestar import Request, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, QueryParameter
from litestar.response import Stream

from netally.api.command_bus import BUS_TROUBLE, CommandBus
from netally.api.commands import with_times
from netally.api.database import Database
from netally.api.guarding import STREAM
from netally.api.parameters import Name
from netally.api.permissions import actor_limit
from netally.api.problems import (
    BAD_PARAMETER,
    CONFLICT,
    DETAIL_PROBLEMS,
    GONE,
    UNAUTHORIZED,
    UNAVAILABLE,
    ProblemError,
    problem,
    unavailable,
)
from netally.bus import export_files
from netally.contracts.command_answers import CommandRow
from netally.contracts.queries import Session

log = structlog.get_logger()

MEDIA_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}
LONGEST = 3600.0
"""Seconds an export may take before its reader is told to look into the ledger."""

_FILE = ResponseSpec(bytes, description="The file", media_type="application/octet-stream", generate_examples=False)


@get(
    "/api/export",
    summary="Rows as a file",
    opt={STREAM: True},
    responses={**BAD_PARAMETER, **UNAUTHORIZED, **CONFLICT, **GONE, **UNAVAILABLE, 200: _FILE},
)
async def export(
    request: Request[Any, Session, Any],
    command_bus: NamedDependency[CommandBus],
    database: NamedDependency[Database],
    from_: Annotated[str, QueryParameter(name="from", max_length=40, description="Start, as everywhere")],
    to: Annotated[str, QueryParameter(name="to", max_length=40, description="End, exclusive")],
    format_: Annotated[
        Literal["csv", "json", "parquet"], QueryParameter(name="format", description="`json` is one object a line")
    ] = "csv",
    tier: Annotated[Literal["raw", "1m", "1h", "1d"], QueryParameter(name="tier", description="How fine")] = "1h",
    host: Annotated[
        list[Name] | None, QueryParameter(name="host", max_items=100, description="Only these hosts")
    ] = None,
    app: Annotated[
        list[Name] | None, QueryParameter(name="app", max_items=100, description="Only these applications, by name")
    ] = None,
    domain: Annotated[
        list[Name] | None, QueryParameter(name="domain", max_items=100, description="Only these domains")
    ] = None,
    filter_: Annotated[
        str | None, QueryParameter(name="filter", max_length=2000, description="Filter language, docs/filters.md")
    ] = None,
    sha256: Annotated[
        str | None,
        QueryParameter(name="sha256", max_length=64, description="Of a manifest: 409 unless the same bytes come out"),
    ] = None,
) -> Stream:
    """Starts the command `export`, waits for it and sends the file. When the client leaves, the command goes on and its
    file can be had by its id.
    """
    given = {
        "format": format_, "tier": tier, "from": from_, "to": to, "host": host, "app": app, "domain": domain,
        "filter": filter_, "sha256": sha256,
    }  # fmt: skip
    arguments = await with_times(database, {name: value for name, value in given.items() if value})
    ordering = asyncio.create_task(command_bus.order("export", arguments, by=request.auth, wait=LONGEST))
    if not await _unless_client_leaves(ordering, request):
        raise unavailable("The client has left.")
    return await _file(command_bus, ordering.result())


async def _unless_client_leaves(waiting: asyncio.Task[CommandRow], request: Request[Any, Any, Any]) -> bool:
    """Wait; False, and it is cancelled, when the client leaves before the end."""

    async def left() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    leaving = asyncio.create_task(left())
    try:
        await asyncio.wait((waiting, leaving), return_when=asyncio.FIRST_COMPLETED)
        return waiting.done()
    finally:
        for task in (waiting, leaving):
            task.cancel()
        await asyncio.wait((waiting, leaving))


@get(
    "/api/exports/{command_id:str}",
    summary="The file of an export",
    opt={STREAM: True},
    responses={**DETAIL_PROBLEMS, **CONFLICT, **GONE, 200: _FILE},
)
async def download(
    request: Request[Any, Session, Any], command_bus: NamedDependency[CommandBus], command_id: FromPath[str]
) -> Stream:
    """404 for an id that is no export, 410 when its file has gone."""
    row = await command_bus.row(command_id[:64].replace("\0", ""), actor_limit(request.auth))
    if row is None or row.name != "export":
        raise ProblemError(problem(404, "There is no export with this id."))
    return await _file(command_bus, row)


@get("/api/exports/{command_id:str}/manifest", summary="The manifest of an export", responses=DETAIL_PROBLEMS)
async def manifest(
    request: Request[Any, Session, Any], command_bus: NamedDependency[CommandBus], command_id: FromPath[str]
) -> dict[str, Any]:
    """What the file was made from: query, tier, completeness, rows, SHA-256."""
    row = await command_bus.row(command_id[:64].replace("\0", ""), actor_limit(request.auth))
    if row is None or row.name != "export" or "manifest" not in row.result:
        raise ProblemError(problem(404, "There is no finished export with this id."))
    found: dict[str, Any] = row.result["manifest"]
    return found


async def _file(command_bus: CommandBus, row: CommandRow) -> Stream:
    if row.state != "succeeded":
        words = f"The export {row.state}: {row.message}." if row.state != "progress" else f"It still runs: {row.id}."
        if row.state == "waiting":
            raise unavailable(f"No aggregator has taken the export yet; it runs when one is there: {row.id}.")
        if row.field:
            raise ProblemError(problem(400, words, parameter=row.field))
        if row.result.get("conflict") or row.state != "failed":
            raise ProblemError(problem(409, words))
        raise unavailable(words)
    js = command_bus.client().jetstream()
    try:
        stored = await export_files.find(js, row.result["file"])
    except BUS_TROUBLE as error:
        raise unavailable(f"The bus did not tell where the file is: {error or type(error).__name__}.") from None
    if stored is None:
        raise ProblemError(problem(410, "The file has gone: exports are kept for three days. Export it again."))
    format_ = row.arguments.get("format", "csv")
    return Stream(
        _pieces(command_bus, stored),
        media_type=MEDIA_TYPES[format_],
        headers={
            "Content-Disposition": disposition(stored.name),
            "Content-Length": str(stored.size),
            "ETag": f'"{stored.sha256}"',
            "Netally-Command": row.id,
        },
    )


def disposition(name: str) -> str:
    """Header that names a download (RFC 6266). Whatever the name holds, it stays within its quotes."""
    plain = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-_.") else "_" for letter in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


async def _pieces(command_bus: CommandBus, stored: export_files.Stored) -> AsyncIterator[bytes]:
    sent = 0
    # Begun anew after a restart of the bus, past what the client has.
    for attempt in range(5):
        position = 0
        try:
            async for piece in export_files.read(command_bus.client().jetstream(), stored):
                if position + len(piece) > sent:
                    fresh = piece[max(0, sent - position) :]
                    sent += len(fresh)
                    yield fresh
                position += len(piece)
        except (ProblemError, *BUS_TROUBLE) as error:
            log.warning("download interrupted", file=stored.name, reason=str(error), attempt=attempt)
            await asyncio.sleep(1)
        else:
            return
    raise ConnectionError("the bus stayed away")

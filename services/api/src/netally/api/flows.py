"""``GET /api/protocols``, ``/api/remotes`` and ``/api/flows``: traffic by what it is on the wire, and row by row."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Final

from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from netally.api import ranges
from netally.api.parameters import Limit, Offset
from netally.api.problems import QUERY_PROBLEMS, bad_parameter
from netally.api.reading import Asking, open_reading, page_of, raw_span, read_table, sums_of
from netally.api.timelines import PROTOCOL_WORDS
from netally.contracts.codes import DomainSource, ProcessSource, Role, Scope
from netally.contracts.queries import (
    FlowRow,
    FlowsAnswer,
    ProtocolRow,
    ProtocolsAnswer,
    RemoteRow,
    RemotesAnswer,
)

After = Annotated[
    str | None, QueryParameter(name="after", max_length=60, description="`next` of the page before, of the same query")
]

_FIRST_WINDOW_MS: Final = 10 * ranges.MINUTE_MS
_CURSOR: Final = re.compile(r"([0-9]{1,15})\.([0-9]{1,10})\.([0-9]{1,9})")
_SCOPES, _ROLES = Scope.labels(), Role.labels()
_DOMAIN_SOURCES, _PROCESS_SOURCES = DomainSource.labels(), ProcessSource.labels()


@get("/api/protocols", summary="Protocols and ports by traffic", responses=QUERY_PROBLEMS)
async def protocols(asked: NamedDependency[Asking], limit: Limit = 50, offset: Offset = 0) -> ProtocolsAnswer:
    """Largest first. Ports above 1023 are told one by one only where they are well known, else as port 0."""
    async with read_table(asked) as (reading, span):
        rows = await reading.rows("protocols", reading.counted(span, sums_suffice=True), limit=limit, offset=offset)
        found = [
            ProtocolRow(
                protocol=_protocol(row["protocol"]),
                port=row["port"],
                bytes_in=row["bytes_in"],
                bytes_out=row["bytes_out"],
                connections=row["connections"],
                last_used=row["last_used"],
            )
            for row in page_of(rows)
        ]
        return ProtocolsAnswer(protocols=found, **sums_of(rows), meta=await reading.meta(span))


@get("/api/remotes", summary="Remote addresses by traffic", responses=QUERY_PROBLEMS)
async def remotes(asked: NamedDependency[Asking], limit: Limit = 50, offset: Offset = 0) -> RemotesAnswer:
    """Largest first, with the names they were reached by. Only raw flows keep addresses."""
    async with open_reading(asked) as reading:
        span = raw_span(asked, reading)
        rows = await reading.rows("remotes", reading.counted(span), limit=limit, offset=offset)
        found = [
            RemoteRow(
                remote=str(ipaddress.ip_address(row["remote"])),
                bytes_in=row["bytes_in"],
                bytes_out=row["bytes_out"],
                connections=row["connections"],
                domains=row["domains"],
                last_used=row["last_used"],
            )
            for row in page_of(rows)
        ]
        return RemotesAnswer(remotes=found, **sums_of(rows), meta=await reading.meta(span))


@get("/api/flows", summary="Raw flows, newest first", responses=QUERY_PROBLEMS)
async def flows(asked: NamedDependency[Asking], limit: Limit = 100, after: After = None) -> FlowsAnswer:
    """Flow by flow. The next page begins where this one ended, whatever arrived meanwhile."""
    place = _parse_cursor(after)
    async with open_reading(asked) as reading:
        span = raw_span(asked, reading)
        rows: list[Any] = []
        upper = span.end if place is None else min(place[0] + 1, span.end)
        window = _FIRST_WINDOW_MS
        first = place
        # Backwards in growing steps: sorting all of a long range to show a page of it would take seconds.
        while upper > span.start and len(rows) <= limit:
            lower = max(span.start, upper - window)
            rows += await reading.rows(
                "flows",
                reading.counted(ranges.TimeRange(lower, upper, "raw")),
                time=first[0] if first else None,
                host_id=first[1] if first else None,
                skip=first[2] if first else 0,
                limit=limit + 1 - len(rows),
            )
            upper, window, first = lower, window * 4, None
        meta = await reading.meta(span)
    page = rows[:limit]
    return FlowsAnswer(
        flows=[_row(row) for row in page], next=_cursor(page, place) if len(rows) > limit else None, meta=meta
    )


def _parse_cursor(text: str | None) -> tuple[int, int, int] | None:
    """Time and host of the last row given, and how many rows of the two were given."""
    if text is None:
        return None
    found = _CURSOR.fullmatch(text)
    if found is None or not ranges.EARLIEST_MS <= int(found[1]) < 2**43 or int(found[2]) >= 2**31:
        raise bad_parameter("after", "after is no place in a list: give `next` of an answer, or leave it out.")
    return int(found[1]), int(found[2]), int(found[3])


def _cursor(page: list[Any], place: tuple[int, int, int] | None) -> str:
    last = page[-1]
    given = sum((row["bucket"], row["host_id"]) == (last["bucket"], last["host_id"]) for row in page)
    if place is not None and place[:2] == (last["bucket"], last["host_id"]):
        given += place[2]
    return f"{last['bucket']}.{last['host_id']}.{given}"


def _protocol(number: int) -> str:
    return PROTOCOL_WORDS.get(number, str(number))


def _row(row: Any) -> FlowRow:
    return FlowRow(
        time=row["bucket"],
        host=row["host"],
        app=row["app"],
        app_id=row["app_id"],
        domain=row["domain"],
        domain_id=row["domain_id"],
        site=row["site"],
        scope=_SCOPES.get(row["scope"], str(row["scope"])),
        protocol=_protocol(row["protocol"]),
        port=row["server_port"],
        role=_ROLES.get(row["role"], str(row["role"])),
        remote=str(ipaddress.ip_address(row["remote"])),
        bytes_in=row["bytes_in"],
        bytes_out=row["bytes_out"],
        packets_in=row["packets_in"],
        packets_out=row["packets_out"],
        retrans=row["retrans"],
        connections=row["connections"],
        domain_source=_DOMAIN_SOURCES.get(row["domain_source"], str(row["domain_source"])),
        process_source=_PROCESS_SOURCES.get(row["process_source"], str(row["process_source"])),
    )

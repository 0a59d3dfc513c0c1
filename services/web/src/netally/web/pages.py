"""The pages: overview, applications, domains, hosts; and the live stream that keeps the overview moving."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import msgspec
from litestar import Response, get
from litestar.response import Stream

from netally.contracts.queries import (
    ApplicationsAnswer,
    BandwidthAnswer,
    DomainsAnswer,
    HostsAnswer,
    Meta,
    TimelineAnswer,
)
from netally.web.api_client import ApiProblem
from netally.web.charts import timeline
from netally.web.figures import amount, local, span
from netally.web.live import LiveBoard
from netally.web.metrics import LIVE_STREAMS
from netally.web.ranges import (
    Range,
    moved,
    preset_steps,
    query_of,
    read_range,
    refresh_seconds,
    title,
    widened,
)
from netally.web.rendering import render, times
from netally.web.tables import Table, applications_table, coverage, domains_table, host_list
from netally.web.visits import AnyRequest, Visit, visit_of

T = TypeVar("T")

OVERVIEW_ROWS = 10
RETRY_SECONDS = 2.0


class Part(msgspec.Struct, frozen=True):
    """A part of a page that could not be read."""

    problem: str


async def settle(read: Any) -> Any:
    """The answer, or the problem that came instead of it. A missing session and an unreachable API end the page."""
    try:
        return await read
    except ApiProblem as problem:
        if problem.status in (0, 400, 401, 403):
            raise
        return problem


def range_context(visit: Visit, shown: Range) -> dict[str, Any]:
    """What the range picker needs."""
    start, end = local(shown.start, visit.zone), local(shown.end, visit.zone)
    return {
        "presets": preset_steps(shown),
        "range_title": title(shown, visit.zone, visit.now),
        "range_span": span(shown.start, shown.end, visit.zone, visit.now),
        "range_query": query_of(shown),
        "range_moving": shown.preset is not None,
        "range_from": start.strftime("%Y-%m-%dT%H:%M"),
        "range_to": end.strftime("%Y-%m-%dT%H:%M"),
        "earlier": query_of(moved(shown, -1)),
        "later": query_of(moved(shown, 1)) if shown.end + shown.length // 2 <= visit.now else None,
        "wider": query_of(widened(shown, visit.now)),
        "refresh": refresh_seconds(shown),
    }


@get("/", include_in_schema=False)
async def overview(request: AnyRequest) -> Response[str]:
    visit = visit_of(request)
    shown = read_range(request.query_params, visit.zone, visit.now)
    api, reader = visit.api, visit.reader
    bandwidth, line, applications, domains, hosts = await api.together(
        asyncio.gather(
            settle(api.bandwidth(reader)),
            settle(api.timeline(reader, shown, split="app")),
            settle(api.applications(reader, shown, limit=OVERVIEW_ROWS + 1)),
            settle(api.domains(reader, shown, limit=OVERVIEW_ROWS + 1)),
            settle(api.hosts(reader, shown)),
        )
    )
    answers = [bandwidth, line, applications, domains, hosts]
    problems = [answer for answer in answers if isinstance(answer, ApiProblem)]
    if len(problems) == len(answers):
        raise problems[0]
    zone, now = visit.zone, visit.now
    meta = next(answer.meta for answer in (hosts, line, applications, domains, bandwidth) if hasattr(answer, "meta"))
    live = bandwidth.hosts if isinstance(bandwidth, BandwidthAnswer) else []
    return visit.page(
        "overview.html.j2",
        "Overview",
        query=query_of(shown),
        **range_context(visit, shown),
        **times(zone, now),
        coverage=coverage(meta, zone, now, moving=shown.preset is not None),
        first_run=_first_run(hosts, meta),
        live=_drawn(bandwidth, BandwidthAnswer, lambda answer: LiveBoard(answer, now).view()),
        line=_drawn(line, TimelineAnswer, lambda answer: timeline(answer, zone, now, split="app")),
        applications=_drawn(
            applications,
            ApplicationsAnswer,
            lambda answer: applications_table(answer, zone, now, shown=slice(OVERVIEW_ROWS)),
        ),
        domains=_drawn(
            domains, DomainsAnswer, lambda answer: domains_table(answer, zone, now, shown=slice(OVERVIEW_ROWS))
        ),
        hosts=_drawn(hosts, HostsAnswer, lambda answer: host_list(answer.hosts, live, zone, now)),
        total=_total(applications),
        partial=visit.partial,
    )


def _first_run(hosts: HostsAnswer | ApiProblem, meta: Meta) -> bool:
    return isinstance(hosts, HostsAnswer) and not hosts.hosts and meta.hosts_expected == 0


def _drawn(answer: T | ApiProblem, kind: type[T], draw: Callable[[T], Any]) -> Any:
    """What a part of the page shows: its drawing, or why there is none."""
    if isinstance(answer, kind):
        return draw(answer)
    return Part(str(answer))


class Sorting(msgspec.Struct, frozen=True):
    """A column that a list can be ordered by."""

    key: str
    """As in the URL and as the API knows it."""
    direction: str
    """As ``aria-sort`` says it."""


SORTINGS = {
    key: Sorting(key, "ascending" if key == "name" else "descending")
    for key in ("bytes", "bytes_in", "bytes_out", "connections", "last_used", "name")
}
PAGE_ROWS = 50
MOST_ROWS = 1000
"""The API lists no more; beyond that a range or a host has to narrow the list."""


@get("/applications", include_in_schema=False)
async def applications_page(request: AnyRequest) -> Response[str]:
    visit = visit_of(request)
    shown = read_range(request.query_params, visit.zone, visit.now)
    sort, page = _order(request)
    answer = await visit.api.together(visit.api.applications(visit.reader, shown, limit=_limit(page), sort=sort.key))
    table = applications_table(answer, visit.zone, visit.now, shown=_slice(page))
    return _list_page(visit, shown, "applications.html.j2", "Applications", table, answer.meta, sort, page)


@get("/domains", include_in_schema=False)
async def domains_page(request: AnyRequest) -> Response[str]:
    visit = visit_of(request)
    shown = read_range(request.query_params, visit.zone, visit.now)
    sort, page = _order(request)
    answer = await visit.api.together(visit.api.domains(visit.reader, shown, limit=_limit(page), sort=sort.key))
    table = domains_table(answer, visit.zone, visit.now, shown=_slice(page))
    return _list_page(visit, shown, "domains.html.j2", "Domains", table, answer.meta, sort, page)


@get("/hosts", include_in_schema=False)
async def hosts_page(request: AnyRequest) -> Response[str]:
    visit = visit_of(request)
    shown = read_range(request.query_params, visit.zone, visit.now)
    api, reader = visit.api, visit.reader
    bandwidth, answer = await api.together(asyncio.gather(api.bandwidth(reader), api.hosts(reader, shown)))
    return visit.page(
        "hosts.html.j2",
        "Hosts",
        query=query_of(shown),
        **range_context(visit, shown),
        coverage=coverage(answer.meta, visit.zone, visit.now, moving=shown.preset is not None),
        first_run=_first_run(answer, answer.meta),
        hosts=host_list(answer.hosts, bandwidth.hosts, visit.zone, visit.now),
    )


def _order(request: AnyRequest) -> tuple[Sorting, int]:
    """Order and page (from 1) of a list, from its URL; anything else is the first page by bytes."""
    number = request.query_params.get("page", "1")
    page = int(number) if number.isascii() and number.isdigit() and len(number) < 4 else 1
    return SORTINGS.get(request.query_params.get("sort", ""), SORTINGS["bytes"]), min(
        max(page, 1), MOST_ROWS // PAGE_ROWS
    )


def _limit(page: int) -> int:
    # One more than is shown, because one of them may be the row without a name.
    return min(page * PAGE_ROWS + 1, MOST_ROWS)


def _slice(page: int) -> slice:
    return slice((page - 1) * PAGE_ROWS, page * PAGE_ROWS)


def _list_page(
    visit: Visit, shown: Range, template: str, name: str, table: Table, meta: Meta, sort: Sorting, page: int
) -> Response[str]:
    last = min(-(-table.names // PAGE_ROWS), MOST_ROWS // PAGE_ROWS) or 1
    return visit.page(
        template,
        name,
        query=query_of(shown),
        **range_context(visit, shown),
        coverage=coverage(meta, visit.zone, visit.now, moving=shown.preset is not None),
        first_run=meta.hosts_expected == 0,
        table=table,
        sort=sort,
        page=page,
        last=last,
        previous=query_of(shown, sort=sort.key, page=str(page - 1)) if page > 1 else None,
        next=query_of(shown, sort=sort.key, page=str(page + 1)) if page < last else None,
    )


def _total(applications: ApplicationsAnswer | ApiProblem) -> tuple[str, str] | None:
    if isinstance(applications, ApiProblem):
        return None
    if applications.meta.measured_share is None:
        return amount(None), amount(None)
    return amount(applications.total_bytes_in), amount(applications.total_bytes_out)


@get("/live", include_in_schema=False)
async def live_stream(request: AnyRequest) -> Stream:
    """Server-sent events: each second the HTML of the overview's live part (see ``_live.html.j2``)."""
    visit = visit_of(request)
    board = LiveBoard(await visit.api.together(visit.api.bandwidth(visit.reader)), visit.now)
    return Stream(
        _live_html(visit, board),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _live_html(visit: Visit, board: LiveBoard) -> AsyncIterator[str]:
    clock = visit.request.app.state.clock
    LIVE_STREAMS.inc()
    try:
        while True:
            try:
                async with visit.api.live(visit.reader) as events:
                    async for event in events:
                        board.update(event)
                        yield sse(_live_part(visit, board, clock()))
                problem = "The API ended the stream."
            except ApiProblem as error:
                if error.status == 401:
                    # The page reloads itself and comes back as the login page.
                    yield sse("session ended", event="reload")
                    return
                problem = str(error)
            yield sse(_live_part(visit, board, clock(), problem))
            await asyncio.sleep(RETRY_SECONDS)
    finally:
        LIVE_STREAMS.dec()


def _live_part(visit: Visit, board: LiveBoard, now: int, problem: str = "") -> str:
    return render("_live.html.j2", live=board.view(problem), **times(visit.zone, now))


def sse(data: str, *, event: str = "") -> str:
    """One server-sent event (WHATWG HTML 9.2)."""
    lines = "".join(f"data: {line}\n" for line in data.splitlines())
    return (f"event: {event}\n" if event else "") + lines + "\n"

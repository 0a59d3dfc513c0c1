"""What moves: the Live page, and the streams that keep it and the overview moving."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from litestar import Response, get
from litestar.response import Stream

from netally.contracts.queries import Bandwidth, BandwidthAnswer, LiveEvent, Meta
from netally.web.api_client import ApiProblem
from netally.web.figures import count
from netally.web.live import LiveBoard
from netally.web.live_tree import LiveTree
from netally.web.metrics import LIVE_STREAMS
from netally.web.rendering import render, times
from netally.web.visits import AnyRequest, Visit, visit_of

RETRY_SECONDS = 2.0
LONGEST_FILTER = 200

Moving = tuple[Callable[[LiveEvent], None], Callable[[int, str], str]]
"""What takes the next second in, and what draws: time and problem in, HTML out."""
Begin = Callable[[BandwidthAnswer], Moving]
UNKNOWN = BandwidthAnswer(
    5, Bandwidth(None, None), [], [], [None] * 60, [None] * 60, Meta("live", 0, 0, 0, 0, [], None, None, 0)
)
"""While the API has not told anything yet."""


@get("/live", include_in_schema=False)
async def live_page(request: AnyRequest) -> Response[str]:
    """Top movers by process, domain and host as they are now; the stream goes on from there."""
    visit = visit_of(request)
    text = _filter_of(request)
    answer = await visit.api.together(visit.api.bandwidth(visit.reader))
    return visit.page(
        "live.html.j2",
        "Live",
        filter=text,
        live=LiveBoard(answer, visit.now).view(),
        tree=LiveTree(text, answer.movers, visit.now).view(),
        meta=answer.meta,
        reporting=_reporting(answer),
        **times(visit.zone, visit.now),
    )


def _filter_of(request: AnyRequest) -> str:
    return " ".join(request.query_params.get("filter", "")[:LONGEST_FILTER].split())


def _reporting(answer: BandwidthAnswer) -> str:
    expected = answer.meta.hosts_expected
    return f"{count(answer.meta.hosts_reported)} of {count(expected)} host{'s' if expected != 1 else ''}"


@get("/live/tree/events", include_in_schema=False)
async def live_tree_stream(request: AnyRequest) -> Stream:
    """Server-sent events: each second the HTML of the Live page's figures and tree (see ``_live_tree.html.j2``)."""
    visit = visit_of(request)
    text = _filter_of(request)

    def begin(answer: BandwidthAnswer) -> Moving:
        board, tree = LiveBoard(answer, visit.now), LiveTree(text, answer.movers, visit.now)

        def update(event: LiveEvent) -> None:
            board.update(event)
            tree.update(event.movers, event.time)

        def draw(now: int, problem: str) -> str:
            known: dict[str, Any] = {"live": board.view(problem), "tree": tree.view(), "filter": text}
            return render("_live_tree.html.j2", **known, **times(visit.zone, now))

        return update, draw

    return await _stream(visit, begin)


@get("/live/events", include_in_schema=False)
async def live_stream(request: AnyRequest) -> Stream:
    """Server-sent events: each second the HTML of the overview's live part (see ``_live.html.j2``)."""
    visit = visit_of(request)

    def begin(answer: BandwidthAnswer) -> Moving:
        board = LiveBoard(answer, visit.now)

        def draw(now: int, problem: str) -> str:
            return render("_live.html.j2", live=board.view(problem), **times(visit.zone, now))

        return board.update, draw

    return await _stream(visit, begin)


async def _stream(visit: Visit, begin: Begin) -> Stream:
    """Opens in any case for who may see it: one that is refused at first is not asked for again by the page's script.
    Raises ApiProblem for who may not.
    """
    moving: Moving | None = None
    try:
        moving = begin(await visit.api.together(visit.api.bandwidth(visit.reader)))
    except ApiProblem as problem:
        if problem.status in (401, 403):
            raise
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Stream(_live_html(visit, begin, moving), media_type="text/event-stream", headers=headers)


async def _live_html(visit: Visit, begin: Begin, moving: Moving | None) -> AsyncIterator[str]:
    clock = visit.request.app.state.clock
    LIVE_STREAMS.inc()
    try:
        while True:
            try:
                if moving is None:
                    moving = begin(await visit.api.together(visit.api.bandwidth(visit.reader)))
                update, draw = moving
                async with visit.api.live(visit.reader) as events:
                    async for event in events:
                        update(event)
                        yield sse(draw(clock(), ""))
                problem = "The API ended the stream."
            except ApiProblem as error:
                if error.status == 401:
                    # The page reloads itself and comes back as the login page.
                    yield sse("session ended", event="reload")
                    return
                problem = str(error)
            yield sse((moving or begin(UNKNOWN))[1](clock(), problem))
            await asyncio.sleep(RETRY_SECONDS)
    finally:
        LIVE_STREAMS.dec()


def sse(data: str, *, event: str = "") -> str:
    """One server-sent event (WHATWG HTML 9.2)."""
    lines = "".join(f"data: {line}\n" for line in data.splitlines())
    return (f"event: {event}\n" if event else "") + lines + "\n"

"""The live stream that keeps the overview moving."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from litestar import get
from litestar.response import Stream

from netally.web.api_client import ApiProblem
from netally.web.live import LiveBoard
from netally.web.metrics import LIVE_STREAMS
from netally.web.rendering import render, times
from netally.web.visits import AnyRequest, Visit, visit_of

RETRY_SECONDS = 2.0


@get("/live/events", include_in_schema=False)
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

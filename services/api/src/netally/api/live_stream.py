"""``GET /api/live``: the live stream, see the package's docstring for its messages."""

from __future__ import annotations

from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter
from litestar.response import Stream

from netally.api.guarding import STREAM
from netally.api.live_feed import LiveFeed
from netally.api.problems import BAD_PARAMETER, UNAUTHORIZED, bad_parameter
from netally.contracts.queries import LiveEvent

LastEventId = Annotated[
    str | None,
    HeaderParameter(
        name="Last-Event-ID", max_length=20, description="Id of the last message seen; later ones come first"
    ),
]


@get(
    "/api/live",
    summary="Rates and movers, each second",
    media_type="text/event-stream",
    opt={STREAM: True},
    responses={
        **BAD_PARAMETER,
        **UNAUTHORIZED,
        200: ResponseSpec(
            LiveEvent,
            description="Server-sent events called `live`; the data of each is this",
            media_type="text/event-stream",
            generate_examples=False,
        ),
    },
)
async def live(feed: NamedDependency[LiveFeed], last_event_id: LastEventId = None) -> Stream:
    """Server-sent events, one a second. Ends after an hour; browsers reconnect by themselves."""
    after: int | None = None
    if last_event_id:
        if not (last_event_id.isascii() and last_event_id.isdigit()):
            raise bad_parameter("Last-Event-ID", "Last-Event-ID is no id of this stream: leave it out.")
        after = int(last_event_id)
    return Stream(
        feed.read(after),
        media_type="text/event-stream; charset=utf-8",
        headers={"X-Accel-Buffering": "no"},
    )

"""``GET /api/live``: the live stream, see the package's docstring for its messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIResponse, OpenAPIType, Operation, Schema
from litestar.params import HeaderParameter, QueryParameter
from litestar.response import Stream

from netally.api.guarding import STREAM
from netally.api.live_feed import LiveFeed
from netally.api.live_view import look
from netally.api.parameters import FilterText
from netally.api.problems import BAD_PARAMETER, REFUSED, TOO_MANY, UNAUTHORIZED, bad_parameter
from netally.api.reading import parse_filter
from netally.api.visible import VisibleHosts
from netally.contracts.queries import LiveEvent

Seconds = Annotated[
    int, QueryParameter(name="seconds", ge=1, le=3600, description="How long the stream lasts; a script may want less")
]
LastEventId = Annotated[
    str | None,
    HeaderParameter(
        name="Last-Event-ID", max_length=20, description="Id of the last message seen; later ones come first"
    ),
]


@dataclass
class MessageOperation(Operation):
    """Tells the document that the schema of the answer is that of each message's data, not of the whole stream."""

    def __post_init__(self) -> None:
        media = (self.responses or {})["200"]
        if isinstance(media, OpenAPIResponse) and media.content:
            stream = media.content["text/event-stream"]
            data = Schema(type=OpenAPIType.STRING, content_media_type="application/json", content_schema=stream.schema)
            message = {name: Schema(type=OpenAPIType.STRING) for name in ("id", "event")} | {"data": data}
            stream.schema = Schema(type=OpenAPIType.OBJECT, properties={**message}, required=["data"])


@get(
    "/api/live",
    operation_class=MessageOperation,
    summary="Rates and movers, each second",
    media_type="text/event-stream",
    opt={STREAM: True},
    responses={
        **BAD_PARAMETER,
        **UNAUTHORIZED,
        **REFUSED,
        **TOO_MANY,
        200: ResponseSpec(
            LiveEvent,
            description="Server-sent events called `live`; the data of each is this",
            media_type="text/event-stream",
            generate_examples=False,
        ),
    },
)
async def live(
    feed: NamedDependency[LiveFeed],
    visible: NamedDependency[VisibleHosts],
    filter_: FilterText = None,
    seconds: Seconds = 3600,
    last_event_id: LastEventId = None,
) -> Stream:
    """Server-sent events, one a second. Ends after `seconds`; browsers reconnect by themselves. A filter may ask for
    host, app, browser and domain; unless it asks for hosts alone, rates are then those of the movers that fit.
    """
    after: int | None = None
    if last_event_id:
        if not (last_event_id.isascii() and last_event_id.isdigit()):
            raise bad_parameter("Last-Event-ID", "Last-Event-ID is no id of this stream: leave it out.")
        after = int(last_event_id)
    return Stream(
        feed.open(look(visible, parse_filter(filter_)), after, seconds),
        media_type="text/event-stream; charset=utf-8",
        headers={"X-Accel-Buffering": "no"},
    )

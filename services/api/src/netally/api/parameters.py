"""Query parameters that several endpoints share, with their bounds and words for the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Literal

from litestar.params import QueryParameter

From = Annotated[
    str | None,
    QueryParameter(
        name="from", max_length=40, description="Start, ISO 8601 or epoch milliseconds; without an offset, local time"
    ),
]
To = Annotated[
    str | None, QueryParameter(name="to", max_length=40, description="End (exclusive), like `from`; now when absent")
]
Range = Annotated[
    Literal["15m", "1h", "24h", "7d", "30d", "1y"] | None,
    QueryParameter(
        name="range", description="Length of the range before `to`, instead of `from`; 1h when neither is given"
    ),
]
Hosts = Annotated[
    list[Annotated[str, QueryParameter(min_length=1, max_length=255)]] | None,
    QueryParameter(name="host", max_items=100, description="Only these hosts, by name; may be repeated"),
]
Limit = Annotated[int, QueryParameter(name="limit", ge=1, le=1000, description="Most rows")]
Sort = Annotated[
    Literal["bytes", "bytes_in", "bytes_out", "connections", "last_used", "name"],
    QueryParameter(name="sort", description="Largest or newest first; `name` from A to Z"),
]

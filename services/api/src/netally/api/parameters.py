"""Query parameters that several endpoints share, with their bounds and words for the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from litestar.params import PathParameter, QueryParameter

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
    Literal["15m", "1h", "24h", "7d", "30d", "90d", "1y"] | None,
    QueryParameter(
        name="range",
        description="Length of the range before `to`, instead of `from`; else 1h or what suits the answer",
    ),
]
Name = Annotated[str, QueryParameter(min_length=1, max_length=255), msgspec.Meta(min_length=1, max_length=255)]
"""In a list. The first bounds are for the document, the second are those that a request is held to."""
Hosts = Annotated[
    list[Name] | None,
    QueryParameter(name="host", max_items=100, description="Only these hosts, by name; may be repeated"),
]
Limit = Annotated[int, QueryParameter(name="limit", ge=1, le=1000, description="Most rows")]
Sort = Annotated[
    Literal["bytes", "bytes_in", "bytes_out", "connections", "last_used", "name"],
    QueryParameter(name="sort", description="Largest or newest first; `name` from A to Z"),
]
Zone = Annotated[
    str | None,
    QueryParameter(
        name="tz",
        min_length=1,
        max_length=64,
        description="Time zone (IANA name) of days, weeks, months and times without offset; else the deployment's",
    ),
]
FilterText = Annotated[
    str | None,
    QueryParameter(
        name="filter",
        max_length=2000,
        description="Which traffic, such as `app ~ fire* and domain under netflix.com` (docs/filters.md)",
    ),
]
Offset = Annotated[int, QueryParameter(name="offset", ge=0, le=1_000_000, description="Rows to pass over")]
Split = Annotated[
    Literal["none", "direction", "app", "domain", "host", "protocol"],
    QueryParameter(name="split", description="One series for each"),
]
Top = Annotated[
    int, QueryParameter(name="top", ge=1, le=20, description="Most series of a split; the rest is `others`")
]
Bucket = Annotated[
    Literal["5s", "10s", "15s", "30s", "1m", "2m", "5m", "10m", "15m", "30m", "1h", "3h", "6h", "12h", "1d"] | None,
    QueryParameter(name="bucket", description="Length of a bucket; chosen when absent. `1d` are days of `tz`"),
]
Id = Annotated[int, PathParameter(ge=0, le=2**31 - 1, description="Id, as in the list")]

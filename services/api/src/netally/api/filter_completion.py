"""``GET /api/filter/complete``: what may stand at the cursor of a filter, and what is wrong with it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Final

from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from netally.api import ranges
from netally.api.database import Database
from netally.api.parameters import From, Hosts, Range, To, Zone
from netally.api.problems import BAD_PARAMETER, UNAUTHORIZED, ProblemError
from netally.api.reading import Asking, Clock, Reading, asked_range, open_reading, parse_zone
from netally.api.visible import VisibleHosts
from netally.contracts.browsers import browser_of
from netally.contracts.queries import CompletionOffer, CompletionsAnswer
from netally.store.filters.canonical import format_filter
from netally.store.filters.compile import like_escaped
from netally.store.filters.completion import complete
from netally.store.filters.errors import FilterError
from netally.store.filters.fields import ALL_TIERS, RAW_ONLY, Field, Kind
from netally.store.filters.syntax import MAX_LENGTH, parse
from netally.store.filters.values import NONE

LONGEST_MS: Final = 31 * ranges.DAY_MS
"""Of a longer range its end decides the order: who types does not wait for a year to be added up."""
PATIENCE: Final = 1.5
"""Seconds, after which names come in the order of the alphabet."""

Text = Annotated[
    str, QueryParameter(name="text", max_length=MAX_LENGTH, description="The filter as far as it is written")
]
Cursor = Annotated[
    int | None,
    QueryParameter(name="cursor", ge=0, le=MAX_LENGTH, description="Offset in characters; the end when absent"),
]


@get("/api/filter/complete", summary="What may follow in a filter", responses={**BAD_PARAMETER, **UNAUTHORIZED})
async def complete_filter(
    database: NamedDependency[Database],
    clock: NamedDependency[Clock],
    visible: NamedDependency[VisibleHosts],
    text: Text = "",
    cursor: Cursor = None,
    from_: From = None,
    to: To = None,
    range_: Range = None,
    tz: Zone = None,
    host: Hosts = None,
) -> CompletionsAnswer:
    """Fields, operators, values and words, best first: values by their bytes in the range (24h when none is given, its
    last 31 days when it is longer), then names without any. While the database is away, or busy, values have no bytes.
    """
    ranges.check_range(from_, to, range_)
    asked = Asking(database, clock, visible, from_=from_, to=to, range_=range_, timezone=parse_zone(tz), hosts=host)
    span: ranges.TimeRange | None = None

    async def values(field: Field, prefix: str, limit: int) -> Mapping[str, int | None]:
        nonlocal span
        found: dict[str, int | None] = {}
        if field.tiers == RAW_ONLY:
            return found
        try:
            async with asyncio.timeout(PATIENCE), open_reading(asked) as reading:
                start, end = asked_range(asked, reading, "24h")
                span = reading.span(max(start, end - LONGEST_MS), end)
                found.update(await _used(reading, span, field, prefix, limit))
        except TimeoutError:
            span = None
        except ProblemError as problem:
            if problem.problem.status < 500:
                raise
            span = None
        if field.kind not in (Kind.NAME, Kind.DOMAIN) or len(found) >= limit:
            return found
        # Whose applications and domains the others are is not looked up for who may not see all hosts.
        if visible.names is None:
            more = await database.names(field.name, prefix, limit)
        else:
            more = sorted(visible.names) if field.name == "host" else []
        unused = [name for name in more if name not in found and name.lower().startswith(prefix.lower())]
        none = 0 if span else None
        return found | dict.fromkeys(unused[: limit - len(found)], none)

    offers = await complete(text, len(text) if cursor is None else cursor, values)
    try:
        canonical, error = format_filter(parse(text)), None
    except FilterError as found:
        canonical, error = None, found
    return CompletionsAnswer(
        completions=[
            CompletionOffer(one.label, one.insert, one.kind, one.start, one.end, one.about, one.bytes) for one in offers
        ],
        canonical=canonical,
        problem=str(error) if error else "",
        problem_start=error.start if error else None,
        problem_end=error.end if error else None,
        ranked_from=span.start if span else None,
        ranked_to=span.end if span else None,
    )


async def _used(reading: Reading, span: ranges.TimeRange, field: Field, prefix: str, limit: int) -> dict[str, int]:
    """Values of a field that have traffic, with their bytes, most first."""
    counted = reading.counted(span, totals_suffice=field.tiers == ALL_TIERS, sums_suffice=True)
    if field.kind in (Kind.NAME, Kind.DOMAIN):
        pattern = like_escaped(prefix) + "%"
        rows = await reading.rows("names_by_bytes", counted, field=field.name, pattern=pattern, limit=limit)
        return {row["name"]: row["bytes"] for row in rows}
    by = "app" if field.kind is Kind.BROWSER else field.name
    groups = {
        row["first"]: row["bytes_in"] + row["bytes_out"]
        for row in await reading.rows("breakdown", counted, first=by, second="", sort="bytes", limit=1000, offset=0)
        if row["first"] is not None
    }
    if field.kind is Kind.PORT:
        # 0 is every port without a figure of its own.
        return {str(port): number for port, number in groups.items() if port}
    if field.kind is Kind.CODE:
        return {word: groups[code] for word, code in field.codes if code in groups}
    found: dict[str, int] = {}
    for row in await reading.rows("apps", ids=list(groups)):
        name = browser_of(row["name"], row["executable"]) or NONE
        found[name] = found.get(name, 0) + groups[row["id"]]
    return found

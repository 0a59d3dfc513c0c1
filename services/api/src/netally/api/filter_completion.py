"""``GET /api/filter/complete``: what may stand at the cursor of a filter, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from netally.api.database import Database
from netally.api.problems import BAD_PARAMETER, UNAUTHORIZED
from netally.api.visible import VisibleHosts
from netally.contracts.queries import CompletionOffer, CompletionsAnswer
from netally.store.filters.canonical import format_filter
from netally.store.filters.completion import complete
from netally.store.filters.errors import FilterError
from netally.store.filters.syntax import MAX_LENGTH, parse

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
    visible: NamedDependency[VisibleHosts],
    text: Text = "",
    cursor: Cursor = None,
) -> CompletionsAnswer:
    """Fields, operators, names and words, best first; without names while the database is away."""

    async def names(field: str, prefix: str, limit: int) -> Sequence[str]:
        # Whose applications and domains the others are is not looked up.
        if visible.names is None:
            return await database.names(field, prefix, limit)
        begins = (name for name in sorted(visible.names) if name.lower().startswith(prefix.lower()))
        return list(begins)[:limit] if field == "host" else []

    offers = await complete(text, len(text) if cursor is None else cursor, names)
    try:
        canonical, error = format_filter(parse(text)), None
    except FilterError as found:
        canonical, error = None, found
    return CompletionsAnswer(
        completions=[CompletionOffer(one.label, one.insert, one.kind, one.start, one.end, one.about) for one in offers],
        canonical=canonical,
        problem=str(error) if error else "",
        problem_start=error.start if error else None,
        problem_end=error.end if error else None,
    )

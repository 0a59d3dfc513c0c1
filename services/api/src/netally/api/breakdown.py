"""``GET /api/stats/breakdown``: traffic by one or two dimensions, as a table and over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from netally.api.parameters import Bucket, Limit, Offset
from netally.api.problems import QUERY_PROBLEMS, bad_parameter
from netally.api.reading import Asking, Reading, asked_range, open_reading, page_of, sums_of
from netally.api.timelines import PROTOCOL_WORDS, Grid, Measured, timeline_grid
from netally.contracts.codes import Role, Scope
from netally.contracts.queries import BreakdownAnswer, BreakdownRow, BreakdownSeries, GroupValue
from netally.store.counted import Counted

DIMENSIONS: Final = ("host", "app", "domain", "site", "protocol", "port", "scope", "role")
_TOTALS_SUFFICE: Final = frozenset(("host", "app", "scope", "role"))
_NAMES: Final = {"host": "host_names", "app": "apps", "domain": "domain_names", "site": "domain_names"}
_WORDS: Final[dict[str, Mapping[int, str]]] = {
    "protocol": PROTOCOL_WORDS,
    "scope": Scope.labels(),
    "role": Role.labels(),
}

_ONE: Final = f"({'|'.join(DIMENSIONS)})"
By = Annotated[
    str,
    QueryParameter(
        name="by",
        pattern=f"^{_ONE}(,{_ONE})?$",
        description=f"One of {', '.join(DIMENSIONS)}, or two of them with a comma between",
    ),
]
Order = Annotated[
    Literal["bytes", "bytes_in", "bytes_out", "connections", "last_used"],
    QueryParameter(name="sort", description="Largest or newest first"),
]
Series = Annotated[
    int,
    QueryParameter(name="top", ge=0, le=20, description="Most groups that are told over time; all others are `others`"),
]


@get("/api/stats/breakdown", summary="Traffic by one or two dimensions", responses=QUERY_PROBLEMS)
async def breakdown(
    asked: NamedDependency[Asking],
    by: By = "app",
    limit: Limit = 50,
    offset: Offset = 0,
    sort: Order = "bytes",
    bucket: Bucket = None,
    top: Series = 6,
) -> BreakdownAnswer:
    """Groups of a range in the order of `sort`, `limit` from `offset` on; the first `top` of these also over time, with
    everything else as `others`. Table and series are of the same rows, so that they add up to the same bytes.
    """
    first, _, second = by.partition(",")
    if first == second:
        raise bad_parameter("by", f"by names {first} twice: give two different ones, or one.")
    async with open_reading(asked) as reading:
        grid = timeline_grid(reading, *asked_range(asked, reading), bucket)
        counted = reading.counted(grid.span, totals_suffice={first, second or first} <= _TOTALS_SUFFICE)
        dimensions = {"first": first, "second": second}
        rows = await reading.rows("breakdown", counted, **dimensions, sort=sort, limit=limit, offset=offset)
        page = page_of(rows)
        names = [await _values(reading, name, [row[key] for row in page]) for key, name in dimensions.items() if name]
        groups = [[value[row[key]] for value, key in zip(names, ("first", "second"), strict=False)] for row in page]
        series = await _series(reading, grid, dimensions, page[:top], groups, counted) if top else []
        return BreakdownAnswer(
            by=[name for name in (first, second) if name],
            rows=[_row(row, group) for row, group in zip(page, groups, strict=True)],
            **sums_of(rows),
            bucket_seconds=grid.seconds,
            series=series,
            meta=await reading.meta(grid.span),
        )


async def _values(reading: Reading, dimension: str, ids: Sequence[int]) -> dict[int, GroupValue]:
    """What people read for each id."""
    if dimension not in _NAMES:
        words = _WORDS.get(dimension, {})
        return {number: GroupValue(dimension, number, words.get(number, str(number))) for number in ids}
    return {
        row["id"]: GroupValue(
            dimension,
            row["id"],
            row["name"],
            *((row["executable"], row["username"]) if dimension == "app" else ()),
        )
        for row in await reading.rows(_NAMES[dimension], ids=sorted(set(ids)))
    }


def _row(row: Any, group: list[GroupValue]) -> BreakdownRow:
    sums = ("bytes_in", "bytes_out", "packets_in", "packets_out", "connections", "last_used")
    return BreakdownRow(values=group, **{name: row[name] for name in sums})


async def _series(
    reading: Reading,
    grid: Grid,
    dimensions: Mapping[str, str],
    page: Sequence[Any],
    groups: Sequence[list[GroupValue]],
    counted: Counted,
) -> list[BreakdownSeries]:
    cells = await reading.rows(
        "breakdown_timeline",
        counted,
        **dimensions,
        **grid.binning(),
        firsts=[row["first"] for row in page],
        seconds=[row["second"] for row in page],
    )
    measured = await Measured.read(reading, grid, counted, by_host="host" in dimensions.values())
    bands: dict[int, dict[int, tuple[int, int]]] = {place: {} for place in range(1, len(page) + 1)}
    for cell in cells:
        bands.setdefault(cell["place"], {})[cell["bin"]] = (cell["bytes_in"], cell["bytes_out"])
    found = []
    for place in sorted(bands, key=lambda place: (place == 0, place)):
        group = groups[place - 1] if place else []
        host = next((value.id for value in group if value.by == "host"), None)
        found.append(BreakdownSeries(values=group, points=measured.points(bands[place], host)))
    return found

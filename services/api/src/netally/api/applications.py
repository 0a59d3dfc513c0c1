"""``GET /api/applications``."""

from __future__ import annotations

from litestar import get
from litestar.di import NamedDependency

from netally.api.database import Database
from netally.api.parameters import From, Hosts, Limit, Range, Sort, To
from netally.api.problems import QUERY_PROBLEMS
from netally.api.reading import Clock, read_table, sums_of
from netally.contracts.queries import ApplicationRow, ApplicationsAnswer


@get("/api/applications", summary="Applications by traffic", responses=QUERY_PROBLEMS)
async def applications(
    database: NamedDependency[Database],
    clock: NamedDependency[Clock],
    from_: From = None,
    to: To = None,
    range_: Range = None,
    host: Hosts = None,
    limit: Limit = 50,
    sort: Sort = "bytes",
) -> ApplicationsAnswer:
    """Applications of a range, the first `limit` in the order of `sort`; the rest is summed in `others`."""
    async with read_table(database, clock, from_, to, range_, host) as (reading, span):
        rows = await reading.rows("applications", **reading.filters(span), sort=sort, limit=limit)
        meta = await reading.meta(span)
    found = [
        ApplicationRow(
            id=row["id"],
            name=row["name"],
            executable=row["executable"],
            user=row["username"],
            bytes_in=row["bytes_in"],
            bytes_out=row["bytes_out"],
            connections=row["connections"],
            domains=row["domains"],
            hosts=row["hosts"],
            last_used=row["last_used"],
        )
        for row in rows
    ]
    return ApplicationsAnswer(applications=found, **sums_of(rows), meta=meta)

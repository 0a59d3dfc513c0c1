"""``GET /api/domains``."""

from __future__ import annotations

from litestar import get
from litestar.di import NamedDependency

from netally.api.database import Database
from netally.api.parameters import From, Hosts, Limit, Range, Sort, To
from netally.api.problems import QUERY_PROBLEMS
from netally.api.reading import Clock, read_table, sums_of
from netally.contracts.codes import DomainSource
from netally.contracts.queries import DomainRow, DomainsAnswer, DomainUser

_SOURCES = DomainSource.labels()


@get("/api/domains", summary="Domains by traffic, with the applications that used them", responses=QUERY_PROBLEMS)
async def domains(
    database: NamedDependency[Database],
    clock: NamedDependency[Clock],
    from_: From = None,
    to: To = None,
    range_: Range = None,
    host: Hosts = None,
    limit: Limit = 50,
    sort: Sort = "bytes",
) -> DomainsAnswer:
    """Domains of a range, the first `limit` in the order of `sort`; the rest is summed in `others`."""
    async with read_table(database, clock, from_, to, range_, host) as (reading, span):
        rows = await reading.rows("domains", **reading.filters(span), sort=sort, limit=limit)
        meta = await reading.meta(span)
    found = [
        DomainRow(
            id=row["id"],
            name=row["name"],
            sources=[_SOURCES.get(source, str(source)) for source in row["sources"]],
            applications=[
                DomainUser(id=app_id, name=name, bytes=used)
                for app_id, name, used in zip(row["app_ids"], row["app_names"], row["app_bytes"], strict=True)
            ],
            bytes_in=row["bytes_in"],
            bytes_out=row["bytes_out"],
            connections=row["connections"],
            hosts=row["hosts"],
            last_used=row["last_used"],
        )
        for row in rows
    ]
    return DomainsAnswer(domains=found, **sums_of(rows), meta=meta)

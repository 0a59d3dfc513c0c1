"""``GET /api/applications``, one application, its timeline, domains and hosts."""

from __future__ import annotations

from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from netally.api.parameters import Bucket, Id, Limit, Offset, Sort, Split, Top
from netally.api.problems import DETAIL_PROBLEMS, QUERY_PROBLEMS
from netally.api.reading import Asking, read_table
from netally.api.sources import read_sources
from netally.api.tables import read_applications, read_domains, read_sums
from netally.api.timelines import read_timeline
from netally.contracts.browsers import browser_of
from netally.contracts.queries import (
    ApplicationAnswer,
    ApplicationHostsAnswer,
    ApplicationsAnswer,
    DomainsAnswer,
    HostShare,
    TimelineAnswer,
)

CountDomains = Annotated[
    bool,
    QueryParameter(
        name="count_domains", description="Without, `domains` is null and long ranges are answered several times faster"
    ),
]


@get("/api/applications", summary="Applications by traffic", responses=QUERY_PROBLEMS)
async def applications(
    asked: NamedDependency[Asking],
    limit: Limit = 50,
    offset: Offset = 0,
    sort: Sort = "bytes",
    count_domains: CountDomains = True,
) -> ApplicationsAnswer:
    """Applications of a range in the order of `sort`, `limit` from `offset` on; the rest is summed in `others`."""
    async with read_table(asked) as (reading, span):
        return await read_applications(reading, span, limit, offset, sort, count_domains=count_domains)


@get("/api/applications/{app_id:int}", summary="One application", responses=DETAIL_PROBLEMS)
async def application(asked: NamedDependency[Asking], app_id: Id) -> ApplicationAnswer:
    """What it is, its totals in the range, and how its process was found."""
    async with read_table(asked) as (reading, span):
        found = await reading.named("app", app_id, "application")
        sums = await read_sums(reading, span, apps=[app_id])
        sources, since = await read_sources(reading, span, of_process=True, apps=[app_id])
        return ApplicationAnswer(
            id=found["id"],
            name=found["name"],
            executable=found["executable"],
            user=found["username"],
            unit=found["unit"],
            container=found["container"],
            browser=browser_of(found["name"], found["executable"]) or "",
            first_seen=found["first_seen"],
            **sums,
            attributed=sources,
            attributed_from=since,
            meta=await reading.meta(span),
        )


@get("/api/applications/{app_id:int}/timeline", summary="Bytes of an application over time", responses=DETAIL_PROBLEMS)
async def application_timeline(
    asked: NamedDependency[Asking], app_id: Id, bucket: Bucket = None, split: Split = "none", top: Top = 6
) -> TimelineAnswer:
    """Like /api/stats/timeline, of one application."""
    return await read_timeline(asked, bucket, split, top, app=app_id)


@get("/api/applications/{app_id:int}/domains", summary="Domains an application used", responses=DETAIL_PROBLEMS)
async def application_domains(
    asked: NamedDependency[Asking], app_id: Id, limit: Limit = 50, offset: Offset = 0, sort: Sort = "bytes"
) -> DomainsAnswer:
    """Like /api/domains, of one application."""
    async with read_table(asked) as (reading, span):
        await reading.named("app", app_id, "application")
        return await read_domains(reading, span, limit, offset, sort, app=app_id)


@get("/api/applications/{app_id:int}/hosts", summary="Hosts that ran an application", responses=DETAIL_PROBLEMS)
async def application_hosts(asked: NamedDependency[Asking], app_id: Id) -> ApplicationHostsAnswer:
    """Every host on which it had traffic in the range, largest first."""
    async with read_table(asked) as (reading, span):
        await reading.named("app", app_id, "application")
        counted = reading.counted(span, apps=[app_id], totals_suffice=True, sums_suffice=True)
        rows = await reading.rows("sums_by", counted, dimension="host")
        names = {row["id"]: row["name"] for row in await reading.rows("host_names", ids=[row["id"] for row in rows])}
        shares = [
            HostShare(
                id=row["id"],
                name=names[row["id"]],
                bytes_in=row["bytes_in"],
                bytes_out=row["bytes_out"],
                connections=row["connections"],
                last_used=row["last_used"],
            )
            for row in rows
        ]
        return ApplicationHostsAnswer(
            hosts=sorted(shares, key=lambda share: (-share.bytes_in - share.bytes_out, share.name)),
            total_bytes_in=sum(share.bytes_in for share in shares),
            total_bytes_out=sum(share.bytes_out for share in shares),
            meta=await reading.meta(span),
        )

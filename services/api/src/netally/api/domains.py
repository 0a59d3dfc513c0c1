"""``GET /api/domains``, one domain, its timeline, browsers and applications."""

from __future__ import annotations

from typing import Annotated, Literal

from litestar import get
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter

from netally.api.browsers import browsers_of_domain
from netally.api.parameters import Id, Limit, Offset, Sort, Split, Top
from netally.api.problems import DETAIL_PROBLEMS, QUERY_PROBLEMS
from netally.api.reading import Asking, read_table
from netally.api.sources import read_sources
from netally.api.tables import read_applications, read_domain_groups, read_domains, read_sums
from netally.api.timelines import read_timeline
from netally.contracts.queries import (
    ApplicationsAnswer,
    BrowsersAnswer,
    DomainAnswer,
    DomainsAnswer,
    TimelineAnswer,
)
from netally.store.registrable import registrable_domain

Group = Annotated[
    Literal["none", "registrable"],
    QueryParameter(
        name="group", description="`registrable`: one row for what one owner registered, its domains inside"
    ),
]
Step = Annotated[
    Literal["auto", "hourly", "daily"],
    QueryParameter(name="step", description="Hours, days of `tz`, or what fits the range"),
]
Most = Annotated[int, PathParameter(ge=1, le=1000, description="Most rows")]

_BUCKETS = {"auto": None, "hourly": "1h", "daily": "1d"}


@get("/api/domains", summary="Domains by traffic, with the applications that used them", responses=QUERY_PROBLEMS)
async def domains(
    asked: NamedDependency[Asking],
    limit: Limit = 50,
    offset: Offset = 0,
    sort: Sort = "bytes",
    group: Group = "none",
) -> DomainsAnswer:
    """Domains of a range in the order of `sort`, `limit` from `offset` on; the rest is summed in `others`."""
    async with read_table(asked) as (reading, span):
        read = read_domain_groups if group == "registrable" else read_domains
        return await read(reading, span, limit, offset, sort)


@get("/api/domains/top/{limit:int}", summary="The domains with most bytes", responses=DETAIL_PROBLEMS)
async def top_domains(asked: NamedDependency[Asking], limit: Most, group: Group = "none") -> DomainsAnswer:
    """Like /api/domains, its first rows."""
    async with read_table(asked) as (reading, span):
        read = read_domain_groups if group == "registrable" else read_domains
        return await read(reading, span, limit, 0, "bytes")


@get("/api/domains/{domain_id:int}", summary="One domain", responses=DETAIL_PROBLEMS)
async def domain(asked: NamedDependency[Asking], domain_id: Id) -> DomainAnswer:
    """Its totals in the range, and how its name was found."""
    async with read_table(asked) as (reading, span):
        found = await reading.named("domain", domain_id, "domain")
        sums = await read_sums(reading, span, domains=[domain_id])
        sources, since = await read_sources(reading, span, of_process=False, domains=[domain_id])
        return DomainAnswer(
            id=found["id"],
            name=found["name"],
            registrable=registrable_domain(found["name"]),
            first_seen=found["first_seen"],
            **sums,
            sources=sources,
            sources_from=since,
            meta=await reading.meta(span),
        )


@get("/api/domains/{domain_id:int}/timeline", summary="Bytes of a domain over time", responses=DETAIL_PROBLEMS)
async def domain_timeline(
    asked: NamedDependency[Asking], domain_id: Id, step: Step = "auto", split: Split = "none", top: Top = 6
) -> TimelineAnswer:
    """Hour by hour or day by day, also per application or host."""
    return await read_timeline(asked, _BUCKETS[step], split, top, domain=domain_id)


@get("/api/domains/{domain_id:int}/browsers", summary="Browsers that used a domain", responses=DETAIL_PROBLEMS)
async def domain_browsers(asked: NamedDependency[Asking], domain_id: Id) -> BrowsersAnswer:
    """Bytes, share and last use of each browser; other applications are summed in `others`."""
    async with read_table(asked) as (reading, span):
        await reading.named("domain", domain_id, "domain")
        return await browsers_of_domain(reading, span, domain_id)


@get("/api/domains/{domain_id:int}/applications", summary="Applications that used a domain", responses=DETAIL_PROBLEMS)
async def domain_applications(
    asked: NamedDependency[Asking], domain_id: Id, limit: Limit = 50, offset: Offset = 0, sort: Sort = "bytes"
) -> ApplicationsAnswer:
    """Like /api/applications, of one domain."""
    async with read_table(asked) as (reading, span):
        await reading.named("domain", domain_id, "domain")
        return await read_applications(reading, span, limit, offset, sort, domain=domain_id)

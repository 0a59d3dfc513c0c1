"""The lists: applications, domains, hosts. Ordered, filtered and paged by their URL."""

from __future__ import annotations

import asyncio
from typing import Any

from litestar import Response, get

from netally.contracts.queries import ApplicationsAnswer, BandwidthAnswer, DomainsAnswer, HostRow, HostsAnswer
from netally.web.api_client import ApiProblem
from netally.web.asked import Asked, asked_by
from netally.web.ranged_page import PAGE_ROWS, first_run, order_of, settle
from netally.web.ranges import pairs_of
from netally.web.tables import WORST_FIRST, Table, applications_table, domain_tree, domains_table, host_list
from netally.web.visits import AnyRequest

ALL = slice(None)


@get("/applications", include_in_schema=False)
async def applications_page(request: AnyRequest) -> Response[str]:
    asked = asked_by(request, {"sort": "bytes"})

    def draw(answer: ApplicationsAnswer) -> Table:
        return applications_table(answer, asked.visit.zone, asked.visit.now, shown=ALL)

    return await _list(asked, "/api/applications", ApplicationsAnswer, draw, "applications.html.j2", "Applications")


@get("/domains", include_in_schema=False)
async def domains_page(request: AnyRequest) -> Response[str]:
    """``view=tree`` (by registrable domain, what is below it inside) or ``flat``."""
    asked = asked_by(request, {"sort": "bytes", "view": "tree"})
    zone, now, flat = asked.visit.zone, asked.visit.now, asked.own.get("view") == "flat"

    def draw(answer: DomainsAnswer) -> Table:
        return domains_table(answer, zone, now, shown=ALL) if flat else domain_tree(answer, zone, now)

    group = "none" if flat else "registrable"
    template = "domains.html.j2"
    return await _list(asked, "/api/domains", DomainsAnswer, draw, template, "Domains", group=group, flat=flat)


async def _list(
    asked: Asked, path: str, kind: type[Any], draw: Any, template: str, name: str, *, group: str = "", **context: Any
) -> Response[str]:
    sort, page = order_of(asked.visit.request)
    offset = (page - 1) * PAGE_ROWS
    read = asked.visit.api.together
    try:
        answer = await read(asked.read(path, kind, limit=PAGE_ROWS, offset=offset, sort=sort.key, group=group))
    except ApiProblem as problem:
        box = asked.refused(problem)
        # Without the filter, for the coverage of the range alone.
        answer = await read(asked.unfiltered().read(path, kind, limit=1))
        return asked.page(template, name, answer.meta, box=box, status=problem.status, table=None, sort=sort, **context)
    table = draw(answer)
    last = -(-table.names // PAGE_ROWS) or 1
    return asked.page(
        template,
        name,
        answer.meta,
        table=table,
        sort=sort,
        page=page,
        last=last,
        previous=asked.here(page=str(page - 1)) if page > 1 else None,
        next=asked.here(page=str(page + 1)) if page < last else None,
        **context,
    )


HOST_ROWS = 100
HOST_ORDERS = {
    "state": "ascending",
    "name": "ascending",
    "bytes_in": "descending",
    "bytes_out": "descending",
    "complete_until": "ascending",
}


@get("/hosts", include_in_schema=False)
async def hosts_page(request: AnyRequest) -> Response[str]:
    """Exceptions first. ``find`` is a part of a name, ``state`` one state only; a filter narrows the amounts."""
    asked, fault = asked_by(request, {"sort": "state", "find": "", "state": ""}), dict[str, Any]()
    visit = asked.visit
    try:
        bandwidth, answer = await visit.api.together(_hosts(asked))
    except ApiProblem as problem:
        fault = {"box": asked.refused(problem), "status": problem.status}
        bandwidth, answer = await visit.api.together(_hosts(asked.unfiltered()))
    live = bandwidth.hosts if isinstance(bandwidth, BandwidthAnswer) else []
    find, state = asked.own.get("find", "").strip().lower(), asked.own.get("state", "")
    found = [row for row in answer.hosts if find in row.name.lower() and state in ("", row.state)]
    sort = asked.own.get("sort", "state")
    sort = sort if sort in HOST_ORDERS else "state"
    page = order_of(request)[1]
    last = -(-len(found) // HOST_ROWS) or 1
    page = min(page, last)
    ordered = ordered_hosts(found, sort)
    part = ordered[(page - 1) * HOST_ROWS : page * HOST_ROWS]
    return asked.page(
        "hosts.html.j2",
        "Hosts",
        answer.meta,
        **fault,
        first_run=first_run(answer, answer.meta),
        hosts=host_list(part, live, visit.zone, visit.now, ordered=True),
        states=[(name, sum(row.state == name for row in answer.hosts)) for name in WORST_FIRST],
        known=len(answer.hosts),
        found=len(found),
        find=find,
        find_kept={**pairs_of(asked.shown), **{key: text for key, text in asked.kept.items() if key != "find"}},
        state=state,
        sort=sort,
        orders=HOST_ORDERS,
        page=page,
        last=last,
        previous=asked.here(page=str(page - 1)) if page > 1 else None,
        next=asked.here(page=str(page + 1)) if page < last else None,
    )


async def _hosts(asked: Asked) -> tuple[BandwidthAnswer | ApiProblem, HostsAnswer]:
    api = asked.visit.api
    reads = asyncio.gather(settle(api.bandwidth(asked.visit.reader)), asked.read("/api/hosts", HostsAnswer))
    bandwidth, answer = await reads
    return bandwidth, answer


def ordered_hosts(rows: list[HostRow], sort: str) -> list[HostRow]:
    """Hosts in the order of a column, those alike by name."""
    by_name = sorted(rows, key=lambda row: row.name)
    if sort == "name":
        return by_name
    if sort == "state":
        return sorted(by_name, key=lambda row: WORST_FIRST.index(row.state) if row.state in WORST_FIRST else 0)
    if sort == "complete_until":
        return sorted(by_name, key=lambda row: row.complete_until or 0)
    return sorted(by_name, key=lambda row: row.bytes_in if sort == "bytes_in" else row.bytes_out, reverse=True)

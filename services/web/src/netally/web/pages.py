"""The overview, and the lists of applications, domains and hosts."""

from __future__ import annotations

import asyncio

from litestar import Response, get

from netally.contracts.queries import (
    ApplicationsAnswer,
    BandwidthAnswer,
    DomainsAnswer,
    HostsAnswer,
    TimelineAnswer,
)
from netally.web.api_client import ApiProblem
from netally.web.charts import timeline
from netally.web.figures import amount
from netally.web.live import LiveBoard
from netally.web.ranged_page import drawn, first_run, list_page, order_of, ranged_page, rows_of, rows_up_to, settle
from netally.web.ranges import read_range
from netally.web.tables import applications_table, domains_table, host_list
from netally.web.visits import AnyRequest, visit_of

OVERVIEW_ROWS = 10


@get("/", include_in_schema=False)
async def overview(request: AnyRequest) -> Response[str]:
    visit = visit_of(request)
    shown = read_range(request.query_params, visit.zone, visit.now)
    api, reader = visit.api, visit.reader
    bandwidth, line, applications, domains, hosts = await api.together(
        asyncio.gather(
            settle(api.bandwidth(reader)),
            settle(api.timeline(reader, shown, split="app")),
            settle(api.applications(reader, shown, limit=OVERVIEW_ROWS + 1)),
            settle(api.domains(reader, shown, limit=OVERVIEW_ROWS + 1)),
            settle(api.hosts(reader, shown)),
        )
    )
    answers = [bandwidth, line, applications, domains, hosts]
    problems = [answer for answer in answers if isinstance(answer, ApiProblem)]
    if len(problems) == len(answers):
        raise problems[0]
    zone, now = visit.zone, visit.now
    meta = next(answer.meta for answer in (hosts, line, applications, domains, bandwidth) if hasattr(answer, "meta"))
    live = bandwidth.hosts if isinstance(bandwidth, BandwidthAnswer) else []
    return ranged_page(
        visit,
        shown,
        "overview.html.j2",
        "Overview",
        meta,
        first_run=first_run(hosts, meta),
        live=drawn(bandwidth, BandwidthAnswer, lambda answer: LiveBoard(answer, now).view()),
        line=drawn(line, TimelineAnswer, lambda answer: timeline(answer, zone, now, split="app")),
        applications=drawn(
            applications,
            ApplicationsAnswer,
            lambda answer: applications_table(answer, zone, now, shown=slice(OVERVIEW_ROWS)),
        ),
        domains=drawn(
            domains, DomainsAnswer, lambda answer: domains_table(answer, zone, now, shown=slice(OVERVIEW_ROWS))
        ),
        hosts=drawn(hosts, HostsAnswer, lambda answer: host_list(answer.hosts, live, zone, now)),
        total=_total(applications),
    )


@get("/applications", include_in_schema=False)
async def applications_page(request: AnyRequest) -> Response[str]:
    visit = visit_of(request)
    shown = read_range(request.query_params, visit.zone, visit.now)
    sort, page = order_of(request)
    answer = await visit.api.together(
        visit.api.applications(visit.reader, shown, limit=rows_up_to(page), sort=sort.key)
    )
    table = applications_table(answer, visit.zone, visit.now, shown=rows_of(page))
    return list_page(visit, shown, "applications.html.j2", "Applications", table, answer.meta, sort, page)


@get("/domains", include_in_schema=False)
async def domains_page(request: AnyRequest) -> Response[str]:
    visit = visit_of(request)
    shown = read_range(request.query_params, visit.zone, visit.now)
    sort, page = order_of(request)
    answer = await visit.api.together(visit.api.domains(visit.reader, shown, limit=rows_up_to(page), sort=sort.key))
    table = domains_table(answer, visit.zone, visit.now, shown=rows_of(page))
    return list_page(visit, shown, "domains.html.j2", "Domains", table, answer.meta, sort, page)


@get("/hosts", include_in_schema=False)
async def hosts_page(request: AnyRequest) -> Response[str]:
    visit = visit_of(request)
    shown = read_range(request.query_params, visit.zone, visit.now)
    api, reader = visit.api, visit.reader
    bandwidth, answer = await api.together(asyncio.gather(api.bandwidth(reader), api.hosts(reader, shown)))
    return ranged_page(
        visit,
        shown,
        "hosts.html.j2",
        "Hosts",
        answer.meta,
        first_run=first_run(answer, answer.meta),
        hosts=host_list(answer.hosts, bandwidth.hosts, visit.zone, visit.now),
    )


def _total(applications: ApplicationsAnswer | ApiProblem) -> tuple[str, str] | None:
    if isinstance(applications, ApiProblem):
        return None
    if applications.meta.measured_share is None:
        return amount(None), amount(None)
    return amount(applications.total_bytes_in), amount(applications.total_bytes_out)

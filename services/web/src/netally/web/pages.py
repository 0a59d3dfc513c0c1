"""The overview."""

from __future__ import annotations

import asyncio

import msgspec
from litestar import Response, get

from netally.contracts.queries import (
    ApplicationsAnswer,
    BandwidthAnswer,
    DomainsAnswer,
    FleetConservationAnswer,
    HostsAnswer,
    SummaryAnswer,
    SummaryPeriod,
    TimelineAnswer,
)
from netally.web.api_client import ApiProblem
from netally.web.charts import timeline
from netally.web.conservation import conservation
from netally.web.figures import amount, bound, change
from netally.web.live import LiveBoard
from netally.web.ranged_page import drawn, first_run, ranged_page, settle
from netally.web.ranges import query_of, read_range, title
from netally.web.tables import applications_table, domains_table, host_list
from netally.web.visits import AnyRequest, visit_of

OVERVIEW_ROWS = 10
SPLITS = {"app": "Application", "domain": "Domain", "host": "Host"}
"""What the timeline can be stacked by."""


@get("/", include_in_schema=False)
async def overview(request: AnyRequest) -> Response[str]:
    visit = visit_of(request)
    shown = read_range(request.query_params, visit.zone, visit.now)
    api, reader = visit.api, visit.reader
    split = request.query_params.get("split", "app")
    split = split if split in SPLITS else "app"
    bandwidth, line, applications, domains, hosts, summary, counters = await api.together(
        asyncio.gather(
            settle(api.bandwidth(reader)),
            settle(api.timeline(reader, shown, split=split)),
            settle(api.applications(reader, shown, limit=OVERVIEW_ROWS + 1, count_domains="false")),
            settle(api.domains(reader, shown, limit=OVERVIEW_ROWS + 1)),
            settle(api.hosts(reader, shown)),
            settle(api.summary(reader, shown)),
            settle(api.conservation(reader, shown)),
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
        line=drawn(line, TimelineAnswer, lambda answer: timeline(answer, zone, now, split=split)),
        applications=drawn(
            applications,
            ApplicationsAnswer,
            lambda answer: applications_table(answer, zone, now, shown=slice(OVERVIEW_ROWS)),
        ),
        domains=drawn(
            domains, DomainsAnswer, lambda answer: domains_table(answer, zone, now, shown=slice(OVERVIEW_ROWS))
        ),
        hosts=drawn(hosts, HostsAnswer, lambda answer: host_list(answer.hosts, live, zone, now)),
        totals=_totals(summary, title(shown, zone, now)),
        counters=drawn(counters, FleetConservationAnswer, lambda answer: conservation(answer.causes)),
        split=split,
        splits=[(key, words, query_of(shown, split=key)) for key, words in SPLITS.items()],
        kept={"split": split} if split != "app" else {},
    )


class Total(msgspec.Struct, frozen=True):
    """An amount of a period, and how it stands against the one before."""

    words: str
    amount: str
    change: str
    """Empty where the period before was not measured."""
    large: bool
    """A change by half or more."""


def _totals(summary: SummaryAnswer | ApiProblem, range_words: str) -> list[Total]:
    """In and out of the range, then both together today, this week and this month."""
    if isinstance(summary, ApiProblem):
        return []
    found = []
    periods = {period.name: period for period in summary.periods}
    if period := periods.get("range"):
        found += [
            _total(f"In, {range_words}", period, period.bytes_in, period.before_bytes_in),
            _total(f"Out, {range_words}", period, period.bytes_out, period.before_bytes_out),
        ]
    for name, words in (("today", "Today"), ("week", "This week"), ("month", "This month")):
        if period := periods.get(name):
            before = period.before_bytes_in + period.before_bytes_out
            found.append(_total(f"{words}, in + out", period, period.bytes_in + period.bytes_out, before))
    return found


def _total(words: str, period: SummaryPeriod, size: int, before: int) -> Total:
    if not period.measured_share:
        return Total(words, amount(None), "", False)
    known = bool(period.before_measured_share)
    large = known and before > 0 and abs(size - before) >= before / 2
    figure = f"{bound(period.measured_share)}{amount(size)}"
    return Total(words, figure, change(size, before) if known else "", large)

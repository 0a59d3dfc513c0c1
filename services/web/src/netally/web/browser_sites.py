"""Browsers: time on sites against the bytes they caused, by browser and host; a domain as a site and as a host."""

from __future__ import annotations

import msgspec
from litestar import Response, get

from netally.contracts.browser_sites import BrowserSitesAnswer, DomainSiteAnswer, SiteShare
from netally.contracts.domain_display import display_name
from netally.web import figures
from netally.web.api_client import ApiProblem
from netally.web.asked import asked_by
from netally.web.figures import Unit
from netally.web.links import to_host
from netally.web.visits import AnyRequest

ROWS = 100


class Line(msgspec.Struct, frozen=True):
    """A row of any of the tables here."""

    name: str
    href: str
    bytes_in: str
    bytes_out: str
    time: str = ""
    host: str = ""
    browser: str = ""
    note: str = ""


class JoinLine(msgspec.Struct, frozen=True):
    host: str
    host_href: str
    browser: str
    time: str
    joined: str
    unjoined: str
    share: str
    """Of the bytes that have a site."""


class Sites(msgspec.Struct, frozen=True):
    unit: Unit
    browsers: list[JoinLine]
    rows: list[Line]
    others: int


class DomainSites(msgspec.Struct, frozen=True):
    """What a domain's page shows of it; empty lists where nothing is known."""

    unit: Unit
    time: str
    caused: str
    unjoined: str
    third_parties: list[Line]
    own: list[Line]
    """Hosts of the site's owner."""
    sites: list[Line]


def sites_of(answer: BrowserSitesAnswer) -> Sites:
    joins = [
        (row, row.joined_bytes_in + row.joined_bytes_out, row.unjoined_bytes_in + row.unjoined_bytes_out)
        for row in answer.browsers
    ]
    unit = figures.amount_unit(
        [amount for _, *amounts in joins for amount in amounts]
        + [amount for row in answer.sites for amount in (row.bytes_in, row.bytes_out)]
    )
    return Sites(
        unit,
        [
            JoinLine(
                row.host,
                to_host(row.host),
                row.browser,
                *_told(row.seconds, joined, unjoined, unit),
            )
            for row, joined, unjoined in joins
        ],
        [
            Line(
                display_name(row.site),
                f"/domains/{row.id}",
                figures.in_unit(row.bytes_in, unit),
                figures.in_unit(row.bytes_out, unit),
                figures.duration(row.seconds),
                row.host,
                row.browser,
            )
            for row in answer.sites
        ],
        answer.others_count,
    )


def _told(seconds: int, joined: int, unjoined: int, unit: Unit) -> tuple[str, str, str, str]:
    """Time, bytes with a site, without, and the share with one. Of a browser that told nothing only its bytes are
    known: no time is not a time of zero.
    """
    if not seconds and not joined:
        return figures.UNKNOWN, figures.UNKNOWN, figures.in_unit(unjoined, unit), figures.UNKNOWN
    return (
        figures.duration(seconds),
        figures.in_unit(joined, unit),
        figures.in_unit(unjoined, unit),
        figures.percent(joined / (joined + unjoined) if joined + unjoined else None),
    )


def domain_sites(answer: DomainSiteAnswer) -> DomainSites | None:
    """None when no browser told anything of the domain."""
    if not (answer.seconds or answer.hosts or answer.sites):
        return None
    unit = figures.amount_unit([max(one.bytes_in, one.bytes_out) for one in (*answer.hosts, *answer.sites)])

    def lines(shares: list[SiteShare]) -> list[Line]:
        return [
            Line(
                display_name(one.name),
                f"/domains/{one.id}",
                figures.in_unit(one.bytes_in, unit),
                figures.in_unit(one.bytes_out, unit),
                note="third party" if one.third_party else "",
            )
            for one in shares
        ]

    return DomainSites(
        unit,
        figures.duration(answer.seconds),
        figures.amount(answer.bytes_in + answer.bytes_out),
        figures.amount(answer.unjoined_bytes_in + answer.unjoined_bytes_out),
        lines([one for one in answer.hosts if one.third_party]),
        lines([one for one in answer.hosts if not one.third_party]),
        lines(answer.sites),
    )


@get("/browsers", include_in_schema=False)
async def browsers_page(request: AnyRequest) -> Response[str]:
    asked = asked_by(request)
    read = asked.visit.api.together
    try:
        answer = await read(asked.read("/api/browsers/sites", BrowserSitesAnswer, limit=ROWS))
    except ApiProblem as problem:
        box = asked.refused(problem)
        answer = await read(asked.unfiltered().read("/api/browsers/sites", BrowserSitesAnswer, limit=1))
        return asked.page("browsers.html.j2", "Browsers", answer.meta, box=box, status=problem.status, sites=None)
    return asked.page("browsers.html.j2", "Browsers", answer.meta, sites=sites_of(answer))

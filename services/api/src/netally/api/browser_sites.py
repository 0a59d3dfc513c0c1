"""``GET /api/browsers/sites``, ``GET /api/domains/{domain_id}/site``: time on sites against the bytes they caused."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from litestar import get
from litestar.di import NamedDependency

from netally.api import ranges
from netally.api.parameters import Id, Limit
from netally.api.problems import DETAIL_PROBLEMS, QUERY_PROBLEMS
from netally.api.reading import Asking, Reading, read_table
from netally.contracts.browser_sites import BrowserJoin, BrowserSitesAnswer, DomainSiteAnswer, SiteRow, SiteShare
from netally.contracts.browsers import browser_of
from netally.store.registrable import registrable_domain

NO_SITE = 0
MOST_SHARES = 100


@get("/api/browsers/sites", summary="Time on sites against bytes, by browser and host", responses=QUERY_PROBLEMS)
async def browser_sites(asked: NamedDependency[Asking], limit: Limit = 100) -> BrowserSitesAnswer:
    """Seconds are what the extension reported; bytes are those of the browser's flows whose site is known for sure.
    What could not be joined is told beside it. A filter narrows the bytes alone.
    """
    async with read_table(asked) as (reading, span):
        apps = await _browser_apps(reading, span)
        flows = await reading.rows("site_traffic", reading.counted(span, apps=list(apps)))
        spent = await _seconds(reading, span)
        hosts = {row["id"]: row["name"] for row in reading.host_rows}
        # Browsers are known by their programs, and call themselves by the same names in what they report.
        names = {name.lower(): name for name in apps.values()}
        sums: dict[tuple[int, str, int], list[int]] = defaultdict(lambda: [0, 0, 0])
        for row in flows:
            one = sums[row["host_id"], apps[row["app_id"]], row["site_id"]]
            one[1] += row["bytes_in"]
            one[2] += row["bytes_out"]
        for row in spent:
            name = names.get(row["browser"].lower(), row["browser"])
            sums[row["host_id"], name, row["site_id"]][0] += row["seconds"]
        sites = await _names(reading, {site for _, _, site in sums})
        found = [
            SiteRow(hosts[host], browser, site, sites[site], *amounts)
            for (host, browser, site), amounts in sums.items()
            if site != NO_SITE and site in sites and host in hosts
        ]
        found.sort(key=lambda row: (-row.bytes_in - row.bytes_out, -row.seconds, row.site, row.host, row.browser))
        return BrowserSitesAnswer(
            browsers=_joins(sums, hosts),
            sites=found[:limit],
            others_count=len(found[limit:]),
            meta=await reading.meta(span),
        )


@get(
    "/api/domains/{domain_id:int}/site",
    summary="A domain as a site, and as a host of sites",
    responses=DETAIL_PROBLEMS,
)
async def site(asked: NamedDependency[Asking], domain_id: Id) -> DomainSiteAnswer:
    """What the site caused and from which hosts that came, and the sites that caused this domain's own traffic."""
    async with read_table(asked) as (reading, span):
        found = await reading.named("domain", domain_id, "domain")
        rows = await reading.rows("domains_and_sites", reading.counted(span), id=domain_id)
        caused = [row for row in rows if row["site_id"] == domain_id]
        loaded = [row for row in rows if row["domain_id"] == domain_id]
        without = [row for row in loaded if row["site_id"] == NO_SITE]
        names = await _names(reading, {row[key] for row in rows for key in ("domain_id", "site_id")})
        spent = await _seconds(reading, span, domain_id)
        return DomainSiteAnswer(
            id=domain_id,
            name=found["name"],
            seconds=sum(row["seconds"] for row in spent),
            bytes_in=sum(row["bytes_in"] for row in caused),
            bytes_out=sum(row["bytes_out"] for row in caused),
            hosts=_shares(caused, "domain_id", names, found["name"]),
            sites=_shares(loaded, "site_id", names, found["name"]),
            unjoined_bytes_in=sum(row["bytes_in"] for row in without),
            unjoined_bytes_out=sum(row["bytes_out"] for row in without),
            meta=await reading.meta(span),
        )


async def _browser_apps(reading: Reading, span: ranges.TimeRange) -> dict[int, str]:
    """Id of each application that is a browser and had traffic, and its browser."""
    sums = await reading.rows("sums_by", reading.counted(span, totals_suffice=True), dimension="app")
    apps = await reading.rows("apps", ids=[row["id"] for row in sums])
    named = {app["id"]: browser_of(app["name"], app["executable"]) for app in apps}
    return {app: name for app, name in named.items() if name}


async def _seconds(reading: Reading, span: ranges.TimeRange, site: int | None = None) -> list[Any]:
    shift = 0 if span.exact else span.middle_ms
    return await reading.rows(
        "site_seconds",
        tier=span.tier,
        start=span.start - shift,
        end=span.end - shift,
        hosts=reading.fleet.host_ids,
        site=site,
    )


async def _names(reading: Reading, ids: set[int]) -> dict[int, str]:
    return {row["id"]: row["name"] for row in await reading.rows("domain_names", ids=sorted(ids - {NO_SITE}))}


def _joins(sums: dict[tuple[int, str, int], list[int]], hosts: dict[int, str]) -> list[BrowserJoin]:
    of_browser: dict[tuple[int, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0])
    for (host, browser, site_id), (seconds, bytes_in, bytes_out) in sums.items():
        one, first = of_browser[host, browser], 3 if site_id == NO_SITE else 1
        one[0] += seconds
        one[first] += bytes_in
        one[first + 1] += bytes_out
    found = [BrowserJoin(hosts[host], browser, *one) for (host, browser), one in of_browser.items() if host in hosts]
    return sorted(
        found,
        key=lambda row: (
            -row.joined_bytes_in - row.joined_bytes_out - row.unjoined_bytes_in - row.unjoined_bytes_out,
            row.host,
            row.browser,
        ),
    )


def _shares(rows: list[Any], key: str, names: dict[int, str], of: str) -> list[SiteShare]:
    owner = registrable_domain(of)
    shares = [
        SiteShare(
            id=row[key],
            name=names[row[key]],
            bytes_in=row["bytes_in"],
            bytes_out=row["bytes_out"],
            third_party=registrable_domain(names[row[key]]) != owner,
        )
        for row in rows
        if row[key] in names
    ]
    return sorted(shares, key=lambda one: (-one.bytes_in - one.bytes_out, one.name))[:MOST_SHARES]

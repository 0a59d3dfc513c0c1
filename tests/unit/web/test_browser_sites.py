"""What the pages say of sites."""

from __future__ import annotations

from typing import Any

from netally.contracts.browser_sites import BrowserJoin, BrowserSitesAnswer, DomainSiteAnswer, SiteRow, SiteShare
from netally.web.browser_sites import domain_sites, sites_of

META: Any = None
NBSP = "\N{NO-BREAK SPACE}"


def test_what_could_not_be_joined_is_told() -> None:
    made = sites_of(
        BrowserSitesAnswer(
            [BrowserJoin("desk", "Zen", 61, 750_000, 0, 250_000, 0), BrowserJoin("desk", "Edge", 0, 0, 0, 0, 0)],
            [SiteRow("desk", "Zen", 7, "xn--bcher-kva.example", 61, 700_000, 50_000)],
            3,
            META,
        )
    )
    first, idle = made.browsers
    assert (first.time, first.joined, first.unjoined) == (f"1{NBSP}min{NBSP}01{NBSP}s", "750.0", "250.0")
    assert first.share == f"75.0{NBSP}%"
    assert (idle.time, idle.joined, idle.share) == ("–", "–", "–")
    assert first.host_href == "/hosts/named?name=desk"
    (row,) = made.rows
    assert (row.name, row.href, row.bytes_in, made.unit.symbol) == ("bücher.example", "/domains/7", "700.0", "kB")


def test_third_parties_stand_apart_from_a_sites_own_hosts() -> None:
    hosts = [SiteShare(1, "cdn.net", 2_000, 1, third_party=True), SiteShare(2, "www.a.org", 900, 1, third_party=False)]
    made = domain_sites(DomainSiteAnswer(2, "www.a.org", 5, 2_900, 2, hosts, [], 40, 2, META))
    assert made is not None
    assert ([one.name for one in made.third_parties], [one.name for one in made.own]) == (["cdn.net"], ["www.a.org"])
    assert domain_sites(DomainSiteAnswer(2, "www.a.org", 0, 0, 0, [], [], 40, 2, META)) is None

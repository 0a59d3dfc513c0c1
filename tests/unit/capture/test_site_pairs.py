"""Flows get a site only where one alone can have caused them."""

from __future__ import annotations

from netally.capture.flow_records import Part
from netally.capture.site_pairs import ACTIVE_SECONDS, HOLD_SECONDS, MEMORY_SECONDS, MOST_HOSTS, SitePairs
from netally.contracts.codes import Role
from netally.contracts.flow import App
from netally.contracts.tabs import SitePair, TabsReported
from tests.builders import make_flow_record

NOW = 1_000_000.0
FIREFOX = App("firefox", "/usr/lib/firefox/firefox")
CURL = App("curl", "/usr/bin/curl")


def report(*pairs: tuple[str, str], browser: str = "Firefox", opted_in: bool = True) -> TabsReported:
    return TabsReported(
        host="desk",
        id="0" * 32,
        token="a",
        browser=browser,
        received_at=0,
        spans=[],
        pairs=[SitePair(host, site) for host, site in pairs] if opted_in else None,
    )


def joined(pairs: SitePairs, app: App = FIREFOX, domain: str = "cdn.net", role: Role = Role.CLIENT) -> str:
    """Site of a flow of the interval that begins at NOW."""
    record = make_flow_record(app=1, domain=1 if domain else 0, role=int(role), site=0)
    part = pairs.join(Part([App(""), app], ["", domain or "unused"], [record]), NOW)
    (found,) = part.records
    assert found.bytes_in == record.bytes_in
    return part.domains[found.site]


def test_a_host_that_one_site_asked_for_gives_its_flow_the_site() -> None:
    pairs = SitePairs()
    pairs.heard(report(("cdn.net", "news.org"), ("news.org", "news.org")), NOW + 3)
    assert joined(pairs) == "news.org"
    assert joined(pairs, domain="news.org") == "news.org"


def test_what_is_not_certain_gets_no_site() -> None:
    pairs = SitePairs()
    pairs.heard(report(("cdn.net", "news.org"), ("both.net", "news.org")), NOW + 3)
    pairs.heard(report(("both.net", "shop.org")), NOW + 5)
    assert joined(pairs, domain="both.net") == ""
    assert joined(pairs, domain="other.net") == ""
    assert joined(pairs, domain="") == ""
    # The same host used by a program that is no browser, by another browser, and as a server.
    assert joined(pairs, CURL) == ""
    assert joined(pairs, App("chromium", "/usr/lib/chromium/chromium")) == ""
    assert joined(pairs, role=Role.SERVER) == ""


def test_a_request_counts_for_two_minutes() -> None:
    pairs = SitePairs()
    pairs.heard(report(("cdn.net", "old.org")), NOW - MEMORY_SECONDS - 1)
    assert joined(pairs) == ""
    pairs.heard(report(("cdn.net", "news.org")), NOW + 1)
    assert joined(pairs) == "news.org"


def test_intervals_are_held_back_only_while_a_browser_tells() -> None:
    pairs = SitePairs()
    assert pairs.hold_seconds(NOW) == 0
    pairs.heard(report(opted_in=False), NOW)
    assert pairs.hold_seconds(NOW) == 0
    pairs.heard(report(), NOW)
    assert pairs.hold_seconds(NOW + 1) == HOLD_SECONDS
    assert pairs.hold_seconds(NOW + ACTIVE_SECONDS) == 0


def test_what_is_remembered_is_bounded() -> None:
    pairs = SitePairs()
    for number in range(MOST_HOSTS + 1):
        pairs.heard(report((f"{number}.net", "news.org")), NOW)
    assert pairs.site("Firefox", "0.net", NOW) is None
    assert pairs.site("Firefox", f"{MOST_HOSTS}.net", NOW) == "news.org"

from __future__ import annotations

from tests.unit.web.conftest import Site
from tests.unit.web.test_pages import cells, one, parse, texts


def facts(tree: object) -> dict[str, str]:
    return dict(zip(texts(tree.css(".facts dt")), texts(tree.css(".facts dd")), strict=True))  # type: ignore[attr-defined]


def test_an_application_says_what_it_is_and_where_its_bytes_went(site: Site) -> None:
    tree = parse(site.html("/applications/2?range=24h"))
    assert one(tree, "h1").text() == "firefox"
    assert "belongs to the browser Firefox" in one(tree, "#main").text()
    assert facts(tree)["In, last 24 hours"] == "148.7\u00a0GB"
    assert [row[0] for row in cells(tree, "h-h")] == ["gw-berlin", "nas-01", "build-02", "lap-03"]
    assert [row[:3] for row in cells(tree, "h-f")] == [["Socket tables", "126.6", "80.0"], ["/proc", "31.7", "20.0"]]
    assert one(tree, "traffic-chart")
    site.html("/applications/999", status=404)


def test_the_timeline_is_split_by_a_link(site: Site) -> None:
    tree = parse(site.html("/applications/2?range=24h"))
    link = next(link for link in tree.css("[aria-label=Split] a") if link.text() == "By host")
    site.html(f"/applications/2{link.attributes['href']}")
    asked = [request.query_params for request in site.fake.seen if request.url.path.endswith("/2/timeline")]
    assert asked[-1]["split"] == "host"


def test_a_domain_by_browser_and_hour_or_day(site: Site) -> None:
    tree = parse(site.html("/domains/5"))
    assert one(tree, "h1").text() == "github.com"
    browsers = cells(tree, "h-b")
    assert [row[0] for row in browsers] == ["Firefox", "Chrome", "no browser"]
    assert [row[2] for row in browsers] == ["9.5", "9.5", "18.9"]
    link = next(link for link in tree.css("[aria-label=Resolution] a") if link.text() == "Daily")
    daily = parse(site.html(f"/domains/5{link.attributes['href']}"))
    assert one(daily, "[aria-label=Resolution] [aria-current]").text() == "Daily"
    asked = [request.query_params for request in site.fake.seen if request.url.path.endswith("/5/timeline")]
    assert asked[-1]["step"] == "daily"


def test_a_host_shows_its_counters_and_what_is_wanted_of_it(site: Site) -> None:
    site.fake.lagging = ["nas-01"]
    tree = parse(site.html("/hosts/2"))
    assert one(tree, "h1").text().split() == ["nas-01", "reporting"]
    rows = {row[0]: row[2:] for row in cells(tree, "h-c")}
    assert list(rows) == ["attributed", "no name", "no process", "▲ lost ring"]
    assert rows["▲ lost ring"] == ["<0.1", "<0.1", "0.0", "<0.1"]
    foot = texts(one(tree, "[aria-labelledby=h-c] tfoot tr").css("th, td"))
    assert foot == ["Interface counters", "", "27.0", "20.0", "7.0", "100.0"]
    settings = cells(tree, "h-s")
    assert settings[2] == ["Version", "3", "2", "not yet"]
    actions = [form.attributes["action"] for form in tree.css("[aria-labelledby=h-s] form")]
    assert actions == ["/operations/pause", "/operations/set-interval"]


def test_a_part_that_fails_leaves_the_rest(site: Site) -> None:
    site.fake.broken = {"/api/hosts/2/conservation": 503}
    tree = parse(site.html("/hosts/2"))
    assert "could not be read" in one(tree, "[aria-labelledby=h-c] [role=alert]").text()
    assert cells(tree, "h-a")


def test_a_paused_host_can_be_resumed(site: Site) -> None:
    site.fake.paused = ["nas-01"]
    tree = parse(site.html("/hosts/2"))
    form = one(tree, "form[action='/operations/resume']")
    fields = {str(node.attributes["name"]): str(node.attributes["value"]) for node in form.css("input")}
    answer = site.client.post("/operations/resume", data=fields)
    assert answer.status_code == 303
    assert (site.fake.ledger[-1].name, site.fake.ledger[-1].arguments) == ("resume", {"hosts": ["nas-01"]})

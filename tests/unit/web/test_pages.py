from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

import httpx
import msgspec
import pytest
from selectolax.lexbor import LexborHTMLParser, LexborNode

from tests.unit.web.conftest import Site

PAGES = (
    "/", "/?range=24h", "/live", "/applications", "/applications/2", "/domains", "/domains?view=flat", "/domains/5",
    "/hosts", "/hosts/1", "/history", "/explore?by=app&then=host", "/operations", "/settings", "/login", "/nothing",
)  # fmt: skip


def parse(html: str) -> LexborHTMLParser:
    return LexborHTMLParser(html)


def one(tree: LexborHTMLParser | LexborNode, selector: str) -> LexborNode:
    (found,) = tree.css(selector)
    return found


def texts(nodes: Sequence[LexborNode]) -> list[str]:
    return [node.text(strip=True) for node in nodes]


def cells(tree: LexborHTMLParser, part: str) -> list[list[str]]:
    return [texts(row.css("th, td")) for row in tree.css(f"[aria-labelledby={part}] tbody tr")]


@pytest.mark.parametrize("path", PAGES)
def test_no_page_has_inline_styles_or_scripts(site: Site, path: str) -> None:
    tree = parse(site.client.get(path).text)
    for node in tree.css("*"):
        names = [name.lower() for name in node.attributes]
        assert "style" not in names
        assert not [name for name in names if name.startswith("on")]
        assert not [name for name in names if name.startswith("hx-on")]
        for address in ("href", "src", "action"):
            assert not (node.attributes.get(address) or "").startswith(("http:", "https:", "//", "javascript:"))
    for script in tree.css("script"):
        assert script.attributes.get("src") or script.attributes.get("type") == "application/json"
    assert not tree.css("style")


@pytest.mark.parametrize("path", PAGES)
def test_every_page_has_one_title_and_headings_in_order(site: Site, path: str) -> None:
    tree = parse(site.client.get(path).text)
    assert len(tree.css("h1")) == 1
    levels = [int(node.tag[1]) for node in tree.css("h1, h2, h3") if node.tag]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert one(tree, "main").attributes["id"] == "main"
    for table in tree.css("table"):
        assert all(cell.attributes.get("scope") == "col" for cell in table.css("thead th"))
    for name in tree.css("[aria-labelledby]"):
        assert all(tree.css(f"#{each}") for each in (name.attributes["aria-labelledby"] or "").split())
    ids = [node.attributes["id"] for node in tree.css("[id]")]
    assert len(ids) == len(set(ids))


def test_every_link_leads_somewhere(site: Site) -> None:
    seen = set()
    for path in (*PAGES[:-2], "/applications?page=2&sort=name"):
        for link in parse(site.html(path)).css("a[href], link[href], script[src]"):
            address = link.attributes.get("href") or link.attributes.get("src") or ""
            seen.add(str(httpx.URL(f"http://site{path}").join(address).raw_path, "ascii"))
    seen -= {"/api/docs"}
    assert len(seen) > 20
    found = {path: site.client.get(path, follow_redirects=True).status_code for path in seen}
    assert found == dict.fromkeys(seen, 200)


def test_the_overview_without_scripts_shows_who_moves_what(site: Site) -> None:
    tree = parse(site.html("/?range=24h"))
    movers = cells(tree, "h-m")
    assert len(movers) == 11
    assert any("restic" in row[0] and row[1] == "backblazeb2.com" and row[2] == "gw-berlin" for row in movers)
    apps = cells(tree, "h-a")
    assert apps[0][0] == "restic"
    assert apps[0][2:5] == ["6.2", "208.4", "21.2"]
    assert [row[0] for row in apps[-2:]] == ["143 others", "no process"]
    domains = {row[0]: row[1] for row in cells(tree, "h-d")}
    assert domains["github.comgit, firefox +\u00a02"] == "git, firefox +\u00a02"
    assert texts(one(tree, ".hosts").css("li > .state")) == ["build-02", "gw-berlin", "lap-03", "nas-01"]
    assert one(tree, "traffic-chart svg[role=img] title").text().startswith("Traffic by application")
    assert len(tree.css("#timeline details tbody tr")) == 12
    figure = one(tree, ".now.in .big").text()
    assert re.match(r"\d+\.\d Mbit/s", figure)


def test_the_sums_under_the_tables_agree_with_the_totals(site: Site) -> None:
    tree = parse(site.html("/"))
    totals = dict(zip(texts(tree.css("#totals dt")), texts(tree.css("#totals dd")), strict=True))
    for part in ("h-a", "h-d"):
        foot = texts(one(tree, f"[aria-labelledby={part}] tfoot tr").css("th, td"))
        assert "588.4" in foot
        column = 2 if part == "h-a" else 3
        assert sum(float(row[column]) for row in cells(tree, part)) == pytest.approx(588.4, abs=0.3)
    assert totals["In, last hour"] == "588.4\u00a0GB+9\u00a0%"


def test_the_charts_data_can_be_read_by_its_script(site: Site) -> None:
    data = msgspec.json.decode(one(parse(site.html("/")), "#timeline-data").text())
    assert len(data["times"]) == len(data["known"]) == len(data["bands"][0]["in"])
    assert data["unit"] == "Mbit/s"
    assert data["gaps"][0][2][0] == "Not measured"
    assert [band["mark"] for band in data["bands"]] == ["c1", "c2", "c3", "c4", "c5", "c6", "c0", "bare"]


def test_names_from_the_network_are_text(site: Site) -> None:
    evil = "</script><img src=x onerror=alert(1)>\"'&"
    site.fake.apps = [(evil, evil, 9.0, 9.0, 1)]
    site.fake.domains = [(evil, [evil], 5.0, 5.0)]
    site.fake.hosts = [evil]
    for path in ("/", "/applications", "/domains", "/hosts"):
        html = site.html(path)
        tree = parse(html)
        assert not tree.css("img")
        assert "<img" not in html
        assert evil in (tree.body.text() if tree.body else "")
    with site.client.stream("GET", "/live/events") as stream:
        chunk = next(stream.iter_text())
    assert "<img" not in chunk
    assert "&lt;img" in chunk


def test_first_run_says_what_to_do(site: Site) -> None:
    site.fake.hosts, site.fake.apps, site.fake.domains = [], [], []
    tree = parse(site.html("/"))
    note = one(tree, "#head .note").text()
    assert "No host reports yet." in note
    assert "netally up" in note
    assert texts(tree.css(".big")) == ["–bit/s", "–bit/s"]
    assert texts(tree.css("#totals dd"))[:2] == ["–", "–"]
    data = msgspec.json.decode(one(tree, "#timeline-data").text())
    assert set(data["known"]) == {0}


def test_a_real_zero_is_told_from_not_measured(site: Site) -> None:
    site.fake.apps, site.fake.domains = [], []
    assert "so this is a real zero" in site.html("/applications")
    site.fake.hosts = []
    assert "Not measured: no agent ran in this range." in site.html("/applications")


def test_missing_hosts_are_named_and_totals_are_lower_bounds(site: Site) -> None:
    site.fake.silent, site.fake.measured_share = ["lap-03"], 0.75
    tree = parse(site.html("/"))
    note = one(tree, "#head .note.partial")
    assert "3 of 4 hosts report." in note.text()
    assert "marked ≥" in note.text()
    assert texts(note.css(".state.silent")) == ["lap-03"]
    assert texts(tree.css("#totals dd"))[0] == "≥\u00a0588.4\u00a0GB+9\u00a0%"
    assert "75.0\u00a0%" in one(tree, ".coverage").text()


def test_old_figures_say_how_old_they_are(site: Site) -> None:
    site.fake.late_seconds = 900
    assert "15\u00a0min" in one(parse(site.html("/")), "#head .note .late").text()


def test_a_part_that_cannot_be_read_does_not_take_the_others_with_it(site: Site) -> None:
    site.fake.broken = {"/api/domains": 503}
    tree = parse(site.html("/"))
    assert "The database did not answer within 5 s." in one(tree, "[aria-labelledby=h-d] [role=alert]").text()
    assert len(cells(tree, "h-a")) == 12
    site.fake.broken = {"/api/stats/bandwidth": 503}
    tree = parse(site.html("/"))
    assert not tree.css("#live")
    assert len(cells(tree, "h-d")) == 11


def test_lists_are_sorted_by_links_and_paged(site: Site) -> None:
    site.fake.apps = [(f"app{number:03}", "/x", 1.0 + number, 0.0, 1) for number in range(120)]
    site.fake.more_apps = 0
    tree = parse(site.html("/applications"))
    assert texts(tree.css("tbody tr"))[0].startswith("app119")
    assert "Page 1 of 3" in tree.body.text()  # type: ignore[union-attr]
    link = one(tree, "a[rel=next]").attributes["href"]
    tree = parse(site.html(f"/applications{link}"))
    assert texts(tree.css("tbody tr"))[0].startswith("app069")
    assert one(tree, "[aria-sort]").attributes["aria-sort"] == "descending"
    tree = parse(site.html("/applications?sort=name"))
    assert texts(tree.css("tbody tr"))[0].startswith("app000")
    assert one(tree, "[aria-sort]").attributes["aria-sort"] == "ascending"
    for odd in ("page=0", "page=-1", "page=x", "page=999", "sort=drop", "page=٣"):
        site.html(f"/applications?{odd}")


def test_a_wrong_range_is_a_400_that_says_why(site: Site) -> None:
    tree = parse(site.html("/?range=2h", status=400))
    assert "There is no range called “2h”." in one(tree, "[role=alert]").text()


def test_a_range_in_the_url_reaches_the_api(site: Site) -> None:
    site.html("/?from=2026-11-18T14:15&to=2026-11-18T15:15&tz=Europe/Berlin")
    asked = [dict(request.query_params) for request in site.fake.seen if request.url.path == "/api/applications"]
    assert asked[-1]["from"] == "2026-11-18T13:15Z"
    assert asked[-1]["to"] == "2026-11-18T14:15Z"


def test_times_are_in_the_zone_of_the_browser(site: Site) -> None:
    assert "Times in Europe/Berlin" in site.html("/")
    assert "Times in Asia/Kolkata (UTC+5:30)" in site.html("/", Cookie="tz=Asia%2FKolkata")
    assert "Times in Europe/Berlin" in site.html("/", Cookie="tz=../../etc/passwd")


def test_totals_stand_against_the_period_before(site: Site) -> None:
    def totals() -> dict[str, str]:
        tree = parse(site.html("/"))
        return dict(zip(texts(tree.css("#totals dt")), texts(tree.css("#totals dd")), strict=True))

    found = totals()
    assert found["Out, last hour"] == "425.4\u00a0GB−24\u00a0%"
    assert found["This week, in + out"].startswith("4.2\u00a0TB")
    site.fake.had_before = False
    assert totals()["Out, last hour"] == "425.4\u00a0GB"


def test_every_byte_of_the_counters_has_its_cause(site: Site) -> None:
    part = one(parse(site.html("/")), "[aria-labelledby=h-c]")
    shares = [float(dd.text().split()[0]) for dd in part.css("dd:not(.hint)")]
    assert sum(shares) == pytest.approx(100)
    assert texts(part.css("dt")) == ["Attributed", "Named, no process", "No name", "No program of its own", "Lost"]
    assert "packet ring full" in part.text()
    assert one(part, "svg[role=img]").attributes["aria-label"].startswith("Interface counters 1.0")  # type: ignore[union-attr]
    site.fake.apps = []
    assert "nothing to account for" in one(parse(site.html("/")), "[aria-labelledby=h-c]").text()


def test_the_timeline_is_stacked_by_what_the_url_says(site: Site) -> None:
    tree = parse(site.html("/?range=24h&split=host"))
    assert one(tree, "#h-t").text().startswith("Traffic by host")
    asked = [dict(request.query_params) for request in site.fake.seen if request.url.path == "/api/stats/timeline"]
    assert asked[-1]["split"] == "host"
    assert all("split=host" in (link.attributes["href"] or "") for link in tree.css(".scope .seg a"))
    site.html("/?split=nonsense")


def test_international_names_are_read_and_stored(site: Site) -> None:
    site.fake.domains = [("xn--mnchen-3ya.de", ["firefox"], 3.0, 1.0)]
    name = parse(site.html("/domains")).css("tbody tr th")[0]
    assert "münchen.de" in name.text()
    assert "xn--mnchen-3ya.de" in name.text()
    assert "münchen.de" in one(parse(site.html("/")), "#movers").text()


def test_top_applications_of_one_name_are_told_apart(site: Site) -> None:
    table = one(parse(site.html("/")), "[aria-labelledby=h-a] table")
    assert {len(row.css("th, td")) for row in table.css("thead tr, tbody tr")} == {6}
    again = site.fake.apps[1]
    name = again[0]
    site.fake.apps = [*site.fake.apps[:3], again]
    rows = [row[0] for row in cells(parse(site.html("/")), "h-a")]
    assert [row for row in rows if row.startswith(name)] == [f"{name}root", f"{name}root"]

from __future__ import annotations

from netally.web.lists import ordered_hosts
from tests.unit.web.conftest import Site
from tests.unit.web.test_pages import one, parse, texts


def test_lists_go_on_past_a_thousand_rows(site: Site) -> None:
    site.fake.apps = [(f"app{number:04}", "/x", 2000.0 - number, 0.0, 1) for number in range(1300)]
    site.fake.more_apps = 0
    tree = parse(site.html("/applications?page=24"))
    rows = texts(tree.css("tbody th"))
    assert rows[0].startswith("app1150")
    assert rows[-1] == "1\u2009251 others"
    assert "Page 24 of 27" in tree.body.text()  # type: ignore[union-attr]


def test_domains_are_a_tree_by_owner_or_flat(site: Site) -> None:
    tree = parse(site.html("/domains"))
    rows = [(node.attributes.get("class") or "", node.css("th")[0].text(strip=True)) for node in tree.css("tbody tr")]
    assert rows[0] == ("", "backblazeb2.comrestic")
    assert rows[1:3] == [("l1", "cdn"), ("l1", "itself")]
    leads = [link.attributes["href"] or "" for link in tree.css("tbody tr")[0].css("a")]
    assert leads == ["/domains?view=flat&filter=domain+under+backblazeb2.com&range=1h"]
    flat = parse(site.html("/domains?view=flat"))
    assert not flat.css(".l1")
    assert [link.attributes["href"] for link in flat.css("tbody tr")[0].css("a")] == ["/domains/1?range=1h"]


def test_the_column_names_browsers_and_applications(site: Site) -> None:
    tree = parse(site.html("/domains?view=flat"))
    assert texts(tree.css("thead th"))[1] == "Browser or application"
    assert "git, firefox +\u00a02" in texts(tree.css("tbody .users"))


def test_hosts_are_found_by_name_and_state(site: Site) -> None:
    site.fake.silent = ["lap-03"]
    tree = parse(site.html("/hosts"))
    assert texts(tree.css("tbody th"))[0] == "lap-03"
    assert texts(tree.css("[aria-label=State] a")) == ["All", "silent 1", "reporting 3"]
    assert texts(parse(site.html("/hosts?find=BUILD")).css("tbody th")) == ["build-02"]
    assert texts(parse(site.html("/hosts?state=silent")).css("tbody th")) == ["lap-03"]
    none = parse(site.html("/hosts?find=nowhere"))
    assert "No host is like this." in none.body.text()  # type: ignore[union-attr]
    assert one(none, "#main .hint a").attributes["href"] == "/hosts?range=1h"


def test_many_hosts_are_paged_and_sorted(site: Site) -> None:
    site.fake.hosts = [f"host-{number:04}" for number in range(1500)]
    tree = parse(site.html("/hosts?sort=bytes_in"))
    assert texts(tree.css("tbody th"))[0] == "host-1499"
    assert one(tree, "[aria-sort]").attributes["aria-sort"] == "descending"
    assert "Page 1 of 15" in tree.body.text()  # type: ignore[union-attr]
    assert texts(parse(site.html("/hosts?sort=name&page=15")).css("tbody th"))[-1] == "host-1499"


def test_hosts_in_the_order_of_a_column() -> None:
    assert ordered_hosts([], "state") == []


def test_a_filter_narrows_the_amounts_of_hosts_and_is_said(site: Site) -> None:
    tree = parse(site.html("/hosts?filter=app+%3D+curl&find=nas"))
    asked = [seen.query_params for seen in site.fake.seen if seen.url.path == "/api/hosts"]
    assert asked[-1]["filter"] == "app = curl"
    assert "Amounts are those of app = curl alone." in one(tree, "#head").text()
    wrong = site.client.get("/hosts?filter=app+%3D+%3D+curl")
    assert (wrong.status_code, one(parse(wrong.text), "mark").text()) == (400, "=")
    assert texts(parse(wrong.text).css("tbody th"))


def test_how_names_were_found_has_a_column_only_where_it_is_kept(site: Site) -> None:
    heads = [node.text() for node in parse(site.html("/domains?view=flat")).css("[aria-labelledby=h-l] thead th")]
    assert "Found by" in heads
    site.fake.domains = []
    assert "Found by" not in site.html("/domains?view=flat")

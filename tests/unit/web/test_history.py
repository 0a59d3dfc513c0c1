from __future__ import annotations

from tests.unit.web.conftest import Site
from tests.unit.web.test_pages import cells, one, parse, texts


def test_a_usual_week_the_days_and_what_changed(site: Site) -> None:
    tree = parse(site.html("/history?range=30d"))
    heat = [texts(row.css("th, td")) for row in tree.css(".heat tbody tr")]
    assert [row[0] for row in heat] == ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    assert heat[2][5] == "–"
    assert len(tree.css(".heat .gap")) == 1
    assert len(cells(tree, "h-p")) == 30
    assert any(row[-1] == "not measured" for row in cells(tree, "h-p"))
    sentences = texts(tree.css(".words li"))
    assert any("New: nothing in the range before" in words for words in sentences)
    assert any("Gone:" in words for words in sentences)
    rows = {row[0]: row[-1] for row in cells(tree, "h-b")}
    assert rows["firefox"] == "new"


def test_a_range_of_hours_becomes_one_with_weeks(site: Site) -> None:
    answer = site.client.get("/history?range=1h&by=host")
    assert (answer.status_code, answer.headers["location"]) == (302, "/history?range=30d&by=host")
    assert site.client.get("/history").status_code == 200


def test_the_period_follows_the_range_until_one_is_chosen(site: Site) -> None:
    for path, name in (("/history?range=1y", "monthly"), ("/history?range=1y&period=week", "weekly")):
        tree = parse(site.html(path))
        assert one(tree, "[aria-label=Period] [aria-current]").text() == {"monthly": "Months", "weekly": "Weeks"}[name]
        assert any(request.url.path == f"/api/historical/{name}" for request in site.fake.seen)


def compared_with(site: Site, query: str) -> dict[str, str]:
    site.html(f"/history?from=2026-11-10T00:00Z&to=2026-11-17T00:00Z{query}")
    asked = [dict(seen.query_params) for seen in site.fake.seen if seen.url.path.endswith("/compare")]
    return next(one for one in reversed(asked) if one["limit"] == "1000")


def test_a_range_is_compared_with_the_one_that_was_chosen(site: Site) -> None:
    asked = compared_with(site, "")
    assert (asked["before_from"], asked["before_to"]) == ("2026-11-03T00:00Z", "2026-11-10T00:00Z")
    asked = compared_with(site, "&against=weeks&by=domain")
    assert (asked["before_from"], asked["before_to"], asked["by"]) == (
        "2026-10-13T00:00Z",
        "2026-10-20T00:00Z",
        "domain",
    )
    asked = compared_with(site, "&b_from=2026-10-01T00:00&b_to=2026-10-02T00:00&b_tz=Europe/Berlin")
    assert (asked["before_from"], asked["before_to"]) == ("2026-09-30T22:00Z", "2026-10-01T22:00Z")
    answer = site.client.get("/history?range=30d&b_from=yesterday&b_to=2026-10-02T00:00")
    assert (answer.status_code, "The range to compare with cannot be used" in answer.text) == (400, True)


def test_the_largest_changes_are_looked_into(site: Site) -> None:
    site.html("/history?range=30d&filter=host+%3D+nas-01")
    within = [seen.query_params["filter"] for seen in site.fake.seen if seen.query_params.get("limit") == "3"]
    assert "host = nas-01 and app = firefox" in within
    assert len(within) == 4
    site.fake.seen.clear()
    site.html("/history?range=1y")
    assert not [seen for seen in site.fake.seen if seen.query_params.get("limit") == "3"]


def test_a_part_that_fails_leaves_the_rest(site: Site) -> None:
    site.fake.broken = {"/api/historical/compare": 503}
    tree = parse(site.html("/history"))
    assert "could not be read" in one(tree, "#compare [role=alert]").text()
    assert tree.css(".heat")


def test_a_range_that_was_not_measured_is_not_compared(site: Site) -> None:
    site.fake.measured_share = 0.0
    tree = parse(site.html("/history"))
    assert "Nothing can be compared with it." in one(tree, "#compare").text()
    assert not tree.css(".words")


def test_a_range_that_was_hardly_measured_is_no_ground_for_words(site: Site) -> None:
    assert not parse(site.html("/history?range=30d")).css("#compare .note")
    site.fake.measured_share = 0.02
    assert "Only 2.0\u00a0% of A was measured." in one(parse(site.html("/history?range=30d")), "#compare .note").text()

from __future__ import annotations

import csv
import io

from netally.contracts.queries import SavedView, Session
from tests.unit.web.conftest import Site
from tests.unit.web.test_pages import cells, one, parse, texts


def test_two_dimensions_are_a_table_and_a_chart(site: Site) -> None:
    tree = parse(site.html("/explore?by=app&then=host&range=24h"))
    asked = next(request.query_params for request in site.fake.seen if request.url.path.endswith("/breakdown"))
    assert (asked["by"], asked["sort"], asked["limit"]) == ("app,host", "bytes", "50")
    assert cells(tree, "h-g")[0][:2] == ["restic", "gw-berlin"]
    assert texts(tree.css("#timeline-legend tbody th"))[0] == "restic · gw-berlin"
    chosen = [node.attributes["value"] for node in tree.css("option[selected]")]
    assert chosen == ["app", "host"]


def test_unknown_dimensions_and_orders_are_the_defaults(site: Site) -> None:
    site.html("/explore?by=colour&then=app&sort=name")
    asked = next(request.query_params for request in site.fake.seen if request.url.path.endswith("/breakdown"))
    assert (asked["by"], asked["sort"]) == ("app", "bytes")


def test_the_csv_holds_all_groups_of_the_table(site: Site) -> None:
    tree = parse(site.html("/explore?range=24h&by=app"))
    link = one(tree, "a[download]").attributes["href"] or ""
    answer = site.client.get(link)
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="netally-traffic-by-app.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["app"] for row in rows] == [row[0] for row in cells(tree, "h-g")]
    assert rows[0]["bytes_out"] == "208400000000"


def test_a_view_is_saved_listed_and_deleted(site: Site) -> None:
    address = "/explore?by=domain&range=7d&filter=app+%3D+restic"
    form = one(parse(site.html(address)), "form[action='/views']")
    fields = {str(node.attributes["name"]): node.attributes["value"] or "" for node in form.css("[type=hidden]")}
    answer = site.client.post("/views", data={**fields, "name": "Nightly backups"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"{address}#views")
    tree = parse(site.html("/explore"))
    assert cells(tree, "h-v")[0][:2] == ["Nightly backups", "admin"]
    assert tree.css("[aria-labelledby=h-v] tbody a")[0].attributes["href"] == address
    form = one(tree, "[aria-labelledby=h-v] form")
    site.client.post(form.attributes["action"] or "", data={"back": "/explore"})
    assert "None yet." in one(parse(site.html("/explore")), "#views").text()


def test_a_view_that_waits_leads_to_its_command(site: Site) -> None:
    site.fake.aggregator = False
    answer = site.client.post("/views", data={"name": "a", "address": "/explore"})
    assert answer.headers["location"] == f"/operations/commands/{site.fake.ledger[-1].id}"


def test_a_view_leads_nowhere_else(site: Site) -> None:
    answer = site.client.post("/views", data={"name": "a", "address": "//other.example/"})
    assert answer.headers["location"] == "/#views"
    assert site.fake.ledger[-1].arguments["address"] == "/"
    assert site.client.post("/views", data={"name": " ", "address": "/"}).status_code == 400
    assert site.client.post("/views", data={"name": "a"}, headers={"Origin": "http://evil.example"}).status_code == 403
    assert site.client.post("/views/nothing/delete", data={"back": "/"}).status_code == 404


def test_views_that_cannot_be_read_leave_the_rest(site: Site) -> None:
    site.fake.broken = {"/api/views": 503}
    tree = parse(site.html("/explore"))
    assert "could not be read" in one(tree, "#views [role=alert]").text()
    assert cells(tree, "h-g")


def test_who_may_not_keep_a_view_is_told_why(site: Site) -> None:
    site.fake.views = [SavedView("v1", "Nightly", "/explore?by=app", "admin", 1_795_305_600_000)]
    off = "form[action^='/views'] button[disabled]"
    assert not parse(site.html("/explore")).css(off)
    site.fake.session = Session("guest", None, "viewer")
    page = parse(site.html("/explore"))
    assert [button.text() for button in page.css(off)] == ["Save view", "Delete"]
    said = page.css_first("form[action='/views'] small")
    assert said is not None
    assert said.text() == "This takes an operator, and you are a viewer."

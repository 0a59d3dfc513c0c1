from __future__ import annotations

import pytest

from netally.web.api_client import ApiProblem
from tests.unit.web.conftest import Site
from tests.unit.web.test_pages import one, parse, texts


def asked_of(site: Site, path: str) -> list[dict[str, str]]:
    return [dict(request.query_params) for request in site.fake.seen if request.url.path == path]


def test_range_filter_and_zone_reach_the_api(site: Site) -> None:
    site.html("/applications?range=7d&filter=host+%3D+nas-01&sort=bytes_in&page=3")
    asked = asked_of(site, "/api/applications")[-1]
    assert asked == {
        "range": "7d", "filter": "host = nas-01", "tz": "Europe/Berlin", "limit": "50", "offset": "100",
        "sort": "bytes_in",
    }  # fmt: skip


def test_links_keep_the_filter_and_the_pages_own_parameters(site: Site) -> None:
    tree = parse(site.html("/domains?range=7d&view=flat&filter=app+%3D+curl"))
    ranges = [link.attributes["href"] or "" for link in tree.css(".scope .seg a")]
    assert "?range=24h&filter=app+%3D+curl&view=flat" in ranges
    kept = {node.attributes["name"]: node.attributes["value"] for node in tree.css(".filter [type=hidden]")}
    assert kept == {"range": "7d", "view": "flat"}
    assert (tree.css("table thead a")[0].attributes["href"] or "").startswith(
        "?range=7d&filter=app+%3D+curl&view=flat&"
    )


@pytest.mark.parametrize(
    "path", ["/applications", "/domains", "/applications/2", "/domains/5", "/hosts/1", "/history", "/explore"]
)
def test_a_wrong_filter_is_pointed_at_and_the_page_stays(site: Site, path: str) -> None:
    answer = site.client.get(path, params={"filter": "app = = curl"})
    assert answer.status_code == 400
    tree = parse(answer.text)
    field = one(tree, "#filter")
    assert (field.attributes["value"], field.attributes["aria-describedby"]) == ("app = = curl", "filter-problem")
    assert one(tree, "#filter-problem").text() == "A value is missing before '=' at column 7."
    assert one(tree, "mark").text() == "="
    assert texts(tree.css(".coverage dt"))[0] == "Tier read"


def test_another_problem_is_not_the_filters(site: Site) -> None:
    site.fake.broken = {"/api/applications": 503}
    answer = site.client.get("/applications?filter=app+%3D+curl")
    assert (answer.status_code, "filter-problem" in answer.text) == (503, False)
    assert not isinstance(answer, ApiProblem)

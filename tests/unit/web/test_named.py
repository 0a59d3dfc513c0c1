from __future__ import annotations

import httpx
import pytest
from selectolax.lexbor import LexborHTMLParser

from netally.web.links import to_application, to_domain, to_host
from tests.unit.web.conftest import Site


def led_to(site: Site, path: str) -> httpx.URL:
    answer = site.client.get(path)
    assert answer.status_code == 302, answer.text
    return httpx.URL(answer.headers["location"])


@pytest.mark.parametrize(
    ("address", "path"),
    [
        (to_application("firefox"), "/applications/2"),
        (to_domain("googlevideo.com", ""), "/domains/2"),
        (to_host("nas-01"), "/hosts/2"),
    ],
)
def test_a_name_leads_to_its_page(site: Site, address: str, path: str) -> None:
    found = led_to(site, address)
    assert (found.path, found.params["range"]) == (path, "1h")
    assert site.client.get(str(found)).status_code == 200


def test_a_name_that_several_programs_have_leads_to_all_of_them(site: Site) -> None:
    site.fake.apps = [("a tool", "/usr/bin/a", 9.0, 9.0, 1), ("a tool", "/opt/a", 1.0, 1.0, 1), *site.fake.apps]
    found = led_to(site, to_application("a tool"))
    assert found.path == "/applications"
    assert found.params["filter"] == 'app = "a tool"'


def test_what_moves_but_is_not_stored_yet_is_asked_for_again(site: Site) -> None:
    for address in (to_application("brand-new"), to_domain("new.example", ""), to_host("new-host")):
        page = LexborHTMLParser(site.html(address, 404))
        assert "Nothing of" in page.css_first("h1").text()  # type: ignore[union-attr]
        assert "within 10 s" in page.css_first(".note").text()  # type: ignore[union-attr]
        assert page.css_first("a.btn").attributes["href"] == address  # type: ignore[union-attr]


def test_a_refused_filter_or_api_is_said(site: Site) -> None:
    site.fake.broken = {"/api/applications": 503}
    assert "cannot be read now" in site.html(to_application("firefox"), 503)

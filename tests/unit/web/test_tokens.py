from __future__ import annotations

import re
from datetime import datetime

import httpx
import pytest
from selectolax.lexbor import LexborHTMLParser

from netally.contracts.queries import Session
from tests.unit.web.conftest import Site

VIEWER = Session("night watch (0123456789abcdef)", None, role="viewer")


def make(site: Site, **fields: str) -> httpx.Response:
    return site.client.post("/tokens", data={"name": "ci", "role": "viewer", "hosts": "", "expires": "", **fields})


def test_a_token_is_made_and_its_secret_is_on_that_page_alone(site: Site) -> None:
    answer = make(site, role="operator", hosts="web-1, web-2", expires="90d")
    assert answer.status_code == 201
    (row,) = site.fake.tokens
    assert (row.name, row.role, row.hosts) == ("ci", "operator", ["web-1", "web-2"])
    assert row.expires_at == pytest.approx(row.created_at + 90 * 86_400_000, abs=60_000)
    (secret,) = re.findall(r"netally_[0-9a-f]{16}_\w{43}", answer.text)
    assert answer.headers["cache-control"] == "no-store"
    assert secret not in site.html("/tokens")
    assert "web-1, web-2" in site.html("/tokens")


def test_an_end_of_ones_own(site: Site) -> None:
    assert make(site, expires="at", until="2030-01-01T00:00", tz="Europe/Berlin").status_code == 201
    assert site.fake.tokens[0].expires_at == datetime.fromisoformat("2029-12-31T23:00Z").timestamp() * 1000


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 61}, "name"),
        ({"name": "taken"}, "name"),
        ({"role": "king"}, "role"),
        ({"role": "admin", "hosts": "web-1"}, "hosts"),
        ({"expires": "at"}, "until"),
        ({"expires": "at", "until": "soon"}, "until"),
    ],
)
def test_what_is_wrong_comes_back_at_its_field(site: Site, fields: dict[str, str], field: str) -> None:
    answer = make(site, **fields)
    assert answer.status_code == 400
    (wrong,) = LexborHTMLParser(answer.text).css("[aria-invalid]")
    assert wrong.attributes["name"] == field
    assert site.fake.tokens == []


def test_a_token_is_revoked_and_stays_in_the_list(site: Site) -> None:
    make(site)
    (form,) = LexborHTMLParser(site.html("/tokens")).css("form[action$='/revoke']")
    assert site.client.post(str(form.attributes["action"])).status_code == 303
    assert site.fake.tokens[0].state == "revoked"
    page = LexborHTMLParser(site.html("/tokens"))
    assert [one.text() for one in page.css(".state.failed")] == ["revoked"]
    assert page.css("form[action$='/revoke']") == []


@pytest.mark.parametrize("token", ["x", "..%2Fsession", "0123456789abcdeg", "0" * 17])
def test_what_is_no_token_is_not_there(site: Site, token: str) -> None:
    assert site.client.post(f"/tokens/{token}/revoke").status_code == 404


def test_another_sites_form_makes_and_revokes_nothing(site: Site) -> None:
    make(site)
    for path in ("/tokens", f"/tokens/{site.fake.tokens[0].id}/revoke"):
        answer = site.client.post(path, data={"name": "x", "role": "viewer"}, headers={"Origin": "http://evil.test"})
        assert answer.status_code == 403
    assert [row.state for row in site.fake.tokens] == ["active"]


def test_who_may_not_see_them_is_told_why(site: Site) -> None:
    site.fake.broken["/api/tokens"] = 403
    assert "Your sign-in does not allow this." in site.html("/tokens", 403)


def test_what_a_role_may_not_order_is_switched_off_with_the_reason(site: Site) -> None:
    def buttons(path: str) -> tuple[int, list[str]]:
        page = LexborHTMLParser(site.html(path))
        found = page.css("form[method=post][action^='/operations/'] button")
        return len(found), [str(one.attributes["title"]) for one in found if "disabled" in one.attributes]

    for path in ("/operations", "/settings"):
        assert buttons(path)[1] == []
        assert "signed in as" not in site.html(path)
    site.fake.session = VIEWER
    for path in ("/operations", "/settings"):
        total, reasons = buttons(path)
        assert len(reasons) == total > 3
        assert "This takes an operator, and you are a viewer." in reasons
        assert "You are signed in as night watch (0123456789abcdef), a viewer." in site.html(path)


def test_too_many_attempts_are_said_as_such(site: Site) -> None:
    site.fake.broken["/api/stats/bandwidth"] = site.fake.broken["/api/tokens"] = 429
    page = site.html("/tokens", 429)
    assert "Too many wrong attempts." in page

from __future__ import annotations

import httpx
import pytest

from netally.web.security import local_path
from tests.fake_api import CODE, COOKIE, TOKEN
from tests.unit.web.conftest import Site


def stranger(site: Site) -> httpx.Client:
    return httpx.Client(base_url=site.url, trust_env=False)


def test_without_a_session_every_page_is_the_login_page(site: Site) -> None:
    with stranger(site) as client:
        for path in ("/", "/applications", "/domains?range=7d", "/hosts"):
            answer = client.get(path)
            assert answer.status_code == 401
            assert "Login code or token" in answer.text
        assert client.get("/live/events").status_code == 401


def test_one_readers_session_is_never_anothers(site: Site) -> None:
    with stranger(site) as client:
        assert client.get(f"/login?code={CODE}").status_code == 303
        passed_on = client.post("/api/session", json={"code": CODE})
        assert COOKIE in passed_on.headers["set-cookie"]
        assert client.get("/").status_code == 200
    with stranger(site) as client:
        assert client.get("/").status_code == 401
        assert client.get("/api/hosts").status_code == 401


def test_the_page_that_was_asked_for_comes_after_signing_in(site: Site) -> None:
    with stranger(site) as client:
        assert 'name="back" value="/domains?range=7d"' in client.get("/domains?range=7d").text
        answer = client.post("/login", data={"secret": TOKEN, "back": "/domains?range=7d"})
        assert answer.status_code == 303
        assert answer.headers["location"] == "/domains?range=7d"


def test_a_code_in_the_url_is_exchanged_and_leaves_the_url(site: Site) -> None:
    with stranger(site) as client:
        answer = client.get(f"/login?code={CODE}")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert answer.headers["set-cookie"] == f"{COOKIE}; Path=/; HttpOnly; SameSite=Lax"
        assert CODE not in answer.text
        assert client.get("/").status_code == 200


@pytest.mark.parametrize("secret", [CODE, TOKEN, f" {TOKEN} ", f"http://127.0.0.1:7500/login?code={CODE}"])
def test_the_form_takes_a_code_a_token_or_the_whole_link(site: Site, secret: str) -> None:
    with stranger(site) as client:
        answer = client.post("/login", data={"secret": secret, "back": "/"})
        assert answer.status_code == 303
        assert COOKIE in answer.headers["set-cookie"]


def test_a_wrong_secret_says_so_and_is_not_repeated(site: Site) -> None:
    with stranger(site) as client:
        answer = client.post("/login", data={"secret": "wrong-secret"})
        assert answer.status_code == 401
        assert "neither a valid login code nor a valid token" in answer.text
        assert "wrong-secret" not in answer.text
        assert "set-cookie" not in answer.headers
        used = client.get("/login?code=used-code")
        assert used.status_code == 401
        assert "has been used or is older than 10 minutes" in used.text


@pytest.mark.parametrize("secret", ["passwört", "“quoted”", "two\nlines", "nul\0"])
def test_a_secret_that_no_header_can_hold_is_just_wrong(site: Site, secret: str) -> None:
    with stranger(site) as client:
        answer = client.post("/login", data={"secret": secret})
    assert answer.status_code == 401
    assert "neither a valid login code nor a valid token" in answer.text


def test_signing_out_takes_the_cookie_away(site: Site) -> None:
    answer = site.client.post("/logout")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert "Max-Age=0" in answer.headers["set-cookie"]


@pytest.mark.parametrize("path", ["/login", "/logout", "/appearance"])
@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}, {"Origin": "http://["}],
)
def test_forms_of_other_sites_are_refused(site: Site, path: str, headers: dict[str, str]) -> None:
    answer = site.client.post(path, data={"secret": TOKEN, "theme": "dark"}, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_our_own_forms_pass(site: Site) -> None:
    headers = {"Origin": site.url, "Sec-Fetch-Site": "same-origin"}
    answer = site.client.post("/appearance", data={"theme": "dark", "back": "/hosts"}, headers=headers)
    assert (answer.status_code, answer.headers["location"]) == (303, "/hosts")
    assert "theme=dark" in answer.headers["set-cookie"]
    assert '<html lang="en" data-theme="dark">' in site.html("/", Cookie="theme=dark")
    assert "data-theme" not in site.html("/", Cookie="theme=x onload")


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ("/domains?range=7d", "/domains?range=7d"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("http://evil.example/", "/"),
        ("//[", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\r\nSet-Cookie: x=y", "/"),
        ("", "/"),
    ],
)
def test_only_our_own_paths_are_gone_back_to(wanted: str, path: str) -> None:
    assert local_path(wanted) == path

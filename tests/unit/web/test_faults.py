from __future__ import annotations

import socket
import time

import httpx
import pytest
from selectolax.lexbor import LexborHTMLParser

from netally.web.app import create_app
from netally.web.settings import WebSettings
from tests.fake_api import serve
from tests.services import free_port
from tests.unit.web.conftest import Site


def alert(html: str) -> str:
    (found,) = LexborHTMLParser(html).css("[role=alert]")
    return found.text()


def test_an_api_that_is_away_is_an_error_page_and_not_ready() -> None:
    with serve(create_app(WebSettings(api_port=free_port()))) as url:
        started = time.monotonic()
        answer = httpx.get(url, trust_env=False)
        assert time.monotonic() - started < 2
        assert answer.status_code == 503
        text = alert(answer.text)
        assert "The figures cannot be read now." in text
        assert "The API cannot be reached." in text
        assert "Try again" in text
        assert "data-again" in answer.text
        assert answer.headers["x-request-id"] in text
        assert httpx.get(f"{url}/readyz", trust_env=False).status_code == 503
        assert httpx.get(f"{url}/livez", trust_env=False).status_code == 200
        assert httpx.get(f"{url}/api/hosts", trust_env=False).json()["status"] == 503
        assert httpx.post(f"{url}/login", data={"secret": "x"}, trust_env=False).status_code == 503


def test_an_api_that_takes_connections_and_never_answers_is_an_error_page_within_two_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        settings = WebSettings(api_url=f"http://127.0.0.1:{mute.getsockname()[1]}")
        with serve(create_app(settings)) as url:
            started = time.monotonic()
            answer = httpx.get(url, trust_env=False, timeout=5)
            assert time.monotonic() - started < 2
            assert answer.status_code == 503
            assert "did not answer" in alert(answer.text)


def test_an_api_that_lives_is_waited_for_however_slow_its_database_is(site: Site) -> None:
    site.fake.delay = 1.5
    assert "gw-berlin" in site.html("/hosts")


def test_a_database_that_is_away_is_said_in_the_apis_words(site: Site) -> None:
    paths = ("/api/stats/bandwidth", "/api/stats/timeline", "/api/applications", "/api/domains", "/api/hosts")
    site.fake.broken = dict.fromkeys(paths, 503)
    assert "The database did not answer within 5 s." in alert(site.html("/", status=503))
    assert "The database did not answer within 5 s." in alert(site.html("/applications", status=503))


def test_a_refresh_that_fails_leaves_the_page_as_it_is(site: Site) -> None:
    site.fake.broken = {"/api/hosts": 403}
    answer = site.client.get("/", headers={"HX-Request": "true"})
    assert answer.status_code == 403
    assert answer.headers["hx-reswap"] == "none"


def test_a_session_that_ended_reloads_the_page(site: Site) -> None:
    answer = httpx.get(site.url, headers={"HX-Request": "true"}, trust_env=False)
    assert (answer.status_code, answer.headers["hx-refresh"], answer.text) == (401, "true", "")


@pytest.mark.parametrize(("method", "status"), [("GET", 404), ("PUT", 404)])
def test_a_page_that_does_not_exist(site: Site, method: str, status: int) -> None:
    answer = site.client.request(method, "/nothing")
    assert answer.status_code == status
    assert "There is no such page." in alert(answer.text)

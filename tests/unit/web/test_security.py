from __future__ import annotations

import pytest

from netally.web.assets import url_of
from netally.web.security import CONTENT_SECURITY_POLICY
from tests.unit.web.conftest import Site


def test_the_policy_allows_our_own_origin_only() -> None:
    assert CONTENT_SECURITY_POLICY.startswith("default-src 'none'")
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "http" not in CONTENT_SECURITY_POLICY
    assert "*" not in CONTENT_SECURITY_POLICY


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", url_of("netally.css"), 200),
        ("GET", "/static/x/y", 404),
        ("GET", "/nothing", 404),
        ("GET", "/?range=2h", 400),
        ("PUT", "/", 405),
        ("POST", "/logout", 303),
        ("GET", "/livez", 200),
        ("GET", "/metrics", 200),
        ("GET", "/api/hosts", 200),
        ("GET", "/api/nothing", 404),
    ],
)
def test_every_response_carries_the_headers(site: Site, method: str, path: str, status: int) -> None:
    answer = site.client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"]


def test_a_failing_page_carries_them_too_and_shows_no_traceback(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("netally.web.pages.read_range", fail)
    answer = site.client.get("/")
    assert answer.status_code == 500
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert "secret detail" not in answer.text
    assert answer.headers["x-request-id"] in answer.text

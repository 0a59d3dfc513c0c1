from __future__ import annotations

import socket
import time
from typing import Any

import httpx
import pytest

from netally.contracts.forwarding import Client
from netally.web.proxy import end_to_end, forwarded_headers
from tests.services import wait_until
from tests.unit.web.conftest import Site


def echo(site: Site, **headers: str) -> dict[str, Any]:
    answer = site.client.get("/api/echo?a=1&b=%2F%20x", headers=headers)
    assert answer.status_code == 200
    return dict(answer.json())


def test_requests_reach_the_api_with_query_and_credentials_as_they_were(site: Site) -> None:
    seen = echo(site, Cookie="netally_session=opened; other=1")
    assert seen["query"] == "a=1&b=%2F%20x"
    assert seen["headers"]["authorization"].startswith("Bearer ")
    assert seen["headers"]["cookie"] == "netally_session=opened; other=1"


def test_who_forwards_is_said_by_us_and_cannot_be_forged(site: Site) -> None:
    host = site.url.removeprefix("http://")
    forged = {"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https",
              "Forwarded": "for=1.2.3.4", "X-Real-IP": "1.2.3.4"}  # fmt: skip
    headers = echo(site, **forged)["headers"]
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-host"] == host
    assert headers["x-forwarded-proto"] == "http"
    assert "forwarded" not in headers
    assert "x-real-ip" not in headers


def test_headers_of_one_connection_end_here() -> None:
    headers = [(b"Connection", b"keep-alive, X-Secret"), (b"X-Secret", b"1"), (b"TE", b"trailers"), (b"Accept", b"*/*")]
    assert end_to_end(headers) == [(b"Accept", b"*/*")]
    sent = dict(forwarded_headers([(b"host", b"box:7500"), *headers], Client("10.0.0.9", "box:7500", "http")))
    assert sent == {
        b"Accept": b"*/*", b"x-forwarded-for": b"10.0.0.9", b"x-forwarded-host": b"box:7500",
        b"x-forwarded-proto": b"http",
    }  # fmt: skip


def test_without_credentials_the_apis_own_refusal_comes_back(site: Site) -> None:
    answer = httpx.get(f"{site.url}/api/hosts", trust_env=False)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"


def test_bodies_pass_up_to_a_limit(site: Site) -> None:
    assert site.client.post("/api/echo", content=b"x" * 1_000_000).json() == {"size": 1_000_000}
    assert site.client.post("/api/echo", content=iter([b"x" * 1000] * 3)).json() == {"size": 3000}
    assert site.client.post("/api/echo", content=b"x" * 1_100_000).status_code == 413
    # Chunked: the length is known only once it is too long.
    assert site.client.post("/api/echo", content=iter([b"x" * 65536] * 17)).status_code == 413


def test_too_many_headers_are_refused(site: Site) -> None:
    answer = site.client.get("/api/echo", headers={f"X-{number}": "1" for number in range(120)})
    assert answer.status_code == 431


@pytest.mark.parametrize("path", [b"/api/../metrics", b"/api/%2e%2e/metrics", b"/api/./hosts", b"/api/x/%2E./y"])
def test_a_path_cannot_climb_out(site: Site, path: bytes) -> None:
    host, port = site.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as raw:
        raw.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert raw.recv(200).split(b" ")[1] == b"400"


def test_streams_are_not_held_back_and_end_upstream_when_the_reader_leaves(site: Site) -> None:
    with site.client.stream("GET", "/api/live") as stream:
        started = time.monotonic()
        lines = stream.iter_lines()
        assert next(lines) == "retry: 2000"
        next(line for line in lines if line.startswith("data: "))
        assert time.monotonic() - started < 1
        assert site.fake.live_streams == 1
    wait_until(lambda: site.fake.live_streams == 0)


def test_a_reader_that_gives_up_on_a_slow_answer_ends_it_upstream(site: Site) -> None:
    site.fake.delay = 3
    with pytest.raises(httpx.ReadTimeout):
        site.client.get("/api/hosts", timeout=0.3)
    site.fake.delay = 0
    assert echo(site)

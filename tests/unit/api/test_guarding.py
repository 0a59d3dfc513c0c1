from __future__ import annotations

import asyncio
from typing import Any

import pytest
from litestar import Litestar, get
from litestar.connection import ASGIConnection

from netally.api import guarding, metrics
from netally.api.problems import ProblemError
from netally.contracts.forwarding import proxies
from tests.api_in_process import BEARER, running_api


def make_connection(
    method: str = "POST", client: str = "127.0.0.1", **headers: str
) -> ASGIConnection[Any, Any, Any, Any]:
    scope: Any = {
        "type": "http",
        "method": method,
        "path": "/",
        "query_string": b"",
        "client": (client, 5),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        "state": {},
    }
    return ASGIConnection(scope)


@pytest.mark.parametrize(
    "connection",
    [
        make_connection(host="netally.test"),  # no browser
        make_connection(host="netally.test", origin="http://netally.test", sec_fetch_site="same-origin"),
        make_connection(host="netally.test:7500", origin="http://netally.test:7500"),
        make_connection(host="NetAlly.test", origin="http://netally.TEST", sec_fetch_site="none"),
        make_connection(host="127.0.0.1:7501", origin="https://netally.test", x_forwarded_host="netally.test"),
        make_connection("GET", host="netally.test", origin="http://evil.test", sec_fetch_site="cross-site"),
    ],
)
def test_requests_of_our_own_pages_pass(connection: Any) -> None:
    guarding.check_origin(connection, guarding.NO_PROXIES)


@pytest.mark.parametrize(
    "connection",
    [
        make_connection(host="netally.test", origin="http://evil.test"),
        make_connection(host="netally.test", origin="null"),
        make_connection(host="netally.test", origin=""),
        make_connection(host="netally.test", origin="http://[::1"),
        make_connection(host="netally.test", origin="http://netally.test:8080"),
        make_connection(host="netally.test", origin="http://netally.test", sec_fetch_site="cross-site"),
        make_connection(host="netally.test", origin="http://netally.test", sec_fetch_site="same-site"),
        make_connection("DELETE", host="netally.test", origin="http://evil.test"),
        # Only a proxy on this machine may say under which name it is known.
        make_connection(
            client="192.0.2.9", host="netally.test", origin="http://evil.test", x_forwarded_host="evil.test"
        ),
    ],
)
def test_requests_of_other_sites_pages_are_refused(connection: Any) -> None:
    with pytest.raises(ProblemError) as caught:
        guarding.check_origin(connection, guarding.NO_PROXIES)
    assert caught.value.problem.status == 403


def test_a_change_with_a_session_says_where_it_comes_from() -> None:
    guarding.check_same_site(make_connection("GET"))
    guarding.check_same_site(make_connection(origin="http://netally.test"))
    guarding.check_same_site(make_connection(sec_fetch_site="same-origin"))
    with pytest.raises(ProblemError) as caught:
        guarding.check_same_site(make_connection(cookie="netally_session=x"))
    assert caught.value.problem.status == 403


def test_proxies_that_were_named_are_believed_about_their_client() -> None:
    web = proxies("192.0.2.0/28")
    asked = make_connection(client="192.0.2.9", x_forwarded_for="6.6.6.6, 198.51.100.7, 192.0.2.3")
    assert guarding.client_address(asked, web) == "198.51.100.7"
    assert guarding.client_address(asked, guarding.NO_PROXIES) == "192.0.2.9"


def test_direct_from_this_machine_means_no_proxy() -> None:
    assert guarding.is_direct_from_loopback(make_connection(client="::1"))
    assert not guarding.is_direct_from_loopback(make_connection(x_forwarded_for="192.0.2.7"))
    assert not guarding.is_direct_from_loopback(make_connection(forwarded="for=192.0.2.7"))
    assert not guarding.is_direct_from_loopback(make_connection(client="192.0.2.9"))
    assert not guarding.is_direct_from_loopback(make_connection(client="testclient"))


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("/api/applications?limt=3", "limt"),
        ("/api/hosts?limit=3", "limit"),
        ("/api/session?x=", "x"),
        ("/api/health?x=1", "x"),
        ("/api/applications?database=1", "database"),
        ("/api/applications?limit=1&limit=2", "limit"),
        ("/api/domains?from=1&from=2", "from"),
        ("/api/stats/timeline?range=1h&range=1h", "range"),
        ("/api/commands?name=%00", "name"),
        ("/api/commands?state=done", "state"),
        ("/api/applications?from=%00", "from"),
        ("/api/applications?range=2h", "range"),
    ],
)
async def test_unknown_repeated_and_wrong_parameters_are_refused_by_name(path: str, parameter: str) -> None:
    async with running_api() as api:
        answer = await api.client.get(path)
    assert (answer.status_code, answer.json()["parameter"]) == (400, parameter)


async def test_the_list_of_hosts_may_be_repeated() -> None:
    async with running_api() as api:
        answer = await api.client.get("/api/applications?host=a&host=b")
    assert answer.status_code == 503  # no database here: the parameters were taken


@pytest.mark.parametrize("authorization", ["Bearer wrong", "Basic YWRtaW46", "bearer", "Bearer ", "x"])
async def test_a_wrong_token_is_401(authorization: str) -> None:
    async with running_api() as api:
        answer = await api.anonymous.get("/api/session", headers={"Authorization": authorization})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="netally"')


async def test_wrong_tokens_are_limited_from_elsewhere_and_not_on_this_machine() -> None:
    wrong = {"Authorization": "Bearer wrong"}
    async with running_api(client_address="192.0.2.9") as api:
        statuses = [(await api.anonymous.get("/api/session", headers=wrong)).status_code for _ in range(12)]
        assert statuses == [401] * 10 + [429] * 2
        limited = await api.client.get("/api/session")
        assert (limited.status_code, limited.headers["retry-after"].isdigit()) == (429, True)
    async with running_api() as api:
        for _ in range(12):
            await api.anonymous.get("/api/session", headers=wrong)
        assert (await api.client.get("/api/session")).status_code == 200


async def test_metrics_are_open_to_this_machine_alone() -> None:
    async with running_api() as api:
        assert (await api.anonymous.get("/metrics")).status_code == 200
        proxied = await api.anonymous.get("/metrics", headers={"X-Forwarded-For": "192.0.2.7"})
        assert proxied.status_code == 401
    async with running_api(client_address="192.0.2.9") as api:
        assert (await api.anonymous.get("/metrics")).status_code == 401
        assert (await api.client.get("/metrics")).status_code == 200


async def test_a_handler_is_cancelled_when_its_client_leaves() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    @get("/slow")
    async def slow() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    app = Litestar([slow], middleware=[guarding.ClientPresence()], openapi_config=None)
    messages: asyncio.Queue[Any] = asyncio.Queue()
    messages.put_nowait({"type": "http.request", "body": b"", "more_body": False})
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope: Any = {
        "type": "http",
        "method": "GET",
        "path": "/slow",
        "raw_path": b"/slow",
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "http_version": "1.1",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
    }
    task = asyncio.create_task(app(scope, messages.get, send))
    await asyncio.wait_for(begun.wait(), 5)
    messages.put_nowait({"type": "http.disconnect"})
    await asyncio.wait_for(task, 5)
    assert ended.is_set()
    assert sent == []


async def test_an_answer_that_nobody_takes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarding, "SEND_TIMEOUT", 0.05)

    @get("/some")
    async def some() -> str:
        return "text"

    app = Litestar([some], middleware=[guarding.ClientPresence()], openapi_config=None)

    async def send(_: Any) -> None:
        await asyncio.Event().wait()

    async def receive() -> Any:
        await asyncio.Event().wait()

    scope: Any = {
        "type": "http",
        "method": "GET",
        "path": "/some",
        "raw_path": b"/some",
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "http_version": "1.1",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
    }
    before = metrics.ANSWERS_NOT_TAKEN._value.get()
    await asyncio.wait_for(app(scope, receive, send), 5)
    assert metrics.ANSWERS_NOT_TAKEN._value.get() == before + 1


async def test_every_answer_has_the_security_headers() -> None:
    async with running_api() as api:
        answers = [
            await api.client.request(method, path)
            for method, path in (
                ("GET", "/api/health"),
                ("GET", "/api/ready"),
                ("GET", "/api/applications"),  # 503
                ("GET", "/api/applications?limit=x"),
                ("GET", "/nothing"),
                ("PUT", "/api/hosts"),
                ("OPTIONS", "/api/hosts"),
                ("POST", "/api/session"),
                ("GET", "/metrics"),
                ("GET", "/api/docs"),
                ("GET", "/api/docs/assets/documents.js"),
                ("GET", "/api/docs/assets/nothing.js"),
                ("GET", "/api/openapi.json"),
            )
        ]
        answers.append(await api.client.post("/api/session", content=b"x" * 100_000))
        answers.append(await api.anonymous.get("/api/hosts"))
    assert {answer.status_code for answer in answers} == {200, 204, 400, 401, 404, 405, 413, 503}
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff", answer.url
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "frame-ancestors 'none'" in policy
        if answer.url.path != "/api/docs":
            assert "script-src" not in policy
        if "assets/documents" not in answer.url.path:
            assert answer.headers["cache-control"] == "no-store"


async def test_errors_inside_a_handler_have_the_security_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_api() as api:
        monkeypatch.setattr("netally.api.state.generate_latest", lambda _: 1 / 0)
        answer = await api.client.get("/metrics")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_requests_are_counted_by_route_never_by_path() -> None:
    async with running_api() as api:
        await api.client.get("/api/docs/assets/never-there-12345.js")
        await api.client.get("/never-there-67890")
        text = (await api.client.get("/metrics", headers=BEARER)).text
    assert "never-there" not in text
    assert 'netally_api_requests_total{method="GET",route="/api/docs/assets/{name:str}",status="404"}' in text

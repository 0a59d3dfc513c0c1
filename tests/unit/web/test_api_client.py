from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from netally.web import api_client
from netally.web.api_client import ApiClient, ApiProblem, Reader
from netally.web.ranges import Range

READER = Reader("r1", cookie="netally_session=secret", authorization="Bearer secret", host="netally.test")
RANGE = Range(start=1_795_305_600_000, end=1_795_309_200_000, preset="")


def client_of(answer: Callable[[httpx.Request], httpx.Response]) -> ApiClient:
    return ApiClient(httpx.AsyncClient(base_url="http://api.test", transport=httpx.MockTransport(answer)))


async def test_a_read_carries_the_readers_own_proof_and_no_other() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(401, json={"type": "about:blank", "title": "t", "status": 401, "detail": "Log in."})

    with pytest.raises(ApiProblem) as raised:
        await client_of(answer).hosts(READER, RANGE)
    assert (raised.value.status, raised.value.detail) == (401, "Log in.")
    (request,) = seen
    assert request.headers["cookie"] == "netally_session=secret"
    assert request.headers["authorization"] == "Bearer secret"
    assert request.headers["x-forwarded-host"] == "netally.test"
    assert request.url.params["from"] == "2026-11-22T00:00Z"


async def test_cookies_of_other_programs_are_passed_on_whatever_they_hold() -> None:
    seen: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(dict(request.headers.raw)[b"Cookie"])
        return httpx.Response(401, json={"type": "about:blank", "title": "t", "status": 401, "detail": "Log in."})

    with pytest.raises(ApiProblem, match="Log in"):
        await client_of(answer).hosts(Reader("r1", cookie="x=\u00c3\u00a9"), RANGE)
    assert seen == ["x=é".encode()]


async def test_an_answer_that_cannot_be_read_is_a_problem_in_words() -> None:
    with pytest.raises(ApiProblem, match="cannot read") as raised:
        await client_of(lambda _request: httpx.Response(200, content=b'{"hosts": "none"}')).hosts(READER, RANGE)
    assert raised.value.status == 502


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"detail": 3}'])
async def test_a_failure_without_a_problem_document_still_has_words(body: bytes) -> None:
    with pytest.raises(ApiProblem, match="The API answered 500"):
        await client_of(lambda _request: httpx.Response(500, content=body)).hosts(READER, RANGE)


async def test_an_api_that_is_away_is_said_to_be_away() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(ApiProblem, match="cannot be reached") as raised:
        await client_of(refuse).bandwidth(READER)
    assert raised.value.status == 0


async def test_a_token_buys_a_code_and_goes_nowhere_else() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if request.url.path == "/api/session/codes":
            return httpx.Response(201, json={"code": "abc", "expires_at": 1})
        return httpx.Response(201, headers={"Set-Cookie": "netally_session=new; HttpOnly"}, json={})

    cookies = await client_of(answer).open_session(Reader("r2", cookie="old=1"), token="the-token")
    assert cookies == ["netally_session=new; HttpOnly"]
    bought, opened = seen
    assert bought.headers["authorization"] == "Bearer the-token"
    assert "cookie" not in bought.headers
    assert opened.content == b'{"code":"abc"}'
    assert "the-token" not in "".join(f"{name}{value}" for name, value in opened.headers.items()) + str(opened.url)


async def test_the_pool_keeps_no_readers_cookie() -> None:
    async with api_client.open_client("http://api.test") as http:
        http.cookies.extract_cookies(
            httpx.Response(
                200, headers={"Set-Cookie": "netally_session=a"}, request=httpx.Request("GET", "http://api.test/")
            )
        )
        assert not list(http.cookies.jar)


def test_a_traceback_does_not_show_the_readers_secret() -> None:
    assert "secret" not in repr(READER)

from __future__ import annotations

from typing import Any

import httpx
import pytest

from netally.api.attempt_limit import ATTEMPTS
from tests.api_in_process import RunningApi, running_api
from tests.builders import START

SAME_ORIGIN = {"Origin": "http://netally.test"}


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


async def new_code(api: RunningApi) -> str:
    answer = await api.client.post("/api/session/codes", json={})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["code"])


async def log_in(api: RunningApi, **headers: str) -> httpx.Response:
    return await api.anonymous.post("/api/session", json={"code": await new_code(api)}, headers=headers)


async def test_a_code_opens_a_session_that_reads_and_ends() -> None:
    clock = Clock()
    async with running_api(clock=clock) as api:
        assert (await api.anonymous.get("/api/session")).status_code == 401
        opened = await log_in(api)
        assert (opened.status_code, opened.json()) == (
            200,
            {"actor": "admin", "expires_at": START + 12 * 3_600_000, "role": "admin", "hosts": None, "token": ""},
        )
        cookie = opened.headers["set-cookie"]
        assert cookie.startswith("netally_session=")
        for attribute in ("HttpOnly", "Path=/", "Max-Age=43200", "SameSite=lax"):
            assert attribute in cookie
        assert "Secure" not in cookie
        value = api.anonymous.cookies["netally_session"]
        assert (await api.anonymous.get("/api/session")).json()["actor"] == "admin"
        assert (await api.anonymous.get("/api/applications")).status_code == 503  # in, and no database here

        ended = await api.anonymous.delete("/api/session", headers=SAME_ORIGIN)
        assert ended.status_code == 204
        assert "Max-Age=0" in ended.headers["set-cookie"]
        copy = {"Cookie": f"netally_session={value}"}
        assert (await api.anonymous.get("/api/session", headers=copy)).status_code == 401

        await log_in(api)
        clock.now += 2 * 3_600_000 + 1
        over = await api.anonymous.get("/api/session")
        assert (over.status_code, "over" in over.json()["detail"]) == (401, True)


async def test_a_code_works_once_and_for_ten_minutes() -> None:
    clock = Clock()
    async with running_api(clock=clock) as api:
        code = await new_code(api)
        assert (await api.anonymous.post("/api/session", json={"code": code})).status_code == 200
        again = await api.anonymous.post("/api/session", json={"code": code})
        assert (again.status_code, again.json()["parameter"]) == (401, "code")
        code = await new_code(api)
        clock.now += 600_000
        assert (await api.anonymous.post("/api/session", json={"code": code})).status_code == 401


async def test_codes_are_made_with_the_token_alone() -> None:
    async with running_api() as api:
        assert (await api.anonymous.post("/api/session/codes")).status_code == 401
        await log_in(api)
        assert (await api.anonymous.post("/api/session/codes", headers=SAME_ORIGIN)).status_code == 403


async def test_attempts_are_limited() -> None:
    async with running_api() as api:
        statuses = [
            (await api.anonymous.post("/api/session", json={"code": f"guess {n}"})).status_code
            for n in range(ATTEMPTS + 2)
        ]
        assert statuses == [401] * ATTEMPTS + [429] * 2
        limited = await log_in(api)
        assert (limited.status_code, limited.headers["retry-after"].isdigit()) == (429, True)
        # Another client of the same proxy is not held up.
        assert (await log_in(api, **{"X-Forwarded-For": "192.0.2.7"})).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"content": b""},
        {"content": b"{"},
        {"json": {}},
        {"json": {"code": 5}},
        {"json": []},
        {"json": {"code": "x", "y": 1}},
        {"content": b"[" * 15_000},
    ],
)
async def test_a_body_that_is_no_login_is_400(body: dict[str, Any]) -> None:
    async with running_api() as api:
        answer = await api.anonymous.post("/api/session", **body)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")


async def test_a_large_body_is_413() -> None:
    async with running_api() as api:
        answer = await api.anonymous.post("/api/session", json={"code": "x" * 20_000})
    assert answer.status_code == 413


async def test_other_sites_cannot_log_in_or_out() -> None:
    async with running_api() as api:
        assert (await log_in(api, Origin="http://evil.test")).status_code == 403
        await log_in(api)
        answer = await api.anonymous.delete("/api/session", headers={"Sec-Fetch-Site": "cross-site"})
        assert answer.status_code == 403
        # Nor does one whose browser says nothing, as none does.
        assert (await api.anonymous.delete("/api/session")).status_code == 403
        assert (await api.anonymous.get("/api/session")).status_code == 200


async def test_a_session_that_somebody_put_there_is_not_the_one_that_is_opened() -> None:
    async with running_api() as api:
        await log_in(api)
        planted = api.anonymous.cookies["netally_session"]
        await log_in(api)
        assert api.anonymous.cookies["netally_session"] != planted
        copy = {"Cookie": f"netally_session={planted}"}
        api.anonymous.cookies.clear()
        assert (await api.anonymous.get("/api/session", headers=copy)).status_code == 401


async def test_the_cookie_is_secure_behind_a_proxy_with_https() -> None:
    async with running_api() as api:
        cookie = (await log_in(api, **{"X-Forwarded-Proto": "https"})).headers["set-cookie"]
        assert "Secure" in cookie
    async with running_api(client_address="192.0.2.9") as api:
        assert "Secure" not in (await log_in(api, **{"X-Forwarded-Proto": "https"})).headers["set-cookie"]

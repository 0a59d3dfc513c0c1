from __future__ import annotations

from litestar import get
from litestar.exceptions import HTTPException, NotFoundException
from litestar.params import FromQuery
from litestar.testing import create_test_client

from netally.api.problems import (
    MEDIA_TYPE,
    ProblemError,
    bad_parameter,
    forbidden,
    on_any_exception,
    on_http_exception,
    on_problem,
    too_many,
    unauthorized,
    unavailable,
)

HANDLERS = {ProblemError: on_problem, HTTPException: on_http_exception, Exception: on_any_exception}


@get("/parameter")
async def parameter() -> None:
    raise bad_parameter("from", "from is no time.")


@get("/crash")
async def crash() -> None:
    raise RuntimeError("secret detail")


@get("/number")
async def number(limit: FromQuery[int]) -> int:
    return limit


@get("/missing")
async def missing() -> None:
    raise NotFoundException


def test_a_problem_names_the_parameter_and_says_what_it_is() -> None:
    with create_test_client([parameter], exception_handlers=HANDLERS) as http:  # type: ignore[arg-type]
        answer = http.get("/parameter")
    assert (answer.status_code, answer.headers["content-type"]) == (400, MEDIA_TYPE)
    assert answer.json() == {
        "title": "Bad Request",
        "status": 400,
        "detail": "from is no time.",
        "parameter": "from",
    }


def test_the_frameworks_refusals_have_the_same_form() -> None:
    with create_test_client([number, missing], exception_handlers=HANDLERS) as http:  # type: ignore[arg-type]
        wrong, unknown, method = http.get("/number?limit=x"), http.get("/nothing"), http.post("/number")
        absent = http.get("/number")
    assert (absent.status_code, absent.json()["parameter"]) == (400, "limit")
    assert "limit is missing" in absent.json()["detail"]
    assert (wrong.status_code, wrong.json()["parameter"]) == (400, "limit")
    assert (unknown.status_code, "/nothing" in unknown.json()["detail"]) == (404, True)
    assert (method.status_code, "POST" in method.json()["detail"]) == (405, True)
    assert {each.headers["content-type"] for each in (wrong, unknown, method)} == {MEDIA_TYPE}


def test_a_fault_of_ours_shows_no_inside() -> None:
    with create_test_client([crash], exception_handlers=HANDLERS, raise_server_exceptions=False) as http:  # type: ignore[arg-type]
        answer = http.get("/crash")
    assert (answer.status_code, answer.headers["content-type"]) == (500, MEDIA_TYPE)
    assert "secret" not in answer.text


def test_each_refusal_carries_its_header() -> None:
    assert unauthorized("").headers["WWW-Authenticate"].startswith("Bearer")
    assert too_many("", 7).headers == {"Retry-After": "7"}
    assert unavailable("").headers == {"Retry-After": "2"}
    assert [error.problem.status for error in (unauthorized(""), forbidden(""), too_many("", 1), unavailable(""))] == [
        401,
        403,
        429,
        503,
    ]

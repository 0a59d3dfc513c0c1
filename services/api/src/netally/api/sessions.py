"""``/api/session``: login codes and the session cookie."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, delete, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody

from netally.api import metrics
from netally.api.access import COOKIE, SESSION_SECONDS, Access
from netally.api.guarding import client
from netally.api.problems import (
    BAD_PARAMETER,
    FORBIDDEN,
    TOO_MANY,
    UNAUTHORIZED,
    UNAVAILABLE,
    ProblemError,
    forbidden,
    problem,
    too_many,
)
from netally.contracts.forwarding import Proxies
from netally.contracts.queries import Login, LoginCode, Session


@post("/api/session/codes", status_code=201, summary="Make a login code", responses={**UNAUTHORIZED, **FORBIDDEN})
async def make_code(request: Request[Any, Session, Any], access: NamedDependency[Access]) -> LoginCode:
    """A code that opens one session within ten minutes. Needs the bearer token; a session is not enough."""
    if request.auth.expires_at is not None:
        raise forbidden("A login code is made with a token, not with a session.")
    return access.new_code(request.auth.token)


@post(
    "/api/session",
    status_code=200,
    summary="Log in",
    responses={**BAD_PARAMETER, **UNAUTHORIZED, **FORBIDDEN, **TOO_MANY, **UNAVAILABLE},
)
async def log_in(
    request: Request[Any, Any, Any],
    access: NamedDependency[Access],
    trusted: NamedDependency[Proxies],
    data: JSONBody[Login],
) -> Response[Session]:
    """Exchange a login code for the session cookie, which is good for twelve hours."""
    address = client(request, trusted).address
    wait = access.attempts.wait_seconds(address)
    if wait:
        metrics.LOGINS.labels("limited").inc()
        raise too_many("Too many wrong codes from this address.", wait)
    access.attempts.failed(address)
    opened = await access.open_session(data.code)
    if opened is None:
        metrics.LOGINS.labels("refused").inc()
        raise ProblemError(
            problem(401, "The code is not valid: it works once, for ten minutes. Ask for a new one.", parameter="code"),
            {"WWW-Authenticate": 'Bearer realm="netally"'},
        )
    metrics.LOGINS.labels("opened").inc()
    access.attempts.forgive(address)
    # Whatever the browser came with is of no use any more, should somebody else have put it there.
    access.end_session(request.cookies.get(COOKIE, ""))
    return Response(opened.session, cookies=[_cookie(request, trusted, opened.cookie, SESSION_SECONDS)])


@get("/api/session", summary="Who asks", responses=UNAUTHORIZED)
async def session(request: Request[Any, Session, Any]) -> Session:
    return request.auth


@delete(
    "/api/session",
    status_code=204,
    summary="Log out",
    responses={204: ResponseSpec(None, description="Logged out"), **UNAUTHORIZED, **FORBIDDEN},
)
async def log_out(
    request: Request[Any, Session, Any], access: NamedDependency[Access], trusted: NamedDependency[Proxies]
) -> Response[None]:
    """Ends the session of the cookie, also for copies of it."""
    access.end_session(request.cookies.get(COOKIE, ""))
    return Response(None, status_code=204, cookies=[_cookie(request, trusted, "", 0)])


def _cookie(request: Request[Any, Any, Any], trusted: Proxies, value: str, seconds: int) -> Cookie:
    secure = client(request, trusted).scheme == "https"
    return Cookie(key=COOKIE, value=value, max_age=seconds, path="/", httponly=True, samesite="lax", secure=secure)

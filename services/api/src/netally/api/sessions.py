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
from netally.api.guarding import ANONYMOUS, client_address, is_loopback, peer
from netally.api.problems import (
    BAD_PARAMETER,
    FORBIDDEN,
    TOO_MANY,
    UNAUTHORIZED,
    ProblemError,
    forbidden,
    problem,
    too_many,
)
from netally.contracts.queries import Login, LoginCode, Session


@post("/api/session/codes", status_code=201, summary="Make a login code", responses={**UNAUTHORIZED, **FORBIDDEN})
async def make_code(request: Request[Any, Session, Any], access: NamedDependency[Access]) -> LoginCode:
    """A code that opens one session within ten minutes. Needs the bearer token; a session is not enough."""
    if request.auth.expires_at is not None:
        raise forbidden("A login code is made with the admin token, not with a session.")
    return access.new_code()


@post(
    "/api/session",
    status_code=200,
    summary="Log in",
    opt={ANONYMOUS: True},
    security=[{}],
    responses={**BAD_PARAMETER, **UNAUTHORIZED, **FORBIDDEN, **TOO_MANY},
)
async def log_in(
    request: Request[Any, Any, Any], access: NamedDependency[Access], data: JSONBody[Login]
) -> Response[Session]:
    """Exchange a login code for the session cookie, which is good for twelve hours."""
    address = client_address(request)
    wait = access.attempts.wait_seconds(address)
    if wait:
        metrics.LOGINS.labels("limited").inc()
        raise too_many("Too many wrong codes from this address.", wait)
    opened = access.open_session(data.code)
    if opened is None:
        access.attempts.failed(address)
        metrics.LOGINS.labels("refused").inc()
        raise ProblemError(
            problem(401, "The code is not valid: it works once, for ten minutes. Ask for a new one.", parameter="code"),
            {"WWW-Authenticate": 'Bearer realm="netally"'},
        )
    metrics.LOGINS.labels("opened").inc()
    session, value = opened
    return Response(session, cookies=[_cookie(request, value, SESSION_SECONDS)])


@get("/api/session", summary="Who asks", responses=UNAUTHORIZED)
async def session(request: Request[Any, Session, Any]) -> Session:
    return request.auth


@delete(
    "/api/session",
    status_code=204,
    summary="Log out",
    responses={204: ResponseSpec(None, description="Logged out"), **UNAUTHORIZED, **FORBIDDEN},
)
async def log_out(request: Request[Any, Session, Any], access: NamedDependency[Access]) -> Response[None]:
    """Ends the session of the cookie, also for copies of it."""
    access.end_session(request.cookies.get(COOKIE, ""))
    return Response(None, status_code=204, cookies=[_cookie(request, "", 0)])


def _cookie(request: Request[Any, Any, Any], value: str, seconds: int) -> Cookie:
    forwarded = request.headers.get("x-forwarded-proto", "") if is_loopback(peer(request)) else ""
    secure = (forwarded or request.url.scheme) == "https"
    return Cookie(key=COOKIE, value=value, max_age=seconds, path="/", httponly=True, samesite="lax", secure=secure)

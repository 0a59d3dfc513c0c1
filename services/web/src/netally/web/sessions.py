"""Signing in and out. The session is the API's: its cookie is passed through, never read."""

from __future__ import annotations

from litestar import Response, get, post
from litestar.params import URLEncodedBody
from litestar.response import Redirect
from litestar.response.base import ASGIResponse

from netally.web.api_client import ApiProblem
from netally.web.appearance import COOKIE_SECONDS, choices
from netally.web.security import local_path, same_origin
from netally.web.visits import AnyRequest, Visit, visit_of

FIELD_LIMIT = 512

Form = URLEncodedBody[dict[str, str]]


@get("/login", include_in_schema=False)
async def login_page(request: AnyRequest) -> ASGIResponse:
    """The form; or, with ``?code=``, the exchange of a single-use code, after which the URL bar is clean."""
    visit = visit_of(request)
    code = request.query_params.get("code", "")
    if not code:
        return _as_sent(visit, show_login(visit, status=200))
    return await _sign_in(visit, code=code, back="/")


@post("/login", include_in_schema=False, status_code=303)
async def login(request: AnyRequest, data: Form) -> ASGIResponse:
    visit = visit_of(request)
    if not same_origin(request):
        raise ApiProblem(403, "The form was sent from another site.")
    secret = data.get("secret", "").strip()
    if not secret:
        return _as_sent(visit, show_login(visit, problem="Enter a login code or the admin token."))
    # A code is what the URL holds: a pasted URL is taken as well.
    code = secret.partition("/login?code=")[2] if "/login?code=" in secret else secret
    back = local_path(data.get("back", "/"))
    return await _sign_in(visit, code=code[:FIELD_LIMIT], token=secret[:FIELD_LIMIT], back=back)


async def _sign_in(visit: Visit, *, code: str, token: str = "", back: str) -> ASGIResponse:
    """Try the code, then what was entered as a token."""
    api = visit.api
    try:
        try:
            cookies = await api.together(api.open_session(visit.reader, code=code))
        except ApiProblem as problem:
            if not token or problem.status not in (400, 401, 403):
                raise
            cookies = await api.together(api.open_session(visit.reader, token=token))
    except ApiProblem as problem:
        if problem.status not in (400, 401, 403, 429):
            raise
        words = problem.detail if problem.status == 429 else refused_words(from_link=not token)
        return _as_sent(
            visit, show_login(visit, status=problem.status if problem.status == 429 else 401, problem=words)
        )
    return _with_cookies(back, cookies)


def refused_words(*, from_link: bool) -> str:
    if from_link:
        return "This link has been used or is older than 10 minutes. Each link works once."
    return "This is neither a valid login code nor a valid token. A code works once and for 10 minutes."


@post("/logout", include_in_schema=False, status_code=303)
async def logout(request: AnyRequest) -> ASGIResponse:
    visit = visit_of(request)
    if not same_origin(request):
        raise ApiProblem(403, "The form was sent from another site.")
    return _with_cookies("/login", await visit.api.together(visit.api.close_session(visit.reader)))


@post("/appearance", include_in_schema=False, status_code=303)
async def appearance(request: AnyRequest, data: Form) -> Response[None]:
    """Theme, units, zone and locale: kept in cookies, so that the server writes them and nothing flashes."""
    if not same_origin(request):
        raise ApiProblem(403, "The form was sent from another site.")
    answer: Response[None] = Redirect(local_path(data.get("back", "/")), status_code=303)
    for name, value in choices(data).items():
        age = COOKIE_SECONDS if value else 0
        answer.set_cookie(name, value, max_age=age, samesite="lax", path="/", httponly=True)
    return answer


def show_login(visit: Visit, *, status: int = 401, problem: str = "") -> Response[str]:
    here = visit.request.url
    back = local_path(f"{here.path}?{here.query}" if here.query else here.path)
    if here.path in ("/login", "/logout"):
        back = "/"
    elif visit.request.method == "POST":
        # What was posted cannot be asked for; the page it was posted from can.
        back = f"/{here.path.split('/')[1]}"
    return visit.page("login.html.j2", "Sign in", status=status, signed_in=False, problem=problem, back=back)


def _as_sent(visit: Visit, page: Response[str]) -> ASGIResponse:
    return page.to_asgi_response(None, visit.request)


def _with_cookies(path: str, cookies: list[str]) -> ASGIResponse:
    """See other, with the API's Set-Cookie lines as they came."""
    return ASGIResponse(status_code=303, headers=[("location", path), *(("set-cookie", cookie) for cookie in cookies)])

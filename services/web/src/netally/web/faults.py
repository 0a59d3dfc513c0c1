"""When there is no page to show: what is so, why, and the next step; never a traceback."""

from __future__ import annotations

from http import HTTPStatus

import structlog
from litestar import MediaType, Response
from litestar.exceptions import HTTPException

from netally.web.api_client import ApiProblem
from netally.web.figures import local
from netally.web.ranges import RangeError
from netally.web.sessions import show_login
from netally.web.visits import AnyRequest, Visit, visit_of

log = structlog.get_logger()


def on_api_problem(request: AnyRequest, problem: ApiProblem) -> Response[str]:
    """The API did not give what a page needs."""
    visit = visit_of(request)
    if problem.status == 401:
        return _signed_out(visit) if visit.partial else show_login(visit)
    if problem.status == 403:
        why = f"{problem.detail} Whoever runs this Netally can give out a token that may; sign in with it."
        return fault_page(visit, 403, "Your sign-in does not allow this.", why, again="/", words="Overview")
    if problem.status == 429:
        why = f"{problem.detail} What was right before goes on working."
        return fault_page(visit, 429, "Too many wrong attempts.", why)
    if problem.status in (400, 404):
        return fault_page(visit, problem.status, "This request cannot be answered.", problem.detail)
    log.warning("api read failed", status=problem.status, detail=problem.detail, request_id=visit.request_id)
    if problem.status == 0:
        why = (
            f"{problem.detail} Nothing is lost: hosts keep measuring, and the bus keeps what they send. "
            "The page comes back as soon as the API runs."
        )
        return fault_page(visit, 503, "The figures cannot be read now.", why, away=True)
    return fault_page(visit, 503, "The figures cannot be read now.", problem.detail)


def on_range_fault(request: AnyRequest, fault: RangeError) -> Response[str]:
    return fault_page(
        visit_of(request), 400, "This range cannot be shown.", str(fault), again="/", words="Show the last hour"
    )


def on_http_fault(request: AnyRequest, fault: HTTPException) -> Response[str]:
    visit = visit_of(request)
    if fault.status_code == 404:
        return fault_page(
            visit, 404, "There is no such page.", "The address may be mistyped.", again="/", words="Overview"
        )
    words = HTTPStatus(fault.status_code).phrase
    return fault_page(visit, fault.status_code, f"{words}.", "This address does not take that request.", again="/")


def on_any_fault(request: AnyRequest, fault: Exception) -> Response[str]:
    visit = visit_of(request)
    log.error("page failed", path=request.url.path, request_id=visit.request_id, exc_info=fault)
    return fault_page(visit, 500, "This page failed.", "The service's log has the reason under the request below.")


def _signed_out(visit: Visit) -> Response[str]:
    """To htmx: load the whole page again, which then is the login page."""
    del visit
    return Response("", status_code=401, media_type=MediaType.HTML, headers={"HX-Refresh": "true"})


def fault_page(
    visit: Visit, status: int, what: str, why: str, *, again: str = "", words: str = "Try again", away: bool = False
) -> Response[str]:
    """What is so, why, and a link to the next step; by default the same address again. ``away``: the page goes there by
    itself as soon as the API answers.
    """
    if visit.partial:
        # What stands on the page stays; the script says how old it is.
        return Response(
            f"{what} {why}\n",
            status_code=status,
            media_type=MediaType.TEXT,
            headers={"HX-Reswap": "none", "X-Request-Id": visit.request_id},
        )
    here = visit.request.url
    return visit.page(
        "fault.html.j2",
        what.rstrip("."),
        status=status,
        what=what,
        why=why,
        again=again or (f"{here.path}?{here.query}" if here.query else here.path),
        words=words,
        away=away and visit.request.method == "GET",
        request_id=visit.request_id,
        at=f"{local(visit.now, visit.zone):%H:%M:%S}",
    )

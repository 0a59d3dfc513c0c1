"""Errors as ``application/problem+json`` (RFC 9457): what is wrong, and what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec

from netally.contracts.queries import Problem
from netally.store.filters.errors import FilterError, FilterRefused

MEDIA_TYPE = "application/problem+json"

_MISSING = re.compile(r"Missing required \w+ parameter '([^']+)'")
"""How Litestar begins; the name stands nowhere else."""

log = structlog.get_logger()


class ProblemError(Exception):
    """Ends a request with this problem."""

    def __init__(self, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(problem.detail)
        self.problem = problem
        self.headers = dict(headers or {})


def problem(status: int, detail: str, *, parameter: str | None = None) -> Problem:
    return Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, parameter=parameter)


def bad_parameter(parameter: str, detail: str) -> ProblemError:
    return ProblemError(problem(400, detail, parameter=parameter))


def refused_parameter(parameter: str, detail: str) -> ProblemError:
    """For what is understood and cannot be answered."""
    return ProblemError(problem(422, detail, parameter=parameter))


def not_found(detail: str) -> ProblemError:
    return ProblemError(problem(404, detail))


def bad_filter(error: FilterError) -> ProblemError:
    """400 for what cannot be understood, 422 for what the figures that are left cannot answer; both with the place."""
    refused = isinstance(error, FilterRefused)
    found = problem(422 if refused else 400, f"{error}.", parameter="filter")
    return ProblemError(
        msgspec.structs.replace(
            found,
            start=error.start,
            end=error.end,
            suggestion=error.suggestion or None,
            tier=str(error.tier) if isinstance(error, FilterRefused) else None,
        )
    )


def unauthorized(detail: str) -> ProblemError:
    return ProblemError(problem(401, detail), {"WWW-Authenticate": 'Bearer realm="netally"'})


def forbidden(detail: str) -> ProblemError:
    return ProblemError(problem(403, detail))


def too_many(detail: str, retry_after: int) -> ProblemError:
    return ProblemError(problem(429, f"{detail} Try again in {retry_after} s."), {"Retry-After": str(retry_after)})


def unavailable(detail: str, retry_after: int = 2) -> ProblemError:
    return ProblemError(problem(503, detail), {"Retry-After": str(retry_after)})


def respond(found: Problem, headers: Mapping[str, str] | None = None) -> Response[Problem]:
    return Response(found, status_code=found.status, media_type=MEDIA_TYPE, headers=dict(headers or {}))


def on_problem(_: Request[Any, Any, Any], error: ProblemError) -> Response[Problem]:
    return respond(error.problem, error.headers)


def on_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[Problem]:
    """Litestar's own refusals: validation, no route, wrong method, body too large."""
    if isinstance(error, ValidationException):
        return respond(_validation(request, error))
    details = {
        404: f"Nothing is at {request.url.path}. /api/docs lists what there is.",
        405: f"{request.method} is not possible at {request.url.path}. /api/docs lists what is.",
        413: "The body is larger than this address takes.",
    }
    return respond(problem(error.status_code, details.get(error.status_code, error.detail)), error.headers)


def on_any_exception(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    if isinstance(error, RecursionError):
        # Nothing of ours goes that deep: it is the decoder's limit (msgspec), which Litestar passes on as it is.
        return respond(problem(400, "The body is nested too deeply."))
    log.error("request failed", method=request.method, path=request.url.path, exc_info=error)
    return respond(problem(500, "The request failed through no fault of yours. The service's log has the reason."))


def _validation(request: Request[Any, Any, Any], error: ValidationException) -> Problem:
    faults = error.extra if isinstance(error.extra, list) else []
    if missing := _MISSING.match(error.detail):
        return problem(400, f"{missing[1]} is missing: it must be given.", parameter=missing[1])
    if not faults or not isinstance(faults[0], dict):
        return problem(400, error.detail)
    key = _public_name(request, str(faults[0].get("key", "")))
    message = str(faults[0].get("message", error.detail))
    if not key or key == "data":
        return problem(400, f"The body is not the JSON that this address takes ({message}); /api/docs shows it.")
    return problem(400, f"{key} is wrong: {message}.", parameter=key)


def _public_name(request: Request[Any, Any, Any], name: str) -> str:
    """Name of a parameter in the address, given the one in the handler's signature."""
    field = request.route_handler.parsed_fn_signature.parameters.get(name)
    given = getattr(field.kwarg_definition, "name", None) if field is not None else None
    # Python's keywords (from) and built-in names (range) have an underscore, in a dependency's signature as well.
    return given or name.rstrip("_")


def _response(description: str) -> ResponseSpec:
    return ResponseSpec(Problem, description=description, media_type=MEDIA_TYPE, generate_examples=False)


FORBIDDEN = {
    403: _response("The role or the hosts of the token do not suffice, or the request comes from another site")
}
TOO_LARGE = {413: _response("The body is larger than this address takes")}
TOO_MANY = {429: _response("Too many attempts; `Retry-After` says when to try again")}
UNAUTHORIZED = {401: _response("No valid bearer token or session cookie"), **FORBIDDEN, **TOO_MANY}
BAD_PARAMETER = {400: _response("A parameter is wrong; `parameter` names it")}
UNAVAILABLE = {503: _response("The database is away, or the query took too long; `detail` says which")}
REFUSED = {422: _response("The filter asks for what the figures of this range do not keep; `tier` names those that do")}
NOT_FOUND = {404: _response("There is nothing with this id")}
QUERY_PROBLEMS = {**BAD_PARAMETER, **UNAUTHORIZED, **REFUSED, **UNAVAILABLE}
DETAIL_PROBLEMS = {**QUERY_PROBLEMS, **NOT_FOUND}
CONFLICT = {409: _response("The key belongs to another command, or what was ordered cannot be done as things are")}
GONE = {410: _response("It was there and is kept no more")}

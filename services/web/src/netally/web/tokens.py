"""The tokens page: who may see and order what. The secret of a new token is shown once, in the answer to its form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.exceptions import NotFoundException
from litestar.params import FromPath, URLEncodedBody
from litestar.response import Redirect

from netally.contracts.access import NewToken, TokenOrder, TokenRow
from netally.web.api_client import ApiProblem
from netally.web.command_forms import FormError, Refusal, names, read_time, text
from netally.web.figures import moment
from netally.web.security import same_origin
from netally.web.visits import AnyRequest, Visit, visit_of

Form = URLEncodedBody[dict[str, str]]

FORM = "create-token"
ROLES = {
    "viewer": "Viewer: sees",
    "operator": "Operator: orders what changes nothing for good as well",
    "admin": "Admin: may everything",
}
PERIODS = {"": "until revoked", "1d": "one day", "30d": "30 days", "90d": "90 days", "365d": "a year", "at": "until …"}
DAY_MS = 86_400_000
TOKEN = re.compile("[0-9a-f]{16}")
_MARKS = {"active": "", "expired": "silent", "revoked": "failed"}


class TokenLine(msgspec.Struct, frozen=True):
    """A row of the table."""

    id: str
    name: str
    state: str
    mark: str
    role: str
    hosts: str
    created: str
    created_by: str
    ends: str
    used: str

    @property
    def usable(self) -> bool:
        return self.state == "active"


def line(row: TokenRow, visit: Visit) -> TokenLine:
    def at(time_ms: int | None, otherwise: str) -> str:
        return otherwise if time_ms is None else moment(time_ms, visit.zone, visit.now)

    return TokenLine(
        row.id,
        row.name,
        row.state,
        _MARKS.get(row.state, "silent"),
        row.role,
        "all" if row.hosts is None else ", ".join(row.hosts),
        at(row.created_at, "–"),
        row.created_by,
        at(row.revoked_at or row.expires_at, "when revoked"),
        at(row.last_used, "never"),
    )


def order_of(fields: Mapping[str, str], visit: Visit) -> TokenOrder:
    """What the form asks for. Raises FormError."""
    name, role, period = text(fields, "name"), text(fields, "role"), text(fields, "expires")
    if not name or len(name) > 60 or not name.isprintable():
        raise FormError("name", "A name has 1 to 60 letters; it tells the token from others.")
    if role not in ROLES:
        raise FormError("role", "Choose a role.")
    expires_at = None
    if period == "at":
        expires_at = read_time(fields, "until", visit.zone)
        if expires_at is None:
            raise FormError("until", "Enter when it ends.")
    elif period in PERIODS and period:
        expires_at = visit.now + int(period[:-1]) * DAY_MS
    hosts = names(fields, "hosts")
    if role == "admin" and hosts:
        raise FormError("hosts", "An admin token is for all hosts: leave this empty, or choose another role.")
    role_name: Any = role
    return TokenOrder(name=name, role=role_name, hosts=hosts, expires_at=expires_at)


@get("/tokens", include_in_schema=False)
async def tokens_page(request: AnyRequest) -> Response[str]:
    return await _page(visit_of(request))


async def _page(
    visit: Visit, refused: Refusal | None = None, made: NewToken | None = None, status: int = 200
) -> Response[str]:
    rows = await visit.api.together(visit.api.tokens(visit.reader))
    return visit.page(
        "tokens.html.j2",
        "Tokens",
        status=status,
        refused=refused,
        made=made,
        lines=[line(row, visit) for row in rows],
        roles=ROLES,
        periods=PERIODS,
        zone=visit.zone.key,
    )


@post("/tokens", include_in_schema=False, status_code=201)
async def make_token(request: AnyRequest, data: Form) -> Response[str]:
    """The page again, with the secret: the only time that it is shown."""
    visit = visit_of(request)
    _check_origin(request)
    fields = {key[:40]: value[:2000] for key, value in data.items()}
    try:
        made = await visit.api.make_token(visit.reader, order_of(fields, visit))
    except FormError as error:
        return await _page(visit, Refusal(FORM, error.field, str(error), fields), status=400)
    except ApiProblem as problem:
        if problem.status not in (400, 503):
            raise
        return await _page(
            visit, Refusal(FORM, problem.parameter, problem.detail, fields, problem.command), status=problem.status
        )
    return await _page(visit, made=made, status=201)


@post("/tokens/{token:str}/revoke", include_in_schema=False, status_code=303)
async def revoke_token(request: AnyRequest, token: FromPath[str]) -> Response[Any]:
    visit = visit_of(request)
    _check_origin(request)
    if not TOKEN.fullmatch(token):
        raise NotFoundException
    await visit.api.revoke_token(visit.reader, token)
    return Redirect("/tokens", status_code=303)


def _check_origin(request: AnyRequest) -> None:
    if not same_origin(request):
        raise ApiProblem(403, "The form was sent from another site.")

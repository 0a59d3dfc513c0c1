"""From a name to the page about it: live figures know names, pages of what is stored go by ids (see links.py)."""

from __future__ import annotations

from typing import Any

from litestar import Response, get
from litestar.response import Redirect

from netally.contracts.queries import ApplicationsAnswer, DomainsAnswer, HostsAnswer
from netally.web.asked import asked_by
from netally.web.faults import fault_page
from netally.web.tables import quoted
from netally.web.visits import AnyRequest

LONGEST_NAME = 500


@get("/applications/named", include_in_schema=False)
async def application_by_name(request: AnyRequest) -> Response[Any]:
    """Leads to the application of a name; to the list when several programs have it."""
    return await _lead(request, "applications", "app", ApplicationsAnswer)


@get("/domains/named", include_in_schema=False)
async def domain_by_name(request: AnyRequest) -> Response[Any]:
    return await _lead(request, "domains", "domain", DomainsAnswer)


@get("/hosts/named", include_in_schema=False)
async def host_by_name(request: AnyRequest) -> Response[Any]:
    return await _lead(request, "hosts", "host", HostsAnswer)


async def _lead(request: AnyRequest, kind: str, field: str, answer: type[Any]) -> Response[Any]:
    """Names are looked for in the range of the URL. What moves now may be stored only some seconds later."""
    asked = asked_by(request)
    visit = asked.visit
    name = request.query_params.get("name", "")[:LONGEST_NAME]
    condition = f"{field} = {quoted(name)}"
    more: dict[str, str | int] = {} if kind == "hosts" else {"filter": condition, "limit": 2}
    found = await visit.api.together(
        visit.api.about_range(visit.reader, f"/api/{kind}", asked.shown, answer, tz=visit.zone.key, **more)
    )
    rows = [row for row in getattr(found, kind) if row.name == name]
    if len(rows) == 1:
        return Redirect(f"/{kind}/{rows[0].id}?{asked.query}", status_code=302)
    if rows:
        return Redirect(f"/{kind}?{asked.here(filter=condition)}", status_code=302)
    return fault_page(
        visit,
        404,
        f"Nothing of “{name}” is stored in this range.",
        "What moves now is stored when its host's interval has ended, mostly within 10 s.",
    )

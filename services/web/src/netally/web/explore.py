"""The explore page: any traffic, grouped by one or two dimensions; its CSV; and pages that people keep under a name."""

from __future__ import annotations

import asyncio
import re
import secrets
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.exceptions import NotFoundException
from litestar.params import FromPath, URLEncodedBody
from litestar.response import Redirect

from netally.contracts.command_answers import CommandOrder
from netally.contracts.commands import FINAL_STATES
from netally.contracts.queries import BreakdownAnswer, BreakdownRow, ViewsAnswer
from netally.web.api_client import ApiProblem
from netally.web.asked import Asked, asked_by
from netally.web.charts import timeline
from netally.web.explore_view import DIMENSIONS, csv_text, group_timeline, groups
from netally.web.figures import moment
from netally.web.ranged_page import PAGE_ROWS, SORTINGS, drawn, order_of, settle
from netally.web.security import local_path, same_origin
from netally.web.visits import AnyRequest, Visit, visit_of

PATH = "/api/stats/breakdown"
OWN = {"by": "app", "then": "", "sort": "bytes"}
ORDERS = [key for key in SORTINGS if key != "name"]
CSV_ROWS = 1_000
"""An answer of the API holds no more; the file is written of several."""
MOST_CSV_ROWS = 20_000
SAVE_SECONDS = 5.0
IDENTITY = re.compile("[0-9a-f]{32}")


def dimensions(asked: Asked) -> list[str]:
    """What to group by: one dimension or two different ones."""
    by = asked.own.get("by", "app")
    by = by if by in DIMENSIONS else "app"
    then = asked.own.get("then", "")
    return [by, then] if then in DIMENSIONS and then != by else [by]


def _sort(asked: Asked) -> str:
    return asked.own["sort"] if asked.own.get("sort") in ORDERS else "bytes"


@get("/explore", include_in_schema=False)
async def explore_page(request: AnyRequest) -> Response[str]:
    return await _page(asked_by(request, OWN))


async def _page(shown: Asked) -> Response[str]:
    api, by, sort, page = shown.visit.api, dimensions(shown), _sort(shown), order_of(shown.visit.request)[1]
    zone, now = shown.visit.zone, shown.visit.now
    offset = (page - 1) * PAGE_ROWS
    asked, fault = shown, dict[str, Any]()
    try:
        answer, kept = await api.together(
            asyncio.gather(
                asked.read(PATH, BreakdownAnswer, by=",".join(by), sort=sort, limit=PAGE_ROWS, offset=offset),
                settle(api.views(shown.visit.reader)),
            )
        )
    except ApiProblem as refusal:
        fault = {"box": shown.refused(refusal), "status": refusal.status}
        asked = shown.unfiltered()
        answer, kept = await api.together(
            asyncio.gather(
                asked.read(PATH, BreakdownAnswer, by=by[0], limit=1, top=0), settle(api.views(shown.visit.reader))
            )
        )
    await shown.visit.know_role()
    table = None if fault else groups(answer, shown.filter, zone, now)
    last = -(-table.names // PAGE_ROWS) if table and table.names else 1
    words = " and ".join(DIMENSIONS[name].lower() for name in by)
    return shown.page(
        "explore.html.j2",
        "Explore",
        answer.meta,
        **fault,
        by=by,
        by_words=words,
        dimensions=DIMENSIONS,
        table=table,
        line=None if fault else timeline(group_timeline(answer), zone, now, split=by[0]),
        sort=SORTINGS[sort],
        page=page,
        last=last,
        previous=shown.here(page=str(page - 1)) if page > 1 else None,
        next=shown.here(page=str(page + 1)) if page < last else None,
        views=drawn(kept, ViewsAnswer, lambda found: _view_rows(found, shown.visit)),
        key=secrets.token_hex(8),
    )


class ViewRow(msgspec.Struct, frozen=True):
    id: str
    name: str
    address: str
    owner: str
    saved: str


class ViewRows(msgspec.Struct, frozen=True):
    rows: list[ViewRow]


def _view_rows(answer: ViewsAnswer, visit: Visit) -> ViewRows:
    return ViewRows(
        [
            ViewRow(
                view.id, view.name, local_path(view.address), view.owner, moment(view.saved_at, visit.zone, visit.now)
            )
            for view in answer.views
        ]
    )


@get("/explore.csv", include_in_schema=False)
async def explore_csv(request: AnyRequest) -> Response[str]:
    """All groups of the page in its order, not only those of one page of the table."""
    asked = asked_by(request, OWN)
    by, rows = dimensions(asked), list[BreakdownRow]()
    while True:
        answer = await asked.visit.api.together(
            asked.read(
                PATH, BreakdownAnswer, by=",".join(by), sort=_sort(asked), limit=CSV_ROWS, offset=len(rows), top=0
            )
        )
        rows += answer.rows
        if len(answer.rows) < CSV_ROWS or len(rows) >= MOST_CSV_ROWS:
            break
    name = f"netally-{'-by-'.join(['traffic', *by])}.csv"
    return Response(
        csv_text(by, rows, asked.visit.zone),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"', "X-Request-Id": asked.visit.request_id},
    )


Form = URLEncodedBody[dict[str, str]]


@post("/views", include_in_schema=False, status_code=303)
async def save_view(request: AnyRequest, data: Form) -> Response[Any]:
    """Keeps a page under a name and comes back to it; the command's own page while it waits."""
    visit = visit_of(request)
    address, name = local_path(data.get("address", "")[:4000]), data.get("name", "").strip()[:80]
    key = f"view-{data['key'][:40]}-{name}" if data.get("key") else None
    return await _changed(
        visit, CommandOrder("save-view", {"name": name, "address": address}, idempotency_key=key), address
    )


@post("/views/{identity:str}/delete", include_in_schema=False, status_code=303)
async def delete_view(request: AnyRequest, identity: FromPath[str], data: Form) -> Response[Any]:
    visit = visit_of(request)
    if not IDENTITY.fullmatch(identity):
        raise NotFoundException
    back = local_path(data.get("back", "/explore")[:4000])
    return await _changed(visit, CommandOrder("delete-view", {"view": identity}), back)


async def _changed(visit: Visit, order: CommandOrder, back: str) -> Response[Any]:
    if not same_origin(visit.request):
        raise ApiProblem(403, "The form was sent from another site.")
    row = await visit.api.together(visit.api.order(visit.reader, order, wait=SAVE_SECONDS))
    if row.state != "succeeded" and (row.state in FINAL_STATES or row.started_at is None):
        return Redirect(f"/operations/commands/{row.id}", status_code=303)
    return Redirect(f"{back}#views", status_code=303)

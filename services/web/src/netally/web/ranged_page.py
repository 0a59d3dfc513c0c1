"""What pages over a range of time share: the frame with range picker and coverage, parts that may fail by themselves,
lists that are ordered and paged by their URL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
from litestar import Response

from netally.contracts.queries import HostsAnswer, Meta
from netally.web.api_client import ApiProblem
from netally.web.figures import local, span
from netally.web.ranges import Range, moved, preset_steps, query_of, refresh_seconds, title, widened
from netally.web.rendering import times
from netally.web.tables import coverage
from netally.web.visits import AnyRequest, Visit

T = TypeVar("T")


class Part(msgspec.Struct, frozen=True):
    """A part of a page that could not be read."""

    problem: str


async def settle(read: Any) -> Any:
    """The answer, or the problem that came instead of it. A missing session and an unreachable API end the page."""
    try:
        return await read
    except ApiProblem as problem:
        if problem.status in (0, 400, 401, 403):
            raise
        return problem


def range_context(visit: Visit, shown: Range, kept: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What the range picker needs; ``kept`` are the page's other parameters, which every link keeps."""
    others = dict(kept or {})
    start, end = local(shown.start, visit.zone), local(shown.end, visit.zone)
    return {
        "presets": preset_steps(shown, others),
        "range_title": title(shown, visit.zone, visit.now),
        "range_span": span(shown.start, shown.end, visit.zone, visit.now),
        "kept": others,
        "range_query": query_of(shown),
        "range_moving": shown.preset is not None,
        "range_from": start.strftime("%Y-%m-%dT%H:%M"),
        "range_to": end.strftime("%Y-%m-%dT%H:%M"),
        "earlier": query_of(moved(shown, -1), **others),
        "later": query_of(moved(shown, 1), **others) if shown.end + shown.length // 2 <= visit.now else None,
        "wider": query_of(widened(shown, visit.now), **others),
        "refresh": refresh_seconds(shown),
    }


def ranged_page(
    visit: Visit,
    shown: Range,
    template: str,
    name: str,
    meta: Meta,
    *,
    kept: Mapping[str, str] | None = None,
    **context: Any,
) -> Response[str]:
    """A page whose template extends ``_page.html.j2``: range picker, heading, coverage of ``meta``, its warnings.

    ``kept`` are the parameters of its URL beside the range; ``first_run`` may be given where hosts are known better.
    """
    return visit.page(
        template,
        name,
        query=query_of(shown),
        **range_context(visit, shown, kept),
        **times(visit.zone, visit.now),
        coverage=coverage(meta, visit.zone, visit.now, moving=shown.preset is not None),
        partial=visit.partial,
        **{"first_run": meta.hosts_expected == 0, **context},
    )


def first_run(hosts: HostsAnswer | ApiProblem, meta: Meta) -> bool:
    """Whether no agent has ever reported."""
    return isinstance(hosts, HostsAnswer) and not hosts.hosts and meta.hosts_expected == 0


def drawn(answer: T | ApiProblem, kind: type[T], draw: Callable[[T], Any]) -> Any:
    """What a part of the page shows: its drawing, or why there is none."""
    if isinstance(answer, kind):
        return draw(answer)
    return Part(str(answer))


class Sorting(msgspec.Struct, frozen=True):
    """A column that a list can be ordered by."""

    key: str
    """As in the URL and as the API knows it."""
    direction: str
    """As ``aria-sort`` says it."""


SORTINGS = {
    key: Sorting(key, "ascending" if key == "name" else "descending")
    for key in ("bytes", "bytes_in", "bytes_out", "connections", "last_used", "name")
}
PAGE_ROWS = 50
MOST_PAGES = 20_000
"""The API passes over no more rows."""


def order_of(request: AnyRequest) -> tuple[Sorting, int]:
    """Order and page (from 1) of a list, from its URL; anything else is the first page by bytes."""
    number = request.query_params.get("page", "1")
    page = int(number) if number.isascii() and number.isdigit() and len(number) < 6 else 1
    return SORTINGS.get(request.query_params.get("sort", ""), SORTINGS["bytes"]), min(max(page, 1), MOST_PAGES)

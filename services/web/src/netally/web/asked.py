"""What a page is asked for by its URL: a range, a filter, its own parameters; and reads of the API about them."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar

import msgspec
from litestar import Response

from netally.contracts.queries import Meta
from netally.web.api_client import ApiProblem
from netally.web.filter_box import FilterBox, is_of_filter, read_filter, refused_box
from netally.web.ranged_page import ranged_page
from netally.web.ranges import DEFAULT, Range, pairs_of, query_of, read_range
from netally.web.visits import AnyRequest, Visit, visit_of

T = TypeVar("T")


class Asked(msgspec.Struct, frozen=True):
    """A request for a page over a range that may be narrowed by a filter."""

    visit: Visit
    shown: Range
    filter: str
    own: dict[str, str]
    """The page's own parameters that are not as by default; links keep them."""

    @property
    def kept(self) -> dict[str, str]:
        """All parameters beside the range."""
        return {"filter": self.filter, **self.own} if self.filter else self.own

    @property
    def query(self) -> str:
        """Range and filter, for links to other pages."""
        return query_of(self.shown, **({"filter": self.filter} if self.filter else {}))

    def here(self, **changes: str) -> str:
        """Query of this page with some of its own parameters changed; an empty one is left out."""
        kept = {**self.kept, **changes}
        return query_of(self.shown, **{name: value for name, value in kept.items() if value})

    def read(self, path: str, kind: type[T], **more: str | int) -> Awaitable[T]:
        """The answer for the range and the filter."""
        parameters = {"filter": self.filter, "tz": self.visit.zone.key, **more}
        return self.visit.api.about_range(self.visit.reader, path, self.shown, kind, **parameters)

    def page(
        self, template: str, name: str, meta: Meta, *, box: FilterBox | None = None, status: int = 200, **context: Any
    ) -> Response[str]:
        answer = ranged_page(
            self.visit,
            self.shown,
            template,
            name,
            meta,
            kept=self.kept,
            asked_query=self.query,
            here=self.here,
            range_pairs=list(pairs_of(self.shown).items()),
            box=box or FilterBox(self.filter),
            own=self.own,
            **context,
        )
        answer.status_code = status
        return answer

    def refused(self, problem: ApiProblem) -> FilterBox:
        """The box that says what is wrong with the filter. Raises the problem when it is about something else."""
        if not is_of_filter(problem):
            raise problem
        return refused_box(self.filter, problem)

    def unfiltered(self) -> Asked:
        return msgspec.structs.replace(self, filter="")


def asked_by(request: AnyRequest, own: Mapping[str, str] | None = None, *, default: str = DEFAULT) -> Asked:
    """Reads a URL. ``own`` are the page's own parameters with their defaults; those given otherwise are kept."""
    visit = visit_of(request)
    query = request.query_params
    given = {name: query.get(name, "")[:200] for name in own or {}}
    kept = {name: value for name, value in given.items() if value and value != (own or {})[name]}
    return Asked(visit, read_range(query, visit.zone, visit.now, default), read_filter(query), kept)

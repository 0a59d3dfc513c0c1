"""``GET /api/views``: pages that people keep. They are saved and deleted by commands."""

from __future__ import annotations

from typing import Any

from litestar import Request, get
from litestar.di import NamedDependency

from netally.api.database import Database
from netally.api.permissions import actor_limit
from netally.api.problems import UNAUTHORIZED, UNAVAILABLE
from netally.contracts.queries import SavedView, Session, ViewsAnswer


@get("/api/views", summary="Saved views", responses={**UNAUTHORIZED, **UNAVAILABLE})
async def views(request: Request[Any, Session, Any], database: NamedDependency[Database]) -> ViewsAnswer:
    """Everybody's, by name; a token for some hosts has its own alone, as addresses name hosts. The commands `save-view`
    and `delete-view` change them.
    """
    actor = actor_limit(request.auth)
    async with database.read("Ask again in a moment.") as (rows, _):
        return ViewsAnswer([SavedView(**row) for row in await rows("saved_views") if actor in (None, row["owner"])])

"""``GET /api/views``: pages that people keep. They are saved and deleted by commands."""

from __future__ import annotations

from litestar import get
from litestar.di import NamedDependency

from netally.api.database import Database
from netally.api.problems import UNAUTHORIZED, UNAVAILABLE
from netally.contracts.queries import SavedView, ViewsAnswer


@get("/api/views", summary="Saved views", responses={**UNAUTHORIZED, **UNAVAILABLE})
async def views(database: NamedDependency[Database]) -> ViewsAnswer:
    """Everybody's, by name. The commands `save-view` and `delete-view` change them."""
    async with database.read("Ask again in a moment.") as (rows, _):
        return ViewsAnswer([SavedView(**row) for row in await rows("saved_views")])

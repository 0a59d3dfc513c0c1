"""Handlers of save-view and delete-view: pages that people keep under a name, one row each in ``saved_view``."""

from __future__ import annotations

from collections.abc import Callable

import asyncpg

from netally.aggregator.command_runner import Done, Run
from netally.contracts.commands import DeleteView, RefusedError, SaveView
from netally.store import sql


class ViewCommands:
    """Both run in one lane, so that no two of a name are saved at the same time."""

    def __init__(self, pool: asyncpg.Pool, clock: Callable[[], int]) -> None:
        self._pool = pool
        self._clock = clock

    async def save(self, run: Run, wanted: SaveView) -> Done:
        """The view's id is the command's, so that the command run again after an interruption saves it once."""
        kept = {
            "name": " ".join(wanted.name.split()),
            "owner": run.command.actor or "nobody",
            "address": wanted.address,
            "now": self._clock(),
        }
        replaced = await sql.fetch_value(self._pool, "replace_view", **kept)
        if replaced is None:
            await sql.execute(self._pool, "add_view", id=run.command.id, **kept)
        result = {
            "view": replaced or run.command.id, "name": kept["name"], "address": wanted.address,
            "replaced": replaced is not None,
        }  # fmt: skip
        return Done(f"view {kept['name']} {'leads to a new place' if replaced else 'saved'}", result)

    async def delete(self, _: Run, wanted: DeleteView) -> Done:
        name = await sql.fetch_value(self._pool, "delete_view", id=wanted.view)
        if name is None:
            raise RefusedError(f"there is no view {wanted.view}", "view")
        return Done(f"view {name} deleted", {"view": wanted.view, "name": name})

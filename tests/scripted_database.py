"""A stand-in for the API's `Database` that answers statements from lists and keeps the arguments they came with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast
from zoneinfo import ZoneInfo

from netally.api.database import Database, Rows
from netally.api.problems import unavailable
from netally.store.counted import Counted


class ScriptedDatabase:
    def __init__(self, zone: str = "UTC", **statements: list[dict[str, Any]]) -> None:
        self.zone = ZoneInfo(zone)
        self.statements = {
            "coverage_by_host": [],
            "coverage_by_bucket": [],
            "tiers_held": [],
            "refused": [],
            **statements,
        }
        self.asked: dict[str, dict[str, Any]] = {}
        self.counted: dict[str, Counted | None] = {}
        self.reads = 0
        self.away = ""
        """Why it cannot be read, when it cannot."""

    @asynccontextmanager
    async def read(self, advice: str) -> AsyncIterator[tuple[Rows, ZoneInfo]]:
        self.reads += 1
        if self.away:
            raise unavailable(self.away)

        async def rows(statement: str, counted: Counted | None = None, /, **arguments: Any) -> list[Any]:
            self.asked[statement] = arguments
            self.counted[statement] = counted
            return self.statements[statement]

        yield rows, self.zone

    def as_database(self) -> Database:
        return cast("Database", self)


def make_fleet_row(number: int, name: str, **changes: Any) -> dict[str, Any]:
    """A row of statement ``fleet``: an agent that was heard at 1000 s and is complete until 995 s."""
    return {
        "id": number,
        "name": name,
        "kind": "agent",
        "mode": "packets",
        "mode_reason": "",
        "version": "0.1.0",
        "interval_seconds": 5,
        "paused": False,
        "reported_at": 1_000_000,
        "spool_batches": 0,
        "lost_batches": 0,
        "ring_drops": 0,
        "interfaces": "[]",
        "clock_offset_ms": None,
        "complete_until": 995_000,
        "heard_at": 1_000_000,
        **changes,
    }

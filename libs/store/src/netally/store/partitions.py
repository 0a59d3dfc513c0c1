"""Day partitions of the raw tables on plain PostgreSQL. TimescaleDB makes its chunks by itself."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Iterable

import asyncpg

from netally.store import sql
from netally.store.tables import Table

DAY_MS = 86_400_000


def days_of(times: Iterable[int]) -> set[int]:
    """Days since 1970 (UTC) of times in epoch milliseconds."""
    return {time // DAY_MS for time in times}


def _date(day: int) -> datetime.date:
    return datetime.date(1970, 1, 1) + datetime.timedelta(days=day)


class DayPartitions:
    """Makes the partitions of the days that are written to, each once. Safe with several writers."""

    def __init__(self, pool: asyncpg.Pool, backend: str) -> None:
        self._pool = pool
        self._needed = backend == "postgresql"
        self._made: set[int] = set()
        self._lock = asyncio.Lock()

    def part(self, table: Table, day: int) -> Table:
        """Where rows of a day that was ensured go: its partition, which spares the server finding it for every row."""
        return table._replace(name=f"{table.name}_{_date(day):%Y%m%d}") if self._needed else table

    async def ensure(self, days: set[int]) -> None:
        """Return when every day (since 1970, UTC) can be written to. Raises what the database raises."""
        if not self._needed or days <= self._made:
            return
        async with self._lock:
            for day in sorted(days - self._made):
                await sql.execute(self._pool, "make_day_partitions", day=_date(day))
                self._made.add(day)

    def forget(self) -> None:
        """Ask the database again next time: retention may have dropped a day, or it is another database now."""
        self._made.clear()

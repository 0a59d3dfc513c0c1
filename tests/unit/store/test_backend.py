"""What the two databases are told to do differently."""

from __future__ import annotations

from typing import Any

import pytest

from netally.store import backend
from netally.store.tiers import DAY, HOUR, find


class Recorder:
    """A connection that answers nothing and remembers what it was asked."""

    def __init__(self, row: Any = None) -> None:
        self.asked: list[str] = []
        self._row = row

    async def fetchrow(self, query: str, *arguments: Any) -> Any:
        return self._row

    async def fetchval(self, query: str, *arguments: Any) -> int:
        self.asked.append(query)
        return 1

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        self.asked.append(query)
        return []

    async def execute(self, query: str, *arguments: Any) -> str:
        self.asked.append(query)
        return ""


async def test_the_backend_is_what_the_first_migration_wrote() -> None:
    recorder: Any = Recorder({"backend": "timescaledb", "timezone": "Europe/Berlin"})
    assert await backend.find(recorder) == "timescaledb"
    assert await backend.timezone(recorder) == "Europe/Berlin"


async def test_a_database_without_that_word_is_refused() -> None:
    recorder: Any = Recorder()
    with pytest.raises(RuntimeError, match="migrate it"):
        await backend.find(recorder)


@pytest.mark.parametrize(("kind", "words"), [("postgresql", "refresh_rollup"), ("timescaledb", "CALL refresh_cont")])
async def test_every_relation_of_a_tier_is_made_anew(kind: str, words: str) -> None:
    recorder: Any = Recorder()
    await backend.rewrite(recorder, kind, find("1h"), 0, HOUR)
    assert sum(words in query for query in recorder.asked) == len(find("1h").relations)


async def test_plain_postgresql_has_no_columnstore() -> None:
    recorder: Any = Recorder()
    assert await backend.compress(recorder, "postgresql", 100 * DAY) == 0
    assert recorder.asked == []

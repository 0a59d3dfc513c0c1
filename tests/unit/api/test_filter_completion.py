from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from netally.api.filter_completion import complete_filter


class Names:
    async def names(self, field: str, prefix: str, limit: int) -> Sequence[str]:
        return [f"{prefix}-{field}"]


async def test_offers_and_what_is_wrong_come_together() -> None:
    database: Any = Names()
    answer = await complete_filter.fn(database=database, text="host = we")
    assert [(one.insert, one.start, one.end) for one in answer.completions] == [("we-host", 7, 9)]
    assert (answer.canonical, answer.problem) == ("host = we", "")
    unfinished = await complete_filter.fn(database=database, text="PORT =", cursor=2)
    assert unfinished.completions[0].insert == "port"
    assert (unfinished.canonical, unfinished.problem_start) == (None, 6)
    assert "column 7" in unfinished.problem

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from netally.api.filter_completion import complete_filter
from netally.api.visible import EVERY_HOST, VisibleHosts


class Names:
    async def names(self, field: str, prefix: str, limit: int) -> Sequence[str]:
        return [f"{prefix}-{field}"]


async def test_offers_and_what_is_wrong_come_together() -> None:
    database: Any = Names()
    answer = await complete_filter.fn(database=database, visible=EVERY_HOST, text="host = we")
    assert [(one.insert, one.start, one.end) for one in answer.completions] == [("we-host", 7, 9)]
    assert (answer.canonical, answer.problem) == ("host = we", "")
    unfinished = await complete_filter.fn(database=database, visible=EVERY_HOST, text="PORT =", cursor=2)
    assert unfinished.completions[0].insert == "port"
    assert (unfinished.canonical, unfinished.problem_start) == (None, 6)
    assert "column 7" in unfinished.problem


async def test_names_of_other_hosts_are_not_offered() -> None:
    database: Any = Names()
    visible = VisibleHosts(frozenset(["Web-1", "db-1"]))
    answer = await complete_filter.fn(database=database, visible=visible, text="host = we")
    assert [one.insert for one in answer.completions] == ["Web-1"]
    answer = await complete_filter.fn(database=database, visible=visible, text="app = fire")
    assert "fire-app" not in [one.insert for one in answer.completions]

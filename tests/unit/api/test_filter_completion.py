from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from netally.api.filter_completion import LONGEST_MS, complete_filter
from netally.api.problems import ProblemError
from netally.api.visible import EVERY_HOST, VisibleHosts
from netally.contracts.queries import CompletionsAnswer
from tests.scripted_database import ScriptedDatabase, make_fleet_row

NOW = 40 * 86_400_000


class Names:
    """What has traffic by a script, and one name without any for each field."""

    def __init__(self, **statements: list[dict[str, Any]]) -> None:
        fleet = [make_fleet_row(1, "web-1"), make_fleet_row(2, "db-1")]
        self.scripted = ScriptedDatabase(fleet=fleet, names_by_bytes=[], breakdown=[], apps=[])
        self.scripted.statements.update(statements)
        self.read = self.scripted.read

    async def names(self, field: str, prefix: str, limit: int) -> Sequence[str]:
        return [f"{prefix}-{field}"]


async def offered(names: Names, text: str, visible: VisibleHosts = EVERY_HOST, **parameters: Any) -> CompletionsAnswer:
    database: Any = names
    answer: CompletionsAnswer = await complete_filter.fn(
        database=database, clock=lambda: NOW, visible=visible, text=text, **parameters
    )
    return answer


async def test_offers_and_what_is_wrong_come_together() -> None:
    answer = await offered(Names(), "host = we")
    assert [(one.insert, one.start, one.end) for one in answer.completions] == [("we-host", 7, 9)]
    assert (answer.canonical, answer.problem) == ("host = we", "")
    unfinished = await offered(Names(), "PORT =", cursor=2)
    assert unfinished.completions[0].insert == "port"
    assert (unfinished.canonical, unfinished.problem_start) == (None, 6)
    assert "column 7" in unfinished.problem
    # Nothing was counted for it.
    assert unfinished.ranked_from is None


async def test_names_with_traffic_come_first() -> None:
    names = Names(names_by_bytes=[{"name": "we-2", "bytes": 900}, {"name": "we-1", "bytes": 30}])
    answer = await offered(names, "domain = we", range_="24h")
    assert [(one.insert, one.bytes) for one in answer.completions] == [("we-2", 900), ("we-1", 30), ("we-domain", 0)]
    assert names.scripted.asked["names_by_bytes"] == {"field": "domain", "pattern": "we%", "limit": 20}
    assert answer.ranked_from is not None
    assert answer.ranked_to is not None
    assert answer.ranked_to - answer.ranked_from <= 25 * 3_600_000


async def test_of_a_long_range_its_end_decides() -> None:
    names = Names()
    answer = await offered(names, "app = we", range_="1y")
    counted = names.scripted.counted["names_by_bytes"]
    assert counted is not None
    assert NOW - LONGEST_MS - 86_400_000 <= counted.start == answer.ranked_from
    assert counted.totals_suffice


async def test_ports_protocols_and_browsers_by_bytes() -> None:
    groups = [
        {"first": 6, "second": 0, "bytes_in": 1, "bytes_out": 2},
        {"first": 17, "second": 0, "bytes_in": 7, "bytes_out": 2},
    ]
    answer = await offered(Names(breakdown=groups), "protocol = ")
    assert [(one.insert, one.bytes) for one in answer.completions[:3]] == [("udp", 9), ("tcp", 3), ("icmp", None)]
    answer = await offered(Names(breakdown=groups), "port = 1")
    assert [(one.insert, one.bytes) for one in answer.completions[:2]] == [("17", 9), ("123", None)]
    apps = [{"id": 6, "name": "firefox", "executable": ""}, {"id": 17, "name": "curl", "executable": ""}]
    answer = await offered(Names(breakdown=groups, apps=apps), "browser = ")
    assert [(one.insert, one.bytes) for one in answer.completions[:2]] == [("none", 9), ("Firefox", 3)]


async def test_without_figures_names_are_offered_all_the_same() -> None:
    names = Names()
    names.scripted.away = "No figures now"
    answer = await offered(names, "app = fire")
    assert [(one.insert, one.bytes) for one in answer.completions] == [("fire-app", None)]
    assert answer.ranked_from is None


async def test_a_wrong_range_is_said() -> None:
    with pytest.raises(ProblemError) as wrong:
        await offered(Names(), "app = fire", range_="1h", from_="2026-01-01")
    assert wrong.value.problem.status == 400


async def test_names_of_other_hosts_are_not_offered() -> None:
    visible = VisibleHosts(frozenset(["Web-1", "db-1"]))
    answer = await offered(Names(), "host = we", visible)
    assert [one.insert for one in answer.completions] == ["Web-1"]
    answer = await offered(Names(), "app = fire", visible)
    assert "fire-app" not in [one.insert for one in answer.completions]

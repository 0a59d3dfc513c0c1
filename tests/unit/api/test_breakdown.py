from __future__ import annotations

import re
from typing import Any

import pytest

from netally.api.breakdown import DIMENSIONS, breakdown
from netally.api.problems import ProblemError
from netally.api.reading import Asking
from netally.api.visible import EVERY_HOST
from netally.contracts.queries import BreakdownAnswer
from netally.store import sql
from tests.scripted_database import ScriptedDatabase, make_fleet_row

MINUTE = 60_000
NOW = 10**12 // MINUTE * MINUTE


def make_group(place: int, first: int, second: int, bytes_in: int) -> dict[str, Any]:
    sums = dict.fromkeys(("bytes_out", "packets_in", "packets_out", "connections"), 0)
    totals = {"all_count": 5, "all_bytes_in": 100, "all_bytes_out": 0}
    ids = {"id": first, "first": first, "second": second, "place": place}
    return {**totals, **sums, **ids, "bytes_in": bytes_in, "last_used": NOW}


async def ask(by: str, **parameters: Any) -> tuple[ScriptedDatabase, BreakdownAnswer]:
    database = ScriptedDatabase(
        fleet=[make_fleet_row(1, "a"), make_fleet_row(2, "b")],
        breakdown=[make_group(1, 7, 2, 60), make_group(2, 7, 1, 30)],
        breakdown_timeline=[
            {"place": 0, "bin": NOW - 2 * MINUTE, "bytes_in": 10, "bytes_out": 0},
            {"place": 1, "bin": NOW - 2 * MINUTE, "bytes_in": 60, "bytes_out": 0},
        ],
        coverage_by_bucket=[{"bin": NOW - 2 * MINUTE, "host_id": 2, "measured_ms": MINUTE, "paused": False}],
        apps=[{"id": 7, "name": "curl", "executable": "/usr/bin/curl", "username": "ada"}],
        host_names=[{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
    )
    asked = Asking(database.as_database(), lambda: NOW, EVERY_HOST, from_=str(NOW - 2 * MINUTE))
    return database, await breakdown.fn(asked=asked, by=by, bucket="1m", **parameters)


async def test_groups_are_told_by_name_and_over_time() -> None:
    database, answer = await ask("app,host", top=1)
    assert answer.by == ["app", "host"]
    assert [[(value.by, value.name) for value in row.values] for row in answer.rows] == [
        [("app", "curl"), ("host", "b")],
        [("app", "curl"), ("host", "a")],
    ]
    assert answer.rows[0].values[0].user == "ada"
    assert (answer.others_count, answer.others_bytes_in) == (3, 10)
    largest, others = answer.series
    assert (largest.values, others.values) == (answer.rows[0].values, [])
    # Of one host, by what that host measured; the others by both hosts.
    assert [(point.bytes_in, point.measured) for point in largest.points] == [(60, 1.0), (None, 0.0)]
    assert [(point.bytes_in, point.measured) for point in others.points] == [(10, 0.5), (None, 0.0)]
    assert database.asked["breakdown_timeline"]["firsts"] == [7]
    counted = database.counted["breakdown"]
    assert counted is not None
    assert counted.totals_suffice


async def test_without_series_nothing_is_read_for_them() -> None:
    database, answer = await ask("app", top=0)
    assert answer.series == []
    assert "breakdown_timeline" not in database.asked


async def test_the_same_dimension_twice_is_refused_by_name() -> None:
    with pytest.raises(ProblemError) as caught:
        await ask("app,app")
    assert (caught.value.problem.status, caught.value.problem.parameter) == (400, "by")


def test_the_statements_know_every_dimension() -> None:
    for name in ("breakdown", "breakdown_timeline"):
        text = sql.statements()[name].text
        assert {*re.findall(r"WHEN '([a-z]+)' THEN [a-z_]+(?= |\n)", text)} >= set(DIMENSIONS), name

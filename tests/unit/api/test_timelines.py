from __future__ import annotations

from typing import Any

import pytest

from netally.api.problems import ProblemError
from netally.api.reading import Asking
from netally.api.timelines import read_timeline
from netally.api.visible import EVERY_HOST
from tests.builders import START
from tests.scripted_database import ScriptedDatabase, make_fleet_row

HOUR = 3_600_000
DAY = 24 * HOUR


def asked(held: int = 0, **changes: Any) -> tuple[ScriptedDatabase, Asking]:
    tiers = [{"name": name, "dropped_before": held} for name in ("raw", "1m")]
    database = ScriptedDatabase(
        "Europe/Vienna",
        fleet=[make_fleet_row(1, "a")],
        tiers_held=tiers,
        timeline=[{"place": 1, "band": 0, "name": "", "bin": START - HOUR, "bytes_in": 5, "bytes_out": 3}],
        coverage_by_bucket=[{"bin": START - HOUR, "host_id": 1, "measured_ms": HOUR, "paused": False}],
    )
    return database, Asking(database.as_database(), lambda: START, EVERY_HOST, **changes)


async def test_directions_are_two_series() -> None:
    _, asking = asked(range_="24h")
    answer = await read_timeline(asking, "1h", "direction")
    assert [(one.name, one.points[-1].bytes_in, one.points[-1].bytes_out) for one in answer.series] == [
        ("in", 5, 0),
        ("out", 0, 3),
    ]
    assert answer.series[0].points[0].bytes_out is None


async def test_protocols_have_words() -> None:
    database, asking = asked(range_="24h")
    database.statements["timeline"][0]["band"] = 17
    assert [one.name for one in (await read_timeline(asking, "1h", "protocol")).series] == ["udp"]


async def test_buckets_grow_when_the_finer_figures_are_gone() -> None:
    database, asking = asked(held=START, range_="1h", to=str(START - DAY))
    answer = await read_timeline(asking, None)
    assert (answer.bucket_seconds, answer.meta.tier) == (3600, "1h")
    with pytest.raises(ProblemError) as caught:
        await read_timeline(asking, "1m")
    assert caught.value.problem.parameter == "bucket"
    assert database.asked["timeline"]["edges"] is None


async def test_days_are_those_of_the_zone() -> None:
    database, asking = asked(range_="7d")
    answer = await read_timeline(asking, "1d")
    edges = database.asked["timeline"]["edges"]
    assert len(edges) == 9
    assert edges[0] == START - 7 * DAY - HOUR
    assert [point.time for point in answer.series[0].points] == edges[:-1]

from __future__ import annotations

from typing import Any

import pytest

from netally.api.historical import compare, heatmap
from netally.api.problems import ProblemError
from netally.api.reading import Asking
from netally.api.visible import EVERY_HOST
from tests.builders import START
from tests.scripted_database import ScriptedDatabase, make_fleet_row

HOUR = 3_600_000


async def test_cells_are_hours_of_the_zone_and_null_where_nothing_was_measured() -> None:
    # START is a Sunday, 00:00 UTC: 01:00 in Vienna.
    database = ScriptedDatabase(
        "Europe/Vienna",
        fleet=[make_fleet_row(1, "a")],
        bytes_by_bucket=[{"bin": START, "bytes_in": 7, "bytes_out": 1}],
        measured_by_bucket=[{"bin": START, "measured_ms": HOUR // 2}, {"bin": START + HOUR, "measured_ms": HOUR}],
    )
    asked = Asking(database.as_database(), lambda: START, EVERY_HOST, from_=str(START), to=str(START + 3 * HOUR))
    answer = await heatmap.fn(asked=asked)
    cells = {(cell.day, cell.hour): (cell.bytes_in, cell.measured) for cell in answer.cells}
    assert len(cells) == 168
    assert [cells[7, hour] for hour in range(4)] == [(None, 0.0), (7, 0.5), (0, 1.0), (None, 0.0)]
    assert answer.meta.tier == "1h"


async def test_the_end_of_the_range_before_needs_its_start() -> None:
    database: Any = ScriptedDatabase(fleet=[])
    for wrong in ({"before_to": "2026-01-01"}, {"before_from": "2026-01-02", "before_to": "2026-01-01"}):
        with pytest.raises(ProblemError) as caught:
            await compare.fn(asked=Asking(database.as_database(), lambda: START, EVERY_HOST), **wrong)
        assert caught.value.problem.parameter == next(iter(wrong))

from __future__ import annotations

from netally.api.ranges import TimeRange
from netally.api.reading import Asking, open_reading
from netally.api.sources import read_sources
from netally.api.visible import EVERY_HOST
from tests.scripted_database import ScriptedDatabase, make_fleet_row

NOW = 1_000_000_000_000
HOUR = 3_600_000
ROWS = [
    {"is_process": True, "source": 2, "bytes": 9},
    {"is_process": False, "source": 5, "bytes": 8},
    {"is_process": True, "source": 77, "bytes": 1},
]


async def test_of_a_long_range_the_last_hours_are_looked_at() -> None:
    database = ScriptedDatabase(fleet=[make_fleet_row(1, "a")], sources=ROWS)
    async with open_reading(Asking(database.as_database(), lambda: NOW, EVERY_HOST)) as reading:
        found, since = await read_sources(reading, TimeRange(NOW - 500 * HOUR, NOW + HOUR, "1d"), of_process=True)
        names, _ = await read_sources(reading, TimeRange(NOW - HOUR, NOW, "raw"), of_process=False)
    assert [(one.source, one.bytes) for one in found] == [("sock_diag", 9), ("77", 1)]
    assert since == NOW - 2 * HOUR
    assert [one.source for one in names] == ["dns"]


async def test_where_raw_flows_are_gone_nothing_is_told() -> None:
    database = ScriptedDatabase(fleet=[], tiers_held=[{"name": "raw", "dropped_before": NOW - HOUR}])
    async with open_reading(Asking(database.as_database(), lambda: NOW, EVERY_HOST)) as reading:
        assert await read_sources(reading, TimeRange(NOW - 9 * HOUR, NOW - 5 * HOUR, "1h"), of_process=True) == (
            [],
            None,
        )

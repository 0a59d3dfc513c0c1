from __future__ import annotations

import pytest

from netally.api.problems import ProblemError
from netally.api.ranges import TimeRange
from netally.api.reading import read_table, sums_of
from tests.scripted_database import ScriptedDatabase, make_fleet_row

NOW = 1_000_000_000_000


async def test_a_table_reads_the_fleet_then_the_snapped_range() -> None:
    database = ScriptedDatabase(fleet=[make_fleet_row(1, "a", interval_seconds=10), make_fleet_row(2, "b")])
    start = NOW - 605_000
    async with read_table(database.as_database(), lambda: NOW, str(start), None, None, ["a"]) as (reading, span):
        assert span == TimeRange(start - start % 10_000, NOW, "raw")
        assert reading.filters(span) == {
            "tier": "raw",
            "start": span.start,
            "end": span.end,
            "hosts": [1],
            "scopes": [0, 1, 2, 4],
            "both_sides": True,
        }
        meta = await reading.meta(span)
    assert (meta.start, meta.end, meta.hosts_missing) == (span.start, span.end, ["a"])
    assert database.asked["coverage_by_host"] == {"tier": "raw", "start": span.start, "end": NOW}


async def test_a_wrong_range_is_refused_before_the_database_is_asked() -> None:
    database = ScriptedDatabase()
    with pytest.raises(ProblemError):
        async with read_table(database.as_database(), lambda: NOW, "never", None, None, None):
            pass
    assert database.asked == {}


def test_what_is_not_among_the_rows_is_summed() -> None:
    totals = {"all_count": 9, "all_bytes_in": 100, "all_bytes_out": 50}
    rows = [{"bytes_in": 60, "bytes_out": 5, **totals}, {"bytes_in": 30, "bytes_out": 5, **totals}]
    assert sums_of(rows) == {
        "others_count": 7,
        "others_bytes_in": 10,
        "others_bytes_out": 40,
        "total_bytes_in": 100,
        "total_bytes_out": 50,
    }
    assert set(sums_of([]).values()) == {0}

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from netally.api.database import Rows
from netally.api.problems import ProblemError
from netally.api.ranges import TimeRange
from netally.api.reading import Asking, asking, open_reading, page_of, raw_span, read_table, sums_of
from netally.api.visible import EVERY_HOST
from netally.store.counted import Counted
from netally.store.filters.canonical import format_filter
from netally.store.filters.syntax import parse
from tests.scripted_database import ScriptedDatabase, make_fleet_row

NOW = 1_000_000_000_000


async def test_a_table_reads_the_fleet_then_the_snapped_range() -> None:
    database = ScriptedDatabase(fleet=[make_fleet_row(1, "a", interval_seconds=10), make_fleet_row(2, "b")])
    start = NOW - 605_000
    asked = Asking(database.as_database(), lambda: NOW, EVERY_HOST, from_=str(start), hosts=["a"])
    async with read_table(asked) as (reading, span):
        assert span == TimeRange(start - start % 10_000, NOW, "raw")
        assert reading.counted(span) == Counted(
            tier="raw", start=span.start, end=span.end, hosts=[1], scopes=[0, 1, 2, 4], both_sides=True
        )
        meta = await reading.meta(span)
    assert (meta.start, meta.end, meta.hosts_missing) == (span.start, span.end, ["a"])
    assert database.asked["coverage_by_host"] == {
        "tier": "raw",
        "start": span.start,
        "end": NOW,
        "starts": [span.start],
        "ends": [NOW],
        "hosts": [1],
    }


async def test_sums_read_whole_hours_from_the_tier_above() -> None:
    hour = 3_600_000
    this_hour = NOW - NOW % hour

    async def pieces(range_: str, filter_: str = "", held: int = 0) -> tuple[tuple[str, int, int], ...]:
        database = ScriptedDatabase(fleet=[make_fleet_row(1, "a")], tiers_held=[{"name": "1h", "dropped_before": held}])
        asked = Asking(database.as_database(), lambda: NOW, EVERY_HOST, range_=range_, filter_=parse(filter_))
        async with read_table(asked) as (reading, span):
            assert reading.counted(span).pieces == ()
            found = reading.counted(span, sums_suffice=True).pieces
            assert found == () or (found[0][1], found[-1][2]) == (span.start, span.end)
            return found

    day = await pieces("24h")
    assert [tier for tier, *_ in day] == ["1m", "1h", "1m"]
    assert day[1][1:] == (this_hour - 23 * hour, this_hour)
    # An amount is compared with a row of its tier; what the tier above has lost, or does not keep, it cannot tell.
    assert await pieces("24h", "bytes > 1MB") == ()
    assert await pieces("24h", held=this_hour) == ()
    assert await pieces("7d") == await pieces("1y") == ()


async def test_coverage_of_several_ranges_is_read_once_a_tier() -> None:
    reads: list[dict[str, Any]] = []

    class Counting(ScriptedDatabase):
        @asynccontextmanager
        async def read(self, advice: str) -> AsyncIterator[tuple[Rows, ZoneInfo]]:
            async with super().read(advice) as (rows, zone):

                async def counting(statement: str, counted: Counted | None = None, /, **arguments: Any) -> list[Any]:
                    if statement == "coverage_by_host":
                        reads.append(arguments)
                        return [{"place": len(arguments["starts"]), "host_id": 1, "measured_ms": 30_000}]
                    return await rows(statement, counted, **arguments)

                yield counting, zone

    database = Counting(fleet=[make_fleet_row(1, "a", heard_at=NOW, complete_until=NOW)])
    spans = [TimeRange(NOW - 60_000, NOW, tier) for tier in ("1m", "1h", "1m")]
    spans[2] = TimeRange(NOW - 120_000, NOW - 60_000, "1m")
    async with open_reading(Asking(database.as_database(), lambda: NOW, EVERY_HOST)) as reading:
        metas = await reading.metas(spans)
    assert [(one["tier"], one["start"], one["end"]) for one in reads] == [
        ("1m", NOW - 120_000, NOW),
        ("1h", NOW - 60_000, NOW),
    ]
    assert [meta.measured_share for meta in metas] == [0, 0.5, 0.5]


async def test_a_wrong_range_is_refused_before_the_database_is_asked() -> None:
    cases: list[dict[str, Any]] = [
        {"from_": "never"},
        {"tz": "Mars/Base"},
        {"tz": "../etc/passwd"},
        {"filter_": "app ="},
    ]
    for wrong in cases:
        with pytest.raises(ProblemError) as caught:
            asking(ScriptedDatabase().as_database(), lambda: NOW, EVERY_HOST, **wrong)
        assert (caught.value.problem.status, caught.value.problem.parameter) == (400, next(iter(wrong)).rstrip("_"))


def scripted(**held: int) -> ScriptedDatabase:
    fleet = [make_fleet_row(1, "Web-1"), make_fleet_row(2, "b"), make_fleet_row(3, "c", kind="replay")]
    tiers = [{"name": name, "dropped_before": time} for name, time in held.items()]
    return ScriptedDatabase("Europe/Vienna", fleet=fleet, tiers_held=tiers)


@pytest.mark.parametrize(
    ("text", "hosts", "scopes", "both_sides"),
    [
        ("", None, [0, 1, 2, 4], False),
        ("host = web-1", [1], [0, 1, 2, 4], True),
        ("host in web-1, b and port = 443", [1, 2], [0, 1, 2, 4], False),
        ("host = web-1 or port = 443", None, [0, 1, 2, 4], False),
        ("host = nobody", [], [0, 1, 2, 4], False),
        ("host = c", [3], [0, 1, 2, 4, 5], True),
        ("scope = loopback", None, [0, 1, 2, 3, 4], False),
        ("scope = replay", None, [0, 1, 2, 4], False),
        ("role = server and app = nginx", None, [0, 1, 2, 4], True),
    ],
)
async def test_a_filter_says_which_hosts_and_scopes_as_a_parameter_does(
    text: str, hosts: list[int] | None, scopes: list[int], both_sides: bool
) -> None:
    async with open_reading(asking(scripted().as_database(), lambda: NOW, EVERY_HOST, filter_=text)) as reading:
        fleet = reading.fleet
        meta = await reading.meta(reading.span(NOW - 1000, NOW))
    assert (fleet.host_ids, fleet.scopes, fleet.both_sides) == (hosts, scopes, both_sides)
    assert meta.hosts_expected == (2 if hosts is None else len(hosts))
    assert (meta.filter, meta.timezone) == (format_filter(parse(text)), "Europe/Vienna")


async def test_a_filter_is_refused_with_its_place_where_raw_flows_are_gone() -> None:
    database = scripted(raw=NOW - 1000)
    async with open_reading(
        asking(database.as_database(), lambda: NOW, EVERY_HOST, filter_="port = 443 and remote = ::1")
    ) as reading:
        assert reading.span(NOW - 1000, NOW).tier == "raw"
        with pytest.raises(ProblemError) as caught:
            reading.span(NOW - 1001, NOW)
    found = caught.value.problem
    assert (found.status, found.parameter, found.start, found.end, found.tier) == (422, "filter", 15, 27, "raw")
    assert "column 16" in found.detail


async def test_an_amount_says_what_it_was_compared_with() -> None:
    async with open_reading(
        asking(scripted().as_database(), lambda: NOW, EVERY_HOST, filter_="bytes > 1MB")
    ) as reading:
        meta = await reading.meta(reading.span(NOW - 3 * 3_600_000, NOW))
    assert "one minute" in meta.filter_row


async def test_what_only_raw_flows_tell_is_refused_with_the_day_they_begin() -> None:
    asked = asking(scripted(raw=NOW - 60_000).as_database(), lambda: NOW, EVERY_HOST)
    async with open_reading(asked) as reading:
        with pytest.raises(ProblemError) as caught:
            raw_span(asked, reading)
    assert (caught.value.problem.status, caught.value.problem.parameter) == (422, "from")
    assert "2001-09-09T03:45+02:00" in caught.value.problem.detail


def test_what_is_not_among_the_rows_is_summed() -> None:
    totals = {"id": 1, "all_count": 9, "all_bytes_in": 100, "all_bytes_out": 50}
    rows = [{"bytes_in": 60, "bytes_out": 5, **totals}, {"bytes_in": 30, "bytes_out": 5, **totals}]
    assert sums_of(rows) == {
        "others_count": 7,
        "others_bytes_in": 10,
        "others_bytes_out": 40,
        "total_bytes_in": 100,
        "total_bytes_out": 50,
    }
    beyond = [{**totals, "id": None, "bytes_in": None, "bytes_out": None}]
    assert (page_of(beyond), sums_of(beyond)["others_count"], sums_of(beyond)["others_bytes_in"]) == ([], 9, 100)

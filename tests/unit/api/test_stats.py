from __future__ import annotations

from typing import Any

import pytest

from netally.api.live import LiveTraffic
from netally.api.problems import ProblemError, unavailable
from netally.api.reading import Asking
from netally.api.stats import bandwidth, timeline
from netally.api.visible import EVERY_HOST, VisibleHosts
from tests.builders import START, make_live_sample
from tests.scripted_database import ScriptedDatabase, make_fleet_row

HOUR = 3_600_000


def hour_of_points(split: str, **changes: Any) -> Any:
    """A timeline of the two hours before START in buckets of 30 minutes; host 2 measured the last alone."""
    database = ScriptedDatabase(
        fleet=[make_fleet_row(1, "a"), make_fleet_row(2, "b")],
        coverage_by_bucket=[
            {"bin": START - 2 * HOUR, "host_id": 1, "measured_ms": 1_800_000, "paused": False},
            {"bin": START - HOUR, "host_id": 1, "measured_ms": 900_000, "paused": True},
            {"bin": START - HOUR // 2, "host_id": 2, "measured_ms": 1_800_000, "paused": False},
            {"bin": START - HOUR // 2, "host_id": 99, "measured_ms": 1_800_000, "paused": False},
        ],
        **changes,
    )
    return timeline.fn(
        asked=Asking(database.as_database(), lambda: START, EVERY_HOST, from_=str(START - 2 * HOUR)),
        bucket="30m",
        split=split,
    )


def row(place: int, band: int, name: str, bin_: int, bytes_in: int) -> dict[str, Any]:
    return {"place": place, "band": band, "name": name, "bin": bin_, "bytes_in": bytes_in, "bytes_out": 1}


async def test_a_measured_zero_is_0_and_a_gap_is_null() -> None:
    answer = await hour_of_points("none", timeline=[row(1, 0, "", START - 2 * HOUR, 500)])
    (series,) = answer.series
    assert (series.name, series.id, answer.bucket_seconds) == ("all", None, 1800)
    assert [(point.bytes_in, point.measured) for point in series.points] == [
        (500, 0.5),
        (None, 0.0),
        (0, 0.25),
        (0, 0.5),
    ]


async def test_a_pause_is_told() -> None:
    answer = await hour_of_points("host", timeline=[row(1, 1, "a", START - HOUR, 9), row(2, 2, "b", START - HOUR, 9)])
    assert [[point.paused for point in series.points] for series in answer.series] == [
        [False, False, True, False],
        [False, False, False, False],
    ]
    (together,) = (await hour_of_points("none", timeline=[])).series
    assert [point.paused for point in together.points] == [False, False, True, False]


async def test_a_host_has_its_own_gaps() -> None:
    answer = await hour_of_points(
        "host", timeline=[row(1, 1, "a", START - 2 * HOUR, 500), row(2, 2, "b", START - HOUR // 2, 7)]
    )
    assert [(series.name, series.id) for series in answer.series] == [("a", 1), ("b", 2)]
    assert [point.bytes_in for point in answer.series[0].points] == [500, None, 0, None]
    assert [point.bytes_in for point in answer.series[1].points] == [None, None, None, 7]
    assert answer.series[1].points[3].measured == 1.0


async def test_the_rest_of_a_split_is_called_others() -> None:
    rows = [row(1, 5, "others", START - HOUR, 9), row(2, 0, "", START - HOUR, 8), row(3, -1, "", START - HOUR, 3)]
    answer = await hour_of_points("app", timeline=rows)
    assert [(series.name, series.id) for series in answer.series] == [("others", 5), ("", 0), ("others", None)]


async def test_no_rows_are_one_series_or_none() -> None:
    assert [series.name for series in (await hour_of_points("none", timeline=[])).series] == ["all"]
    assert (await hour_of_points("app", timeline=[])).series == []


def make_live(seconds: int = 12) -> LiveTraffic:
    live = LiveTraffic()
    for second in range(1, seconds + 1):
        for host, size in (("a", 1_000), ("b", 200)):
            end = START + second * 1000
            live.add(make_live_sample(host=host, time=end, bytes_in=size, bytes_out=0), end)
    return live


async def test_bandwidth_lists_known_and_heard_hosts() -> None:
    database = ScriptedDatabase(
        fleet=[make_fleet_row(1, "a", heard_at=START, complete_until=START), make_fleet_row(2, "z")]
    )
    answer = await bandwidth.fn(
        database=database.as_database(), live=make_live(), clock=lambda: START + 12_000, visible=EVERY_HOST
    )
    assert [(host.host, host.bytes_in) for host in answer.hosts] == [("a", 1000), ("b", 200), ("z", None)]
    assert (answer.total.bytes_in, answer.total.bytes_out) == (1200, 0)
    assert answer.history_in[-5:] == pytest.approx([1200] * 5)
    assert len(answer.movers) == 2
    meta = answer.meta
    assert (meta.tier, meta.hosts_expected, meta.hosts_reported, meta.hosts_missing) == ("live", 3, 2, ["z"])
    assert (meta.end - meta.start, meta.complete_until) == (60_000, START)


async def test_bandwidth_needs_no_database() -> None:
    class Away(ScriptedDatabase):
        def read(self, advice: str) -> Any:
            raise unavailable("away")

    answer = await bandwidth.fn(
        database=Away().as_database(), live=make_live(), clock=lambda: START + 12_000, visible=EVERY_HOST, limit=0
    )
    assert (answer.total.bytes_in, answer.movers, answer.meta.complete_until) == (1200, [], None)


async def test_bandwidth_of_some_hosts_is_theirs_alone() -> None:
    database = ScriptedDatabase(fleet=[])
    answer = await bandwidth.fn(
        database=database.as_database(), live=make_live(), clock=lambda: START + 12_000, visible=EVERY_HOST, host=["b"]
    )
    assert (answer.total.bytes_in, [mover.host for mover in answer.movers]) == (200, ["b"])
    assert answer.history_in[-3:] == pytest.approx([200] * 3)
    with pytest.raises(ProblemError) as caught:
        await bandwidth.fn(
            database=database.as_database(), live=make_live(), clock=lambda: START, visible=EVERY_HOST, host=["nobody"]
        )
    assert caught.value.problem.parameter == "host"


async def test_bandwidth_of_hosts_that_are_not_visible_is_not_told() -> None:
    answer = await bandwidth.fn(
        database=ScriptedDatabase(fleet=[]).as_database(),
        live=make_live(),
        clock=lambda: START + 12_000,
        visible=VisibleHosts(frozenset(["b"])),
    )
    assert ([host.host for host in answer.hosts], {mover.host for mover in answer.movers}) == (["b"], {"b"})
    assert answer.total.bytes_in == 200
    assert answer.history_in[-3:] == pytest.approx([200] * 3)


async def test_bandwidth_of_an_application_is_that_of_its_movers() -> None:
    answer = await bandwidth.fn(
        database=ScriptedDatabase(fleet=[]).as_database(),
        live=make_live(),
        clock=lambda: START + 12_000,
        visible=EVERY_HOST,
        filter_="app = nobody",
    )
    assert ([host.bytes_in for host in answer.hosts], answer.movers) == ([0, 0], [])
    assert answer.history_in[-3:] == [0, 0, 0]
    assert (answer.meta.filter, answer.meta.filter_row != "") == ("app = nobody", True)


async def test_bandwidth_without_any_host_is_null() -> None:
    answer = await bandwidth.fn(
        database=ScriptedDatabase(fleet=[]).as_database(), live=LiveTraffic(), clock=lambda: START, visible=EVERY_HOST
    )
    assert (answer.total.bytes_in, answer.hosts, set(answer.history_in)) == (None, [], {None})
    assert answer.meta.measured_share is None

from __future__ import annotations

from typing import Any

import pytest

from netally.api import coverage
from netally.api.problems import ProblemError
from netally.api.ranges import TimeRange

NOW = 1_000_000
SPAN = TimeRange(start=900_000, end=1_020_000, tier="raw")


def make_host(number: int = 1, name: str = "web-1", **changes: Any) -> coverage.HostState:
    values: dict[str, Any] = {
        "id": number,
        "name": name,
        "kind": "agent",
        "interval": 5,
        "paused": False,
        "heard_at": NOW - 2_000,
        "complete_until": NOW - 5_000,
    }
    return coverage.HostState(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "reporting"),
        ({"paused": True}, "paused"),
        ({"heard_at": None}, "never"),
        ({"heard_at": NOW - 15_000}, "reporting"),
        ({"heard_at": NOW - 15_001}, "silent"),
        ({"heard_at": NOW - 15_001, "paused": True}, "silent"),
        ({"heard_at": NOW - 9_000, "interval": 1}, "reporting"),
        ({"heard_at": NOW - 180_000, "interval": 60}, "reporting"),
        ({"heard_at": NOW - 180_001, "interval": 60}, "silent"),
        ({"heard_at": NOW - 900_000, "kind": "replay", "interval": None}, "reporting"),
    ],
)
def test_a_host_is_silent_after_three_intervals(changes: dict[str, Any], state: str) -> None:
    assert coverage.state_of(make_host(**changes), NOW) == state


def test_all_agents_are_expected_and_replays_only_by_name() -> None:
    hosts = [make_host(1, "a"), make_host(2, "b"), make_host(3, "capture.pcap", kind="replay")]
    fleet = coverage.fleet_of(hosts, None)
    assert ([host.id for host in fleet.hosts], fleet.host_ids, fleet.both_sides) == ([1, 2], None, False)
    assert fleet.scopes == [0, 1, 2, 4]
    fleet = coverage.fleet_of(hosts, ["capture.pcap"])
    assert (fleet.host_ids, fleet.scopes, fleet.both_sides) == ([3], [0, 1, 2, 4, 5], True)
    fleet = coverage.fleet_of(hosts, ["b", "a", "b"])
    assert (fleet.host_ids, fleet.both_sides) == ([2, 1], False)


def test_an_unknown_host_is_refused() -> None:
    with pytest.raises(ProblemError) as caught:
        coverage.fleet_of([make_host()], ["web-1", "web-9"])
    assert (caught.value.problem.status, caught.value.problem.parameter) == (400, "host")


def test_complete_until_is_the_least_of_the_hosts_that_report() -> None:
    hosts = [
        make_host(1, "a", complete_until=NOW - 5_000),
        make_host(2, "b", complete_until=NOW - 60_000),
        make_host(3, "c", complete_until=NOW - 90_000, heard_at=NOW - 80_000),
    ]
    assert coverage.complete_until(hosts, NOW) == NOW - 60_000
    assert coverage.complete_until(hosts[2:], NOW) is None
    assert coverage.complete_until([make_host(complete_until=None)], NOW) is None


def test_the_share_does_not_call_late_data_unmeasured() -> None:
    fleet = coverage.fleet_of([make_host(1, "a"), make_host(2, "b", complete_until=NOW - 10_000)], None)
    until = coverage.measured_until(fleet, SPAN, NOW)
    assert until == NOW - 10_000
    meta = coverage.meta(fleet, SPAN, {1: 90_000, 2: 45_000, 9: 10**9}, until, NOW, 3)
    assert (meta.measured_share, meta.complete_until, meta.read_ms) == (0.75, NOW - 10_000, 3)
    assert (meta.start, meta.end, meta.tier) == (900_000, 1_020_000, "raw")


def test_silent_hosts_are_named_and_count_as_unmeasured() -> None:
    fleet = coverage.fleet_of(
        [make_host(1, "a"), make_host(2, "b", heard_at=NOW - 50_000), make_host(3, "c", heard_at=None)], None
    )
    until = coverage.measured_until(fleet, SPAN, NOW)
    meta = coverage.meta(fleet, SPAN, {1: until - SPAN.start}, until, NOW, 0)
    assert (meta.hosts_expected, meta.hosts_reported, meta.hosts_missing) == (3, 1, ["b", "c"])
    assert meta.measured_share == pytest.approx(1 / 3)


def test_no_hosts_have_no_share() -> None:
    fleet = coverage.fleet_of([], None)
    meta = coverage.meta(fleet, SPAN, {}, coverage.measured_until(fleet, SPAN, NOW), NOW, 0)
    assert (meta.hosts_expected, meta.measured_share, meta.complete_until) == (0, None, None)


def test_a_range_that_is_not_in_yet_is_not_measured() -> None:
    fleet = coverage.fleet_of([make_host(complete_until=SPAN.start - 60_000)], None)
    until = coverage.measured_until(fleet, SPAN, NOW)
    assert until == NOW
    assert coverage.meta(fleet, SPAN, {}, until, NOW, 0).measured_share == 0
    future = TimeRange(start=NOW + 60_000, end=NOW + 120_000, tier="raw")
    assert coverage.meta(fleet, future, {}, coverage.measured_until(fleet, future, NOW), NOW, 0).measured_share is None

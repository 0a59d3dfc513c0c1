"""Every figure of the query endpoints against brute force over the rows that were stored."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest

from netally.contracts.codes import DomainSource, Role, Scope
from tests.api_in_process import RunningApi, running_api
from tests.builders import START
from tests.migrated_database import DEPLOYMENT_ZONE
from tests.stored_traffic import MINUTE, StoredFlow, StoredTraffic, make_traffic, store

ZONE = ZoneInfo(DEPLOYMENT_ZONE)
NOW = START + 3 * 60 * MINUTE
"""03:00 UTC."""


class Loaded(NamedTuple):
    api: RunningApi
    traffic: StoredTraffic


@pytest.fixture
async def loaded(migrated_database_url: str) -> AsyncIterator[Loaded]:
    """Two hours of traffic up to now, in a deployment of a zone other than UTC."""
    traffic = make_traffic(seed=11, end=NOW, minutes=120)
    await store(migrated_database_url, traffic)
    async with running_api(migrated_database_url, clock=lambda: NOW) as api:
        yield Loaded(api, traffic)


def counted(traffic: StoredTraffic, start: int, end: int, hosts: Iterable[str] = ()) -> list[StoredFlow]:
    """The rows that a table of totals is made of, by the rules of the design."""
    names = {host.id: host for host in traffic.hosts}
    asked = set(hosts)

    def counts(flow: StoredFlow) -> bool:
        host = names[flow.host_id]
        if not start <= flow.time < end or flow.scope == Scope.LOOPBACK or (asked and host.name not in asked):
            return False
        if flow.scope == Scope.REPLAY:
            return host.name in asked
        return not (flow.scope == Scope.PEER and flow.role == Role.SERVER) or len(asked) == 1

    return [flow for flow in traffic.flows if counts(flow)]


def sums(flows: Iterable[StoredFlow], key: Callable[[StoredFlow], Any]) -> dict[Any, tuple[int, int]]:
    found: dict[Any, list[int]] = defaultdict(lambda: [0, 0])
    for flow in flows:
        found[key(flow)][0] += flow.bytes_in
        found[key(flow)][1] += flow.bytes_out
    return {name: (values[0], values[1]) for name, values in found.items()}


def day_of(moment: int) -> int:
    day = datetime.fromtimestamp(moment / 1000, ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
    return int(day.timestamp() * 1000)


def bucket_of(moment: int, seconds: int) -> int:
    return day_of(moment) if seconds == 86400 else moment - moment % (seconds * 1000)


def random_queries(count: int) -> list[dict[str, Any]]:
    """Ranges of every tier, with and without hosts."""
    chance = random.Random(5)
    queries = []
    for _ in range(count):
        end = NOW - chance.randrange(0, 90 * MINUTE)
        length = chance.choice(
            (7 * MINUTE, 40 * MINUTE, 119 * MINUTE, 3 * 60 * MINUTE, 5 * 1440 * MINUTE, 400 * 1440 * MINUTE)
        )
        hosts = chance.choice(([], [], ["db-1"], ["web-1.example.org", "web-2.example.org"], ["capture.pcap"]))
        queries.append({"from_": end - length, "to": end, "host": hosts})
    return queries


def check_snapping(meta: dict[str, Any], query: dict[str, Any]) -> None:
    """The range read holds the range asked and ends on buckets of the tier."""
    assert meta["start"] <= query["from_"]
    assert meta["end"] >= query["to"]
    length = {"raw": 30_000, "1m": MINUTE, "1h": 60 * MINUTE, "1d": 1440 * MINUTE}[meta["tier"]]
    assert query["from_"] - meta["start"] < length
    assert meta["end"] - query["to"] < length
    if meta["tier"] == "1d":
        assert [day_of(meta["start"]), day_of(meta["end"])] == [meta["start"], meta["end"]]


async def test_applications_equal_brute_force(loaded: Loaded) -> None:
    for query in random_queries(25):
        answer = await loaded.api.get("/api/applications", **query, limit=4)
        check_snapping(answer["meta"], query)
        flows = counted(loaded.traffic, answer["meta"]["start"], answer["meta"]["end"], query["host"])
        by_app = sums(flows, lambda flow: flow.app_id)
        wanted = sorted(by_app, key=lambda app: (-sum(by_app[app]), loaded.traffic.apps[app][0], app))
        rows = answer["applications"]
        assert [row["id"] for row in rows] == wanted[:4]
        assert answer["others_count"] == max(len(wanted) - 4, 0)
        assert answer["total_bytes_in"] == sum(flow.bytes_in for flow in flows)
        assert answer["total_bytes_out"] == sum(flow.bytes_out for flow in flows)
        assert answer["others_bytes_in"] == sum(by_app[app][0] for app in wanted[4:])
        assert answer["others_bytes_out"] == sum(by_app[app][1] for app in wanted[4:])
        for row in rows:
            own = [flow for flow in flows if flow.app_id == row["id"]]
            assert (row["bytes_in"], row["bytes_out"]) == by_app[row["id"]]
            assert (row["name"], row["executable"], row["user"]) == loaded.traffic.apps[row["id"]]
            assert row["connections"] == sum(flow.connections for flow in own)
            assert row["domains"] == len({flow.domain_id for flow in own} - {0})
            assert row["hosts"] == len({flow.host_id for flow in own})
            assert row["last_used"] == max(flow.time for flow in own)


async def test_domains_equal_brute_force(loaded: Loaded) -> None:
    sources = DomainSource.labels()
    for query in random_queries(20):
        answer = await loaded.api.get("/api/domains", **query, limit=7)
        flows = counted(loaded.traffic, answer["meta"]["start"], answer["meta"]["end"], query["host"])
        by_domain = sums(flows, lambda flow: flow.domain_id)
        wanted = sorted(by_domain, key=lambda number: (-sum(by_domain[number]), loaded.traffic.domains[number], number))
        assert [row["id"] for row in answer["domains"]] == wanted[:7]
        assert answer["others_count"] == max(len(wanted) - 7, 0)
        assert answer["total_bytes_in"] == sum(flow.bytes_in for flow in flows)
        assert answer["others_bytes_out"] == sum(by_domain[number][1] for number in wanted[7:])
        for row in answer["domains"]:
            own = [flow for flow in flows if flow.domain_id == row["id"]]
            assert (row["bytes_in"], row["bytes_out"]) == by_domain[row["id"]]
            assert row["name"] == loaded.traffic.domains[row["id"]]
            assert (row["hosts"], row["connections"]) == (
                len({flow.host_id for flow in own}),
                sum(flow.connections for flow in own),
            )
            users = sums(own, lambda flow: flow.app_id)
            order = sorted(users, key=lambda app: (-sum(users[app]), app))[:5]
            assert row["applications"] == [
                {"id": app, "name": loaded.traffic.apps[app][0], "bytes": sum(users[app]), "browser": ""}
                for app in order
            ]
            if answer["meta"]["tier"] == "raw" and row["id"]:
                how = sums(own, lambda flow: flow.domain_source)
                assert row["sources"] == [sources[n] for n in sorted(how, key=lambda n: (-sum(how[n]), n))]
            else:
                assert row["sources"] == []


async def test_sort_orders_the_rows(loaded: Loaded) -> None:
    for sort in ("bytes_in", "bytes_out", "connections", "last_used", "name"):
        for table in ("applications", "domains"):
            rows = (await loaded.api.get(f"/api/{table}", range="1h", sort=sort))[table]
            assert len(rows) > 5
            values = [row[sort] for row in rows]
            assert values == sorted(values, reverse=sort != "name")


async def test_hosts_equal_brute_force(loaded: Loaded) -> None:
    names = {host.id: host.name for host in loaded.traffic.hosts}
    for query in random_queries(10):
        answer = await loaded.api.get("/api/hosts", **query)
        start, end = answer["meta"]["start"], answer["meta"]["end"]
        own = [
            flow for flow in loaded.traffic.flows if start <= flow.time < end and flow.scope != Scope.LOOPBACK
        ]  # its own side of every flow
        by_host = sums(own, lambda flow: names[flow.host_id])
        assert [row["name"] for row in answer["hosts"]] == sorted(query["host"] or names.values())
        for row in answer["hosts"]:
            assert (row["bytes_in"], row["bytes_out"]) == by_host.get(row["name"], (0, 0))
            assert row["state"] == "reporting"
            assert row["interfaces"] == (["eth0"] if row["kind"] == "agent" else [])


def _band(number: int, top: list[int]) -> int:
    return number if number in top else -1


@pytest.mark.parametrize("split", ["none", "app", "domain", "host"])
async def test_timeline_equals_brute_force(loaded: Loaded, split: str) -> None:
    keys: dict[str, Callable[[StoredFlow], int]] = {
        "none": lambda flow: 0,
        "app": lambda flow: flow.app_id,
        "domain": lambda flow: flow.domain_id,
        "host": lambda flow: flow.host_id,
    }
    for query in random_queries(12):
        answer = await loaded.api.get("/api/stats/timeline", **query, split=split, top=2)
        start, end, seconds = answer["meta"]["start"], answer["meta"]["end"], answer["bucket_seconds"]
        assert start <= query["from_"]
        assert end >= query["to"]
        flows = counted(loaded.traffic, start, end, query["host"])
        totals = sums(flows, keys[split])
        top = sorted(totals, key=lambda number: (-sum(totals[number]), number))[:2]
        grid = sums(
            [
                flow._replace(time=bucket_of(flow.time, seconds), site_id=_band(keys[split](flow), top))
                for flow in flows
            ],
            lambda flow: (flow.site_id, flow.time),
        )
        wanted_ids = [None] if split == "none" else [*top, *([None] if len(totals) > 2 else [])]
        assert [series["id"] for series in answer["series"]] == wanted_ids
        for series in answer["series"]:
            if split == "none":
                assert series["name"] == "all"
                number = 0
            else:
                number = -1 if series["id"] is None else series["id"]
                assert (series["name"] == "others") == (number == -1)
            times = [point["time"] for point in series["points"]]
            assert times[0] == start
            assert times == sorted({bucket_of(moment, seconds) for moment in times})
            assert {bucket for band, bucket in grid if band == number} <= set(times)
            for point in series["points"]:
                expected = grid.get((number, point["time"]))
                if expected:
                    assert (point["bytes_in"], point["bytes_out"]) == expected
                else:
                    assert point["bytes_in"] in (0, None)


async def test_gaps_are_null_and_zeros_are_zero(loaded: Loaded) -> None:
    """A bucket is null exactly when no host measured a moment of it."""
    for host in (None, "db-1"):
        answer = await loaded.api.get(
            "/api/stats/timeline", from_=NOW - 150 * MINUTE, to=NOW, bucket="30s", **({"host": host} if host else {})
        )
        ids = {one.id for one in loaded.traffic.hosts if one.kind == "agent" and host in (None, one.name)}
        measured: Counter[int] = Counter()
        paused: set[int] = set()
        for row in loaded.traffic.coverage:
            if row.host_id in ids:
                measured[row.time - row.time % 30_000] += row.measured_ms
                paused |= {row.time - row.time % 30_000} if row.paused else set()
        points = answer["series"][0]["points"]
        assert len(points) == 300
        assert sum(point["bytes_in"] is None for point in points) >= 60  # the half hour before the first interval
        for point in points:
            share = measured[point["time"]] / (30_000 * len(ids))
            assert point["measured"] == pytest.approx(share)
            assert (point["bytes_in"] is None) == (share == 0)
            assert point["paused"] == (point["time"] in paused)


async def test_meta_tells_measured_share_and_missing_hosts(migrated_database_url: str) -> None:
    traffic = make_traffic(seed=3, end=NOW, minutes=60)
    await store(migrated_database_url, traffic)
    agents = {host.id for host in traffic.hosts if host.kind == "agent"}
    measured = sum(row.measured_ms for row in traffic.coverage if row.host_id in agents)

    async with running_api(migrated_database_url, clock=lambda: NOW + 7_000) as api:
        meta = (await api.get("/api/applications", range="1h"))["meta"]
        start = meta["start"]
        early = sum(row.measured_ms for row in traffic.coverage if row.host_id in agents and row.time < start)
        # What is not in yet is late: the share ends where every host is complete.
        assert meta["measured_share"] == pytest.approx((measured - early) / (3 * (NOW - start)))
        assert meta["complete_until"] == NOW
        assert (meta["hosts_expected"], meta["hosts_reported"], meta["hosts_missing"]) == (3, 3, [])

    async with running_api(migrated_database_url, clock=lambda: NOW + 40_000) as api:
        meta = (await api.get("/api/applications", range="1h"))["meta"]
        # Three intervals of db-1 are 45 s, of web-2 30 s, of web-1 15 s.
        assert meta["hosts_missing"] == ["web-1.example.org", "web-2.example.org"]
        assert (meta["hosts_expected"], meta["hosts_reported"], meta["complete_until"]) == (3, 1, NOW)

    async with running_api(migrated_database_url, clock=lambda: NOW + 3_600_000) as api:
        meta = (await api.get("/api/applications", range="15m"))["meta"]
        assert (meta["hosts_reported"], meta["complete_until"], meta["measured_share"]) == (0, None, 0.0)


async def test_times_without_offset_are_of_the_deployments_zone(loaded: Loaded) -> None:
    day = datetime(2026, 11, 22, 3, 30, tzinfo=ZONE)
    answer = await loaded.api.get(
        "/api/applications", from_="2026-11-22T03:30", to=(day + timedelta(hours=1)).isoformat()
    )
    assert answer["meta"]["start"] == int(day.timestamp() * 1000)
    assert answer["meta"]["end"] == int(day.timestamp() * 1000) + 3_600_000


async def test_what_only_the_data_can_tell_is_refused(loaded: Loaded) -> None:
    for path, query, parameter in (
        ("/api/applications", {"host": "nobody"}, "host"),
        ("/api/stats/bandwidth", {"host": "nobody"}, "host"),
        ("/api/stats/timeline", {"bucket": "5s", "range": "1h"}, "bucket"),  # there are intervals of 10 and 15 s
        ("/api/stats/timeline", {"bucket": "30s", "range": "24h"}, "bucket"),
    ):
        answer = await loaded.api.client.get(path, params=query)
        assert (answer.status_code, answer.json()["parameter"]) == (400, parameter)


async def test_nothing_in_range_is_an_answer(loaded: Loaded) -> None:
    for table in ("applications", "domains"):
        answer = await loaded.api.get(f"/api/{table}", from_="2025-01-01T00:00:00Z", to="2025-01-01T01:00:00Z")
        assert (answer[table], answer["total_bytes_in"], answer["others_count"]) == ([], 0, 0)
        assert answer["meta"]["measured_share"] == 0.0
    series = (await loaded.api.get("/api/stats/timeline", from_="2025-01-01T00:00:00Z", to="2025-01-01T01:00:00Z"))[
        "series"
    ]
    assert [one["name"] for one in series] == ["all"]
    assert {point["bytes_in"] for point in series[0]["points"]} == {None}

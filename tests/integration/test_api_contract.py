"""Every endpoint against brute force over all rows that were ever stored: random ranges, hosts, filters and zones.

On both databases, with retention applied: raw flows reach back a week, minutes two weeks, hours 40 days.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netally.contracts.codes import Cause, DomainSource, ProcessSource, Role, Scope
from netally.store import sql
from netally.store.database import open_pool
from netally.store.filters.compile import answering_tiers
from netally.store.filters.fields import PROTOCOLS
from netally.store.filters.syntax import parse
from netally.store.port_classes import port_class
from netally.store.tiers import DAY, HOUR, MINUTE, floor
from tests.api_in_process import RunningApi, running_api
from tests.timescale.fixtures import ZONE, HistoryDatabases
from tests.traffic_truth import (
    AGES,
    APPS,
    BROWSERS,
    DOMAINS,
    HALF,
    HOSTS,
    NOW,
    REGISTRABLE,
    REPLAY,
    Query,
    Row,
    Truth,
    fill,
    local_period,
    queries,
    sums,
    total,
)

pytestmark = pytest.mark.timeout(240)

SLOW = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
TRUTH = Truth()
PROTOCOL_WORDS = {number: word for word, number in PROTOCOLS}


class Contract(NamedTuple):
    api: RunningApi
    dropped: dict[str, int]
    """From when on each tier is whole."""

    async def ask(self, path: str, query: Query, **parameters: Any) -> Row | None:
        """The answer; None when it was refused with a reason that holds."""
        answer = await self.api.client.get(path, params=query.parameters() | parameters)
        found: Row = answer.json()
        if answer.status_code == 422:
            assert found["parameter"] in ("filter", "from")
            # Only raw flows could tell, and they no longer reach so far.
            raw_only = answering_tiers(parse(query.filter)) == {"raw"} or path in ("/api/flows", "/api/remotes")
            assert raw_only
            # Whole months and the range before begin earlier.
            earlier = 2 * (query.end - query.start) + 31 * DAY if path.split("/")[2] in ("historical", "stats") else DAY
            assert query.start - earlier < self.dropped["raw"]
            return None
        assert answer.status_code == 200, (path, query, answer.text)
        self.check_meta(found["meta"], query)
        return found

    def check_meta(self, meta: Row, query: Query) -> None:
        assert meta["start"] <= query.start
        assert meta["end"] >= query.end
        assert meta["tier"] == "1d" or meta["start"] >= self.dropped[meta["tier"]]
        if meta["tier"] == "1d" and meta["days_exact"]:
            assert floor(meta["start"], "1d", ZONE) == meta["start"]
        assert (meta["filter"] == "") == (not query.conditions)
        assert (meta["filter_row"] != "") == ("bytes" in query.filter)


@pytest.fixture
async def contract(history_databases: HistoryDatabases) -> AsyncIterator[Contract]:
    async with history_databases.url(fill) as url:
        pool = await open_pool(history_databases.settings(url), "tests")
        dropped = {row["name"]: row["dropped_before"] for row in await sql.fetch(pool, "tiers_held")}
        await pool.close()
        assert NOW - AGES.raw * DAY - DAY < dropped["raw"] <= NOW - AGES.raw * DAY
        async with running_api(url, clock=lambda: NOW, statement_cache=0) as api:
            yield Contract(api, dropped)


def order(totals: dict[Any, tuple[int, int]], *then: dict[Any, str]) -> list[Any]:
    return sorted(totals, key=lambda key: (-sum(totals[key]), *(names[key] for names in then), key))


def check_sums(answer: Row, totals: dict[Any, tuple[int, int]], shown: list[Any]) -> None:
    rest = [totals[key] for key in totals if key not in shown]
    assert answer["others_count"] == len(rest)
    assert (answer["others_bytes_in"], answer["others_bytes_out"]) == tuple(map(sum, zip(*rest, strict=True))) or (
        not rest and answer["others_bytes_in"] == answer["others_bytes_out"] == 0
    )
    both = list(totals.values())
    assert answer["total_bytes_in"] == sum(value[0] for value in both)
    assert answer["total_bytes_out"] == sum(value[1] for value in both)


APP_NAMES = {number: app[0] for number, app in APPS.items()}


def check_applications(answer: Row, rows: list[Row], offset: int, limit: int) -> None:
    by_app = sums(rows, lambda row: row["app_id"])
    shown = order(by_app, APP_NAMES)[offset : offset + limit]
    assert [row["id"] for row in answer["applications"]] == shown
    check_sums(answer, by_app, shown)
    for found in answer["applications"]:
        own = [row for row in rows if row["app_id"] == found["id"]]
        name, executable, user = APPS[found["id"]][:3]
        assert found == {
            "id": found["id"],
            "name": name,
            "executable": executable,
            "user": user,
            **dict(zip(("bytes_in", "bytes_out"), total(own), strict=True)),
            "connections": sum(row["connections"] for row in own),
            "domains": len({row["domain_id"] for row in own} - {0}),
            "hosts": len({row["host_id"] for row in own}),
            "last_used": max(row["last_used"] for row in own),
            "browser": BROWSERS.get(found["id"], ""),
        }


def check_domains(answer: Row, rows: list[Row], offset: int, limit: int) -> None:
    by_domain = sums(rows, lambda row: row["domain_id"])
    shown = order(by_domain, DOMAINS)[offset : offset + limit]
    assert [row["id"] for row in answer["domains"]] == shown
    check_sums(answer, by_domain, shown)
    for found in answer["domains"]:
        check_domain(found, [row for row in rows if row["domain_id"] == found["id"]], answer["meta"]["tier"])
        assert (found["name"], found["subdomains"]) == (DOMAINS[found["id"]], [])


def check_domain(found: Row, own: list[Row], tier: str) -> None:
    assert (found["bytes_in"], found["bytes_out"]) == total(own)
    assert found["connections"] == sum(row["connections"] for row in own)
    assert found["hosts"] == len({row["host_id"] for row in own})
    assert found["last_used"] == max(row["last_used"] for row in own)
    users = sums(own, lambda row: row["app_id"])
    assert found["applications"] == [
        {"id": app, "name": APP_NAMES[app], "bytes": sum(users[app]), "browser": BROWSERS.get(app, "")}
        for app in order(users)[:5]
    ]
    how = sums([row for row in own if row["domain_source"]], lambda row: row["domain_source"])
    words = DomainSource.labels()
    assert found["sources"] == ([words[source] for source in order(how)] if tier == "raw" else [])


@SLOW
@given(
    query=queries(),
    offset=st.sampled_from((0, 0, 2, 50)),
    app=st.sampled_from((0, 1, 4)),
    domain=st.sampled_from((0, 2)),
)
async def test_lists_of_applications_and_domains(
    contract: Contract, query: Query, offset: int, app: int, domain: int
) -> None:
    page = {"limit": 3, "offset": offset}
    if answer := await contract.ask("/api/applications", query, **page):
        check_applications(answer, TRUTH.counted(answer["meta"], query), offset, 3)
    if answer := await contract.ask("/api/domains", query, **page):
        check_domains(answer, TRUTH.counted(answer["meta"], query), offset, 3)
    if answer := await contract.ask("/api/domains/top/4", query):
        check_domains(answer, TRUTH.counted(answer["meta"], query), 0, 4)
    if answer := await contract.ask(f"/api/applications/{app}/domains", query, **page):
        rows = [row for row in TRUTH.counted(answer["meta"], query) if row["app_id"] == app]
        check_domains(answer, rows, offset, 3)
    if answer := await contract.ask(f"/api/domains/{domain}/applications", query, **page):
        rows = [row for row in TRUTH.counted(answer["meta"], query) if row["domain_id"] == domain]
        check_applications(answer, rows, offset, 3)


@SLOW
@given(query=queries(), offset=st.sampled_from((0, 0, 2)), sort=st.sampled_from(("bytes", "name")))
async def test_domains_by_registrable_domain(contract: Contract, query: Query, offset: int, sort: str) -> None:
    answer = await contract.ask("/api/domains", query, group="registrable", limit=3, offset=offset, sort=sort)
    if answer is None:
        return
    rows = TRUTH.counted(answer["meta"], query)
    groups = sums(rows, lambda row: REGISTRABLE[row["domain_id"]])
    shown = (sorted(groups) if sort == "name" else order(groups))[offset : offset + 3]
    assert [row["name"] for row in answer["domains"]] == shown
    check_sums(answer, groups, shown)
    for found in answer["domains"]:
        own = [row for row in rows if REGISTRABLE[row["domain_id"]] == found["name"]]
        check_domain(found, own, answer["meta"]["tier"])
        inside = sums(own, lambda row: row["domain_id"])
        assert [one["id"] for one in found["subdomains"]] == order(inside, DOMAINS)
        assert [(one["bytes_in"], one["bytes_out"]) for one in found["subdomains"]] == [
            inside[one] for one in order(inside, DOMAINS)
        ]
        assert (found["id"], found["subdomains_count"]) == (order(inside, DOMAINS)[0], len(inside))


@SLOW
@given(query=queries(), app=st.sampled_from(sorted(APPS)), domain=st.sampled_from(sorted(DOMAINS)))
async def test_one_application_and_one_domain(contract: Contract, query: Query, app: int, domain: int) -> None:
    for path, column, number, key, words in (
        (f"/api/applications/{app}", "app_id", app, "attributed", ProcessSource.labels()),
        (f"/api/domains/{domain}", "domain_id", domain, "sources", DomainSource.labels()),
    ):
        answer = await contract.ask(path, query)
        if answer is None:
            continue
        own = [row for row in TRUTH.counted(answer["meta"], query) if row[column] == number]
        assert (answer["bytes_in"], answer["bytes_out"]) == total(own)
        assert answer["connections"] == sum(row["connections"] for row in own)
        assert answer["last_used"] == max((row["last_used"] for row in own), default=None)
        since = answer[f"{key}_from"]
        end = min(answer["meta"]["end"], max(NOW, answer["meta"]["start"] + 1))
        if since is None:
            assert end - 2 * HOUR < contract.dropped["raw"]
            assert answer[key] == []
        else:
            until = end + -end % 5_000
            raw = [
                row
                for row in TRUTH.tiers["raw"]
                if since <= row["bucket"] < until and row[column] == number and TRUTH.counts(row, query)
            ]
            source = "process_source" if key == "attributed" else "domain_source"
            how = sums([{**row, "source": row[source]} for row in raw], lambda row: row["source"])
            assert answer[key] == [{"source": words[one], "bytes": sum(how[one])} for one in order(how)]
    answer = await contract.ask(f"/api/applications/{app}/hosts", query)
    if answer is not None:
        own = [row for row in TRUTH.counted(answer["meta"], query) if row["app_id"] == app]
        by_host = sums(own, lambda row: row["host_id"])
        assert [row["id"] for row in answer["hosts"]] == order(by_host, HOSTS)
        assert [(row["bytes_in"], row["bytes_out"]) for row in answer["hosts"]] == [
            by_host[host] for host in order(by_host, HOSTS)
        ]


@SLOW
@given(query=queries(), domain=st.sampled_from((None, 1, 4)))
async def test_browsers(contract: Contract, query: Query, domain: int | None) -> None:
    answer = await contract.ask("/api/browsers" if domain is None else f"/api/domains/{domain}/browsers", query)
    if answer is None:
        return
    rows = [row for row in TRUTH.counted(answer["meta"], query) if domain is None or row["domain_id"] == domain]
    totals = sums([row for row in rows if row["app_id"] in BROWSERS], lambda row: BROWSERS[row["app_id"]])
    everything = sum(total(rows))
    assert [row["name"] for row in answer["browsers"]] == order(totals)
    assert answer["total_bytes_in"] == total(rows)[0]
    assert answer["others_bytes_out"] == total([row for row in rows if row["app_id"] not in BROWSERS])[1]
    for found in answer["browsers"]:
        own = [row for row in rows if BROWSERS.get(row["app_id"]) == found["name"]]
        assert (found["bytes_in"], found["bytes_out"]) == total(own)
        assert found["share"] == pytest.approx(sum(total(own)) / everything if everything else 0)
        assert found["hosts"] == len({row["host_id"] for row in own})
        assert found["domains"] == len({row["domain_id"] for row in own} - {0})
        assert found["connections"] == sum(row["connections"] for row in own)
        assert found["last_used"] == max(row["last_used"] for row in own)
        parts = sums(own, lambda row: row["app_id"])
        assert [one["id"] for one in found["applications"]] == order(parts)


KEYS = {"app": "app_id", "domain": "domain_id", "host": "host_id", "protocol": "protocol"}


@SLOW
@given(
    query=queries(),
    split=st.sampled_from(("none", "direction", "app", "domain", "host", "protocol")),
    of=st.sampled_from(("", "", "app", "domain")),
    period=st.sampled_from((None, None, "daily", "weekly", "monthly")),
)
async def test_timelines(contract: Contract, query: Query, split: str, of: str, period: str | None) -> None:
    path = "/api/stats/timeline" if period is None else f"/api/historical/{period}"
    if period is None and of:
        path = f"/api/{'applications' if of == 'app' else 'domains'}/2/timeline"
    answer = await contract.ask(path, query, split=split, top=2)
    if answer is None:
        return
    meta = answer["meta"]
    zone = ZoneInfo(query.zone) if query.zone else ZONE
    rows = TRUTH.counted(meta, query)
    if period is None and of:
        rows = [row for row in rows if row[f"{of}_id"] == 2]
    days = period is not None or answer["bucket_seconds"] == 86_400
    word = {"weekly": "week", "monthly": "month"}.get(period or "", "day")
    half = 0 if meta["days_exact"] else HALF[meta["tier"]]

    def bucket(moment: int) -> Any:
        step = 1 if days else answer["bucket_seconds"] * 1000
        return local_period(moment, word, zone) if days else moment - moment % step

    key = KEYS.get(split)
    totals = sums(rows, lambda row: row[key] if key else 0)
    top = order(totals)[:2] if key else [0]
    grid = sums(
        rows, lambda row: (row[key] if key and row[key] in top else -1 if key else 0, bucket(row["bucket"] + half))
    )
    names = {"in": "bytes_out", "out": "bytes_in"}
    assert [series["id"] for series in answer["series"]] == (
        [None] * (2 if split == "direction" else 1) if not key else [*top, *([None] if len(totals) > 2 else [])]
    )
    for series in answer["series"]:
        number = 0 if not key else -1 if series["id"] is None else series["id"]
        times = [point["time"] for point in series["points"]]
        words = [bucket(time) for time in times]
        assert times[0] == meta["start"]
        assert len(set(words)) == len(words)
        assert {place for band, place in grid if band == number} <= set(words)
        if days:
            assert all(datetime.fromtimestamp(time / 1000, zone).hour in (0, 1) for time in times)
        for point, place in zip(series["points"], words, strict=True):
            wanted = dict(zip(("bytes_in", "bytes_out"), grid.get((number, place), (0, 0)), strict=True))
            if split == "direction":
                wanted[names[series["name"]]] = 0
            if point["bytes_in"] is None:
                assert (number, place) not in grid
                assert point["measured"] == 0
            else:
                assert {name: point[name] for name in wanted} == wanted
    if days and meta["days_exact"] and "bytes" not in query.filter and "port" not in query.filter:
        # To the byte by the moment of each flow, whatever the tier.
        raw = [row for row in TRUTH.counted(meta, query, "raw") if period or not of or row[f"{of}_id"] == 2]
        assert sums(raw, lambda row: bucket(row["bucket"])) == sums(rows, lambda row: bucket(row["bucket"]))


DIMENSIONS = {
    "host": "host_id",
    "app": "app_id",
    "domain": "domain_id",
    "site": "site_id",
    "protocol": "protocol",
    "port": "port",
    "scope": "scope",
    "role": "role",
}


def value_of(dimension: str, number: int) -> Row:
    names: dict[str, dict[int, str]] = {
        "host": HOSTS,
        "app": APP_NAMES,
        "domain": DOMAINS,
        "site": DOMAINS,
        "protocol": PROTOCOL_WORDS,
        "scope": Scope.labels(),
        "role": Role.labels(),
    }
    executable, user = APPS[number][1:3] if dimension == "app" else ("", "")
    name = names[dimension][number] if dimension in names else str(number)
    return {"by": dimension, "id": number, "name": name, "executable": executable, "user": user}


@SLOW
@given(
    query=queries(),
    by=st.lists(st.sampled_from(sorted(DIMENSIONS)), min_size=1, max_size=2, unique=True),
    offset=st.sampled_from((0, 0, 2)),
    top=st.sampled_from((0, 2)),
)
async def test_one_or_two_dimensions(contract: Contract, query: Query, by: list[str], offset: int, top: int) -> None:
    page = {"limit": 3, "offset": offset, "top": top}
    answer = await contract.ask("/api/stats/breakdown", query, by=",".join(by), **page)
    if answer is None:
        return
    meta = answer["meta"]
    zone = ZoneInfo(query.zone) if query.zone else ZONE
    half = 0 if meta["days_exact"] else HALF[meta["tier"]]
    rows = TRUTH.counted(meta, query)

    def key(row: Row) -> tuple[int, ...]:
        return tuple(port_class(row["port"]) if one == "port" else row[DIMENSIONS[one]] for one in by)

    def bucket(moment: int) -> Any:
        if answer["bucket_seconds"] == 86_400:
            return local_period(moment, "day", zone)
        return moment - moment % (answer["bucket_seconds"] * 1000)

    groups = sums(rows, key)
    shown = order(groups)[offset : offset + 3]
    check_sums(answer, groups, shown)
    assert [row["values"] for row in answer["rows"]] == [
        [value_of(one, number) for one, number in zip(by, group, strict=True)] for group in shown
    ]
    for found, group in zip(answer["rows"], shown, strict=True):
        own = [row for row in rows if key(row) == group]
        assert (found["bytes_in"], found["bytes_out"]) == groups[group]
        assert found["connections"] == sum(row["connections"] for row in own)
        assert found["packets_in"] == sum(row["packets_in"] for row in own)
        assert found["last_used"] == max(row["last_used"] for row in own)
    told = shown[:top]
    assert [series["values"] for series in answer["series"] if series["values"]] == [
        row["values"] for row in answer["rows"][:top]
    ]
    assert any(not series["values"] for series in answer["series"]) == (top > 0 and len(groups) > len(told))
    grid = sums(rows, lambda row: (key(row) if key(row) in told else (), bucket(row["bucket"] + half)))
    for series in answer["series"]:
        group = tuple(value["id"] for value in series["values"])
        for point in series["points"]:
            cell = grid.pop((group, bucket(point["time"])), None)
            assert (point["bytes_in"], point["bytes_out"]) == (cell or (0, 0)) or (
                cell is None and point["bytes_in"] is None and point["measured"] == 0
            )
    assert not top or not grid


@SLOW
@given(query=queries())
async def test_coverage_of_days(contract: Contract, query: Query) -> None:
    query = query._replace(conditions=(), hosts=())
    answer = await contract.ask("/api/historical/daily", query)
    assert answer is not None
    zone, meta = ZoneInfo(query.zone) if query.zone else ZONE, answer["meta"]
    if not meta["days_exact"]:
        return
    measured: dict[str, int] = defaultdict(int)
    for row in TRUTH.history.coverage:
        if row.host_id != REPLAY:
            measured[local_period(row.time, "day", zone)] += row.measured_ms
    starts = [*answer["starts"], meta["end"]]
    (series,) = answer["series"]
    for point, (start, end) in zip(series["points"], itertools.pairwise(starts), strict=True):
        share = measured[local_period(start, "day", zone)] / (3 * (end - start))
        assert point["measured"] == pytest.approx(share)
        assert (point["bytes_in"] is None) == (share == 0 and not point["bytes_in"])


@SLOW
@given(query=queries())
async def test_the_heatmap(contract: Contract, query: Query) -> None:
    answer = await contract.api.client.get("/api/historical/heatmap", params=query.parameters())
    if answer.status_code == 422:
        assert answering_tiers(parse(query.filter)) == {"raw"}
        return
    found = answer.json()
    meta = found["meta"]
    assert meta["start"] <= max(query.start, contract.dropped["1h"])
    zone = ZoneInfo(query.zone) if query.zone else ZONE
    half = 0 if meta["days_exact"] else HALF[meta["tier"]]

    def cell(moment: int) -> tuple[int, int]:
        local = datetime.fromtimestamp(moment / 1000, zone)
        return local.isoweekday(), local.hour

    grid = sums(TRUTH.counted(meta, query), lambda row: cell(row["bucket"] + half))
    assert [(one["day"], one["hour"]) for one in found["cells"]] == list(itertools.product(range(1, 8), range(24)))
    for one in found["cells"]:
        at = (one["day"], one["hour"])
        if one["bytes_in"] is None:
            assert at not in grid
        else:
            assert (one["bytes_in"], one["bytes_out"]) == grid.get(at, (0, 0))


@SLOW
@given(query=queries(longest=30 * DAY), by=st.sampled_from(("app", "domain", "host")), offset=st.sampled_from((0, 1)))
async def test_two_ranges_compared(contract: Contract, query: Query, by: str, offset: int) -> None:
    answer = await contract.ask("/api/historical/compare", query, by=by, limit=3, offset=offset)
    if answer is None:
        return
    meta, before = answer["meta"], answer["before_meta"]
    assert (before["end"], before["tier"]) == (meta["start"], meta["tier"])
    assert before["start"] <= query.start - (query.end - query.start)
    now_bytes, before_bytes = (
        {key: sum(pair) for key, pair in sums(TRUTH.counted(one, query), lambda row: row[KEYS[by]]).items()}
        for one in (meta, before)
    )
    change = {key: now_bytes.get(key, 0) - before_bytes.get(key, 0) for key in now_bytes.keys() | before_bytes.keys()}
    shown = sorted(change, key=lambda key: (-abs(change[key]), key))[offset : offset + 3]
    names = {"app": APP_NAMES, "domain": DOMAINS, "host": HOSTS}[by]
    assert answer["changes"] == [
        {
            "id": key,
            "name": names[key],
            "bytes": now_bytes.get(key, 0),
            "before_bytes": before_bytes.get(key, 0),
            "change": change[key],
        }
        for key in shown
    ]
    assert (answer["count"], answer["total_bytes"]) == (len(change), sum(now_bytes.values()))
    assert answer["before_total_bytes"] == sum(before_bytes.values())


@SLOW
@given(query=queries(longest=9 * DAY))
async def test_the_summary(contract: Contract, query: Query) -> None:
    answer = await contract.ask("/api/stats/summary", query)
    if answer is None:
        return
    zone = ZoneInfo(query.zone) if query.zone else ZONE
    today, week, month, asked = answer["periods"]
    assert [period["name"] for period in answer["periods"]] == ["today", "week", "month", "range"]
    for period, word in ((today, "day"), (week, "week"), (month, "month")):
        assert period["start"] <= NOW <= period["end"]
        begin = period["start"] if period["tier"] != "1d" else NOW
        assert local_period(begin, word, zone) == local_period(NOW, word, zone) or period["tier"] in ("1h", "1d")
        assert period["before_end"] <= period["start"] or period["tier"] in ("1h", "1d")
    assert asked["before_end"] == asked["start"] == answer["meta"]["start"] or asked["tier"] != answer["meta"]["tier"]
    for period in answer["periods"]:
        for prefix in ("", "before_"):
            span = {"start": period[f"{prefix}start"], "end": period[f"{prefix}end"], "days_exact": True}
            rows = TRUTH.counted(span, query, period["tier"])
            assert (period[f"{prefix}bytes_in"], period[f"{prefix}bytes_out"]) == total(rows), period["name"]
            assert period[f"{prefix}connections"] == sum(row["connections"] for row in rows)


@SLOW
@given(query=queries(), offset=st.sampled_from((0, 2)))
async def test_protocols_and_remotes(contract: Contract, query: Query, offset: int) -> None:
    page = {"limit": 3, "offset": offset}
    if answer := await contract.ask("/api/protocols", query, **page):
        rows = TRUTH.counted(answer["meta"], query)
        by_port = sums(rows, lambda row: (row["protocol"], port_class(row["port"])))
        shown = order(by_port)[offset : offset + 3]
        assert [(row["protocol"], row["port"]) for row in answer["protocols"]] == [
            (PROTOCOL_WORDS[protocol], port) for protocol, port in shown
        ]
        assert [(row["bytes_in"], row["bytes_out"]) for row in answer["protocols"]] == [by_port[key] for key in shown]
        check_sums(answer, by_port, shown)
    query = query._replace(start=max(query.start, query.end - 3 * DAY))
    if answer := await contract.ask("/api/remotes", query, **page):
        rows = TRUTH.counted(answer["meta"], query)
        by_remote = sums(rows, lambda row: str(row["remote"]))
        assert [(row["bytes_in"], row["bytes_out"]) for row in answer["remotes"]] == sorted(
            by_remote.values(), key=sum, reverse=True
        )[offset : offset + 3]
        for found in answer["remotes"]:
            own = [row for row in rows if str(row["remote"]) == found["remote"]]
            assert (found["bytes_in"], found["bytes_out"]) == total(own)
            names = sums([row for row in own if row["domain_id"]], lambda row: row["domain_id"])
            assert found["domains"] == [DOMAINS[number] for number in order(names)[:5]]
        check_sums(answer, by_remote, [row["remote"] for row in answer["remotes"]])


@SLOW
@given(query=queries(longest=9 * DAY, ago=8 * DAY), limit=st.sampled_from((7, 100)))
async def test_flows_page_by_page(contract: Contract, query: Query, limit: int) -> None:
    found: list[Row] = []
    after: dict[str, str] = {}
    while True:
        answer = await contract.ask("/api/flows", query, limit=limit, **after)
        if answer is None:
            return
        assert len(answer["flows"]) <= limit
        found += answer["flows"]
        if answer["next"] is None or len(found) > 300:
            break
        after = {"after": answer["next"]}
    rows = TRUTH.counted(answer["meta"], query)
    assert [flow["time"] for flow in found] == sorted((row["bucket"] for row in rows), reverse=True)[: len(found)]
    assert len(found) == len(rows) or answer["next"] is not None
    wanted = [_flow(row) for row in rows]
    # Nothing twice, nothing that is not there.
    for flow in found:
        wanted.remove(flow)


def _flow(row: Row) -> Row:
    codes = {"scope": Scope, "role": Role, "domain_source": DomainSource, "process_source": ProcessSource}
    copied = ["host", "app", "app_id", "domain", "domain_id", "site", "port", "bytes_in", "bytes_out"]
    copied += ["packets_in", "packets_out", "retrans", "connections"]
    return {
        "time": row["bucket"],
        **{name: row[name] for name in copied},
        **{name: code.labels()[row[name]] for name, code in codes.items()},
        "protocol": PROTOCOL_WORDS[row["protocol"]],
        "remote": str(row["remote"]),
    }


@SLOW
@given(query=queries(), host=st.sampled_from(sorted(HOSTS)))
async def test_hosts_and_where_their_bytes_went(contract: Contract, query: Query, host: int) -> None:
    query = query._replace(conditions=(), hosts=())
    answer = await contract.ask(f"/api/hosts/{host}/conservation", query)
    assert answer is not None
    meta = answer["meta"]
    rows = [
        row
        for row in TRUTH.history.tally
        if row.host_id == host
        and meta["start"] <= (row.time if meta["tier"] == "raw" else floor(row.time, meta["tier"], ZONE)) < meta["end"]
    ]
    assert answer["total_in"] == sum(row.bytes_in for row in rows)
    assert {one["interface"] for one in answer["interfaces"]} == {row.interface for row in rows}
    for one in answer["interfaces"]:
        own = [row for row in rows if row.interface == one["interface"]]
        assert one["counter_in"] == sum(row.bytes_in for row in own) == sum(c["bytes_in"] for c in one["causes"])
        assert one["counter_out"] == sum(c["bytes_out"] for c in one["causes"])
    words = Cause.labels()
    assert {one["cause"]: one["packets_in"] for one in answer["causes"]} == {
        word: sum(row.packets_in for row in rows if row.cause == cause) for cause, word in words.items()
    }
    fleet = await contract.ask("/api/conservation", query)
    assert fleet is not None
    ((own_part),) = [part for part in fleet["hosts"] if part["id"] == host] or [{"total_in": 0, "total_out": 0}]
    assert (own_part["total_in"], own_part["total_out"]) == (answer["total_in"], answer["total_out"])
    assert fleet["total_in"] == sum(part["total_in"] for part in fleet["hosts"])
    assert fleet["total_out"] == sum(one["bytes_out"] for one in fleet["causes"])
    one = await contract.ask(f"/api/hosts/{host}", query)
    assert one is not None
    own_side = [
        row
        for row in TRUTH.tiers[one["meta"]["tier"]]
        if row["host_id"] == host
        and one["meta"]["start"] <= row["bucket"] < one["meta"]["end"]
        and row["scope"] != Scope.LOOPBACK
    ]
    assert (one["host"]["bytes_in"], one["host"]["bytes_out"]) == total(own_side)
    assert (one["host"]["name"], one["meta"]["hosts_expected"]) == (HOSTS[host], 1)


async def test_ids_that_are_not_there(contract: Contract) -> None:
    for path in ("applications/99", "applications/99/timeline", "applications/99/domains", "applications/99/hosts"):
        assert (await contract.api.client.get(f"/api/{path}")).status_code == 404
    for path in ("domains/99", "domains/99/timeline", "domains/99/browsers", "domains/99/applications"):
        assert (await contract.api.client.get(f"/api/{path}")).status_code == 404
    for path in ("hosts/99", "hosts/0", "hosts/99/conservation"):
        answer = await contract.api.client.get(f"/api/{path}")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_a_refused_filter_says_where_and_why(contract: Contract) -> None:
    parameters: dict[str, Any] = {"from": NOW - 20 * DAY, "to": NOW, "filter": "app = curl and remote = 10.1.2.3"}
    answer = await contract.api.client.get("/api/applications", params=parameters)
    assert answer.status_code == 422
    problem = answer.json()
    assert (problem["parameter"], problem["start"], problem["end"], problem["tier"]) == ("filter", 15, 32, "raw")
    assert "column 16" in problem["detail"]
    for path in ("hosts/1/conservation", "conservation"):
        counters = await contract.api.client.get(f"/api/{path}", params={"filter": "app = curl"})
        assert (counters.status_code, counters.json()["parameter"]) == (422, "filter")


async def test_about_and_completion(contract: Contract) -> None:
    about = await contract.api.get("/api/about")
    assert (about["timezone"], about["hosts"]) == (ZONE.key, 3)
    assert about["backend"] in about["database_version"].lower()
    assert {tier["name"]: tier["dropped_before"] for tier in about["tiers"]}["raw"] == contract.dropped["raw"]
    assert about["retention_known"] is False
    answer = await contract.api.get("/api/filter/complete", text="domain = git")
    assert answer["completions"] == []
    answer = await contract.api.get("/api/filter/complete", text="host = WE")
    assert {one["insert"] for one in answer["completions"]} == {"Web-2", "web-1"}
    assert (answer["completions"][0]["from"], answer["completions"][0]["to"], answer["problem"]) == (7, 9, "")
    await _check_ranking(contract)
    answer = await contract.api.get("/api/filter/complete", text="host = x and")
    assert answer["canonical"] is None
    assert answer["problem_start"] == len("host = x and")


async def _check_ranking(contract: Contract) -> None:
    """Values are offered by the bytes that the tables show of the same range."""
    span = {"from": NOW - 2 * DAY, "to": NOW}
    for field, text in (("app", "app = "), ("domain", "domain = "), ("protocol", "protocol = "), ("host", "host = ")):
        offers = (answer := await contract.api.get("/api/filter/complete", text=text, **span))["completions"]
        shown = await contract.api.get(
            "/api/stats/breakdown", by=field, limit=1000, **{"from": answer["ranked_from"], "to": answer["ranked_to"]}
        )
        bytes_of: dict[str, int] = defaultdict(int)
        for row in shown["rows"]:
            bytes_of[row["values"][0]["name"]] += row["bytes_in"] + row["bytes_out"]
        told = [(one["label"], one["bytes"]) for one in offers if one["bytes"]]
        assert told, field
        assert told == [(name, bytes_of[name]) for name, _ in told]
        assert [number for _, number in told] == sorted((number for _, number in told), reverse=True)
        assert told[0][1] == max(number for name, number in bytes_of.items() if name)


async def test_a_bucket_that_is_finer_than_what_is_left_is_refused(contract: Contract) -> None:
    old = {"from": NOW - 20 * DAY, "to": NOW - 20 * DAY + 10 * MINUTE}
    answer = await contract.api.client.get("/api/stats/timeline", params=old | {"bucket": "30s"})
    assert (answer.status_code, answer.json()["parameter"]) == (400, "bucket")
    chosen = await contract.api.get("/api/stats/timeline", **old)
    assert (chosen["bucket_seconds"], chosen["meta"]["tier"]) == (3600, "1h")

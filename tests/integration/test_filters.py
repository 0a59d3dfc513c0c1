"""Filters on real databases: compiled conditions against the meaning written a second time, on every relation."""

from __future__ import annotations

import ipaddress
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netally.contracts.browsers import browser_of
from netally.store import tables
from netally.store.filters.compile import answering_tiers, compile_filter, resolve
from netally.store.filters.errors import FilterRefused
from netally.store.filters.fields import FIELDS, RAW_ONLY, FilterTier, Kind
from netally.store.filters.names import names_with_prefix
from netally.store.filters.syntax import parse
from netally.store.filters.tree import Filter, fields_used
from netally.store.partitions import DayPartitions, days_of
from netally.store.port_classes import port_class
from tests.builders import START, packed
from tests.filter_trees import AMOUNTS, DOMAINS, NAMES, PORTS, REMOTES, matches, trees

RELATIONS = {
    FilterTier.RAW: "flow",
    FilterTier.MINUTE: "flow_1m",
    FilterTier.HOUR: "flow_1h",
    FilterTier.DAY: "flow_1d",
    FilterTier.TRAFFIC_HOUR: "traffic_1h",
    FilterTier.TRAFFIC_DAY: "traffic_1d",
}
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "filters.md"

POSTGRESQL_ONLY = pytest.mark.parametrize("history_databases", ["postgresql"], indirect=True)
"""The same SQL on both backends; the examples of the document run on both."""

Stored = dict[FilterTier, list[dict[str, Any]]]


async def store_flows(pool: asyncpg.Pool, seed: int = 5, count: int = 250) -> None:
    """Flows of a few minutes with every awkward name; ids 1 … in the order of the lists."""
    chance = random.Random(seed)
    hosts = ["web-1", "Web-2", "db_1", "db%1"]
    apps = [
        (name, chance.choice(NAMES), chance.choice(("", "ada", "Ada")), chance.choice(("", "nginx.service")), "")
        for name in NAMES
        if name
    ]
    domains = [name for name in DOMAINS if name]
    await pool.copy_records_to_table("host", records=enumerate(hosts, 1), columns=["id", "name"])
    await pool.copy_records_to_table(
        "app",
        records=[(number, *app) for number, app in enumerate(apps, 1)],
        columns=["id", "name", "executable", "username", "unit", "container"],
    )
    await pool.copy_records_to_table("domain", records=enumerate(domains, 1), columns=["id", "name"])
    rows = [
        (
            START + chance.randrange(40) * 5_000,
            chance.randint(1, len(hosts)),
            chance.randint(0, len(apps)),
            chance.randint(0, len(domains)),
            chance.randint(0, len(domains)),
            chance.randint(0, 5),
            chance.choice((6, 17, 1, 58, 132)),
            chance.choice(PORTS),
            chance.randint(0, 2),
            packed(chance.choice(REMOTES)),
            *(chance.choice(AMOUNTS) for _ in range(4)),
            # Tells the rows of raw apart.
            number,
            chance.randint(0, 3),
            chance.randint(0, 7),
            chance.randint(0, 3),
            START + 300_000,
        )
        for number in range(count)
    ]
    backend = await pool.fetchval("SELECT backend FROM deployment")
    await DayPartitions(pool, backend).ensure(days_of([START]))
    async with pool.acquire() as connection:
        await tables.copy(connection, tables.FLOW, rows)


async def read_stored(pool: asyncpg.Pool) -> Stored:
    """All rows of every relation, as `matches` wants them."""
    hosts = {row["id"]: row["name"] for row in await pool.fetch("SELECT * FROM host")}
    apps = {row["id"]: row for row in await pool.fetch("SELECT * FROM app")}
    domains = {row["id"]: row["name"] for row in await pool.fetch("SELECT * FROM domain")}
    stored: Stored = {}
    for tier, relation in RELATIONS.items():
        stored[tier] = []
        for record in await pool.fetch(f"SELECT * FROM {relation}"):
            row = dict(record)
            app = apps[row["app_id"]]
            row |= {"record": tuple(record.values()), "host": hosts[row["host_id"]], "app": app["name"]}
            row |= {name: app[name] for name in ("executable", "unit", "container")}
            row |= {"user": app["username"], "app_name": app["name"], "app_executable": app["executable"]}
            row["bytes"] = row["bytes_in"] + row["bytes_out"]
            row["packets"] = row["packets_in"] + row["packets_out"]
            if tier not in (FilterTier.TRAFFIC_HOUR, FilterTier.TRAFFIC_DAY):
                row |= {"domain": domains[row["domain_id"]], "site": domains[row["site_id"]]}
                row["port"] = row["server_port"] if tier is FilterTier.RAW else row["port_class"]
            if tier is FilterTier.RAW:
                row["remote"] = ipaddress.ip_address(row["remote"])
            stored[tier].append(row)
    return stored


async def found(pool: asyncpg.Pool, tree: Filter, tier: FilterTier) -> Counter[tuple[Any, ...]]:
    condition = compile_filter(tree, tier, first_parameter=2, alias="f")
    parameters = await resolve(pool, condition)
    records = await pool.fetch(
        f"SELECT * FROM {RELATIONS[tier]} AS f WHERE $1::boolean AND {condition.sql}", True, *parameters
    )
    return Counter(tuple(record.values()) for record in records)


@pytest.fixture
async def flows(history_database: asyncpg.Pool) -> tuple[asyncpg.Pool, Stored]:
    await store_flows(history_database)
    return history_database, await read_stored(history_database)


async def assert_means(flows: tuple[asyncpg.Pool, Stored], tree: Filter, tier: FilterTier) -> None:
    pool, stored = flows
    expected = Counter(row["record"] for row in stored[tier] if matches(tree, row))
    assert await found(pool, tree, tier) == expected


@POSTGRESQL_ONLY
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=trees(wild=False), tier=st.sampled_from(FilterTier))
async def test_the_compiled_condition_means_what_the_filter_says(
    flows: tuple[asyncpg.Pool, Stored], tree: Filter, tier: FilterTier
) -> None:
    if tier not in answering_tiers(tree):
        tier = FilterTier.RAW
    await assert_means(flows, tree, tier)


@POSTGRESQL_ONLY
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=trees(wild=False))
async def test_a_rollup_that_answers_about_ports_answers_as_raw_would(
    flows: tuple[asyncpg.Pool, Stored], tree: Filter
) -> None:
    # An amount means another row in each tier; everything else must select the same traffic.
    if any(FIELDS[name].kind is Kind.AMOUNT for name in fields_used(tree)):
        return
    _, stored = flows
    raw = sum(row["bytes"] for row in stored[FilterTier.RAW] if matches(tree, row))
    pool, _ = flows
    for tier in answering_tiers(tree) - RAW_ONLY:
        condition = compile_filter(tree, tier)
        total = await pool.fetchval(
            f"SELECT coalesce(sum(bytes_in + bytes_out), 0) FROM {RELATIONS[tier]} WHERE {condition.sql}",
            *await resolve(pool, condition),
        )
        assert total == raw, tier


HOSTILE = (
    *("'; DROP TABLE flow; --", "$1", "%", "_", "\\", "\\%", "' OR '1'='1", '"; SELECT 1; --', "*", "?"),
    *(":name", "{}", "E'\\x41'", "/* */", "a'||'b", "%s", "\n", "\\'"),
)


@POSTGRESQL_ONLY
async def test_a_hostile_name_is_only_ever_a_name(history_database: asyncpg.Pool) -> None:
    await history_database.copy_records_to_table(
        "app", records=[*enumerate(HOSTILE, 1), (100, "innocent"), (101, "a")], columns=["id", "name"]
    )
    plain = compile_filter(parse("app = curl"), FilterTier.DAY)
    for number, hostile in enumerate(HOSTILE, 1):
        quoted = '"' + hostile.replace("\\", "\\\\").replace('"', '\\"') + '"'
        literal = '"' + re.sub(r'(["*?\\])', r"\\\1", hostile) + '"'
        for text in (f"app = {quoted}", f"app in {quoted}", f"app ~ {literal}"):
            condition = compile_filter(parse(text), FilterTier.DAY)
            assert condition.sql == plain.sql
            assert await resolve(history_database, condition) == [[number]], text


@POSTGRESQL_ONLY
async def test_the_example_of_every_page_runs_on_every_tier(flows: tuple[asyncpg.Pool, Stored]) -> None:
    text = "host = web-1 and app ~ fire* and (domain in netflix.com, youtube.com or port = 443) and bytes > 1kB"
    for tier in (FilterTier.RAW, FilterTier.MINUTE, FilterTier.HOUR, FilterTier.DAY):
        await assert_means(flows, parse(text), tier)


def documented_examples() -> list[str]:
    blocks = re.findall(r"^```filter\n(.*?)^```", DOCUMENT.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


async def test_every_example_of_the_document_runs(flows: tuple[asyncpg.Pool, Stored]) -> None:
    examples = documented_examples()
    assert len(examples) > 30
    for text in examples:
        tree = parse(text)
        for tier in (FilterTier.RAW, FilterTier.DAY, FilterTier.TRAFFIC_DAY):
            if tier in answering_tiers(tree):
                await assert_means(flows, tree, tier)
            else:
                with pytest.raises(FilterRefused):
                    compile_filter(tree, tier)


@POSTGRESQL_ONLY
async def test_a_name_outside_ascii_finds_its_stored_form(flows: tuple[asyncpg.Pool, Stored]) -> None:
    pool, stored = flows
    expected = sum(row["domain"] == "xn--bcher-kva.example" for row in stored[FilterTier.RAW])
    assert expected
    for text in ("domain = bücher.example", "domain = BÜCHER.Example.", "domain ~ bücher.e*"):
        assert (await found(pool, parse(text), FilterTier.RAW)).total() == expected


async def test_port_classes_are_those_of_the_database(history_database: asyncpg.Pool) -> None:
    rows = await history_database.fetch("SELECT port, port_class(port) AS class FROM generate_series(0, 65535) AS port")
    assert {row["port"]: row["class"] for row in rows} == {port: port_class(port) for port in range(65_536)}


async def test_browsers_are_told_as_in_python(history_database: asyncpg.Pool) -> None:
    pool = history_database
    apps = [
        *(("firefox", "/usr/lib/firefox/firefox-bin"), ("Socket Process", "/usr/lib/firefox/firefox")),
        *(("firefox", "/home/ada/tor-browser/Browser/firefox.real"), ("chrome", "/snap/chromium/1/usr/lib/chrome")),
        *(("MSEdge", ""), ("brave", ""), ("code", "/usr/share/code/chrome-sandbox"), ("curl", "/usr/bin/curl")),
        *(("chrome", "/opt/google/chrome/chrome (deleted)"), ("x", "/usr/bin/FireFox"), ("x", "firefox"), ("", "")),
    ]
    await pool.copy_records_to_table(
        "app",
        records=[(n, *app) for n, app in enumerate(apps, 1) if app != ("", "")],
        columns=["id", "name", "executable"],
    )
    for wanted in ("none", "firefox", "tor", "chromium", "edge", "brave", "chrome"):
        condition = compile_filter(parse(f"browser = {wanted}"), FilterTier.DAY)
        (ids,) = await resolve(pool, condition)
        tree_value = next(value.content for value in parse(f"browser = {wanted}").values)  # type: ignore[union-attr]
        expected = {n for n, app in enumerate(apps, 1) if app != ("", "") and (browser_of(*app) or "") == tree_value}
        # Id 0 is no application, so no browser.
        assert set(ids) - {0} == expected, wanted


@POSTGRESQL_ONLY
async def test_names_are_offered_by_prefix(flows: tuple[asyncpg.Pool, Stored]) -> None:
    pool, _ = flows
    async with pool.acquire() as connection:
        assert await names_with_prefix(connection, "domain", "NET", 10) == ["netflix.com", "netflix.com.example"]
        assert await names_with_prefix(connection, "site", "a_", 10) == ["a_b.example"]
        assert await names_with_prefix(connection, "host", "db%", 10) == ["db%1"]
        assert await names_with_prefix(connection, "app", "fire%", 10) == ["fire%fox"]
        assert len(await names_with_prefix(connection, "app", "", 3)) == 3
        assert await names_with_prefix(connection, "scope", "in", 10) == []
        for field in FIELDS:
            await names_with_prefix(connection, field, "", 1)

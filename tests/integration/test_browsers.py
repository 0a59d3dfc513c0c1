"""Reports of browsers: from the API by the bus to the table, once each; and what is refused."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import asyncpg
import httpx
import pytest
from nats.aio.client import Client

from netally.aggregator.tabs import TabSink
from netally.bus import subjects
from netally.contracts.tabs import TabSpan, TabsReported
from netally.contracts.wire import encode_json
from netally.store import sql
from netally.store.rollups import exclusive, refresh_outstanding
from netally.store.tiers import DAY, HOUR, MINUTE
from tests.access_tokens import bearer
from tests.aggregator_process import AggregatorProcess
from tests.api_process import ApiProcess, api_process
from tests.builders import make_agent_report
from tests.services import NatsServer, eventually
from tests.timescale.fixtures import ZONE, HistoryDatabases

PATH = "/api/browser/active-tab"


class Hub(NamedTuple):
    api: ApiProcess
    aggregator: AggregatorProcess
    database_url: str
    code: dict[str, str]
    """Header of a paired browser."""
    token: str

    async def report(self, **fields: Any) -> httpx.Response:
        body = {"domain": "www.example.org", "timestamp": now(), "browser": "Firefox", **fields}
        return await self.api.client.post(PATH, json=body, headers=self.code)

    async def rows(self, text: str) -> list[Any]:
        connection = await asyncpg.connect(self.database_url)
        try:
            return await connection.fetch(text)
        finally:
            await connection.close()

    async def activity(self) -> list[tuple[str, str, str, int]]:
        found = await self.rows(
            "SELECT host.name AS host, browser, domain.name AS site, seconds FROM tab_activity"
            " JOIN host ON host.id = host_id JOIN domain ON domain.id = site_id ORDER BY time"
        )
        return [tuple(row) for row in found]


def now() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
async def hub(nats_server: NatsServer, nats_client: Client, migrated_database_url: str) -> AsyncIterator[Hub]:
    aggregator = AggregatorProcess(nats_server.url, migrated_database_url)
    aggregator.start()
    try:
        await aggregator.ready()
        state = make_agent_report(host="desk.example.org", time=now())
        await nats_client.jetstream().publish(subjects.agents(state.host), encode_json(state))
        async with api_process(migrated_database_url, nats_server.url) as api:

            async def is_ready() -> bool:
                return (await api.client.get("/api/ready")).status_code == 200

            await eventually(is_ready)

            async def host_is_known() -> bool:
                return len((await api.client.get("/api/hosts")).json()["hosts"]) == 1

            await eventually(host_is_known)
            order = {"name": "my browser", "role": "browser", "hosts": ["desk.example.org"]}
            made = (await api.client.post("/api/tokens", json=order)).json()
            yield Hub(api, aggregator, migrated_database_url, bearer(made["secret"]), made["token"]["id"])
    finally:
        aggregator.kill()


async def test_a_report_is_stored_once_and_shown(hub: Hub) -> None:
    began = now() - 9_000
    report = {
        "id": uuid.uuid4().hex,
        "domain": "WWW.Example.org.",
        "timestamp": began + 4_000,
        "seconds": 5,
        "earlier": [{"domain": "straße.de", "timestamp": began, "seconds": 4}],
    }
    first = await hub.report(**report)
    assert (first.status_code, first.json()) == (202, {"id": report["id"], "host": "desk.example.org"})
    # As after an answer that was lost.
    assert (await hub.report(**report)).status_code == 202
    expected = [
        ("desk.example.org", "Firefox", "xn--strae-oqa.de", 4),
        ("desk.example.org", "Firefox", "www.example.org", 5),
    ]

    async def is_stored() -> bool:
        return await hub.activity() == expected

    await eventually(is_stored)
    status = (await hub.api.client.get("/api/browser/status", headers=hub.code)).json()["browsers"]
    assert [(one["token"], one["host"], one["browser"], one["sends_pairs"]) for one in status] == [
        (hub.token, "desk.example.org", "Firefox", False)
    ]
    assert (await hub.api.client.get("/api/browser/status")).json()["browsers"] == status
    shown = (await hub.api.client.get("/api/browsers/sites", params={"range": "1h"})).json()
    assert [(row["host"], row["browser"], row["site"], row["seconds"]) for row in shown["sites"]] == [
        ("desk.example.org", "Firefox", "www.example.org", 5),
        ("desk.example.org", "Firefox", "xn--strae-oqa.de", 4),
    ]
    assert [(row["seconds"], row["unjoined_bytes_in"]) for row in shown["browsers"]] == [(9, 0)]
    number = shown["sites"][0]["id"]
    site = (await hub.api.client.get(f"/api/domains/{number}/site", params={"range": "1h"})).json()
    assert (site["name"], site["seconds"], site["hosts"]) == ("www.example.org", 5, [])


async def test_a_report_delivered_again_counts_once_and_a_flood_is_held_back(hub: Hub, nats_client: Client) -> None:
    """The same report as another message of the stream, as after a lost acknowledgement."""
    heard: list[bytes] = []

    async def hear(message: Any) -> None:
        heard.append(message.data)

    await nats_client.subscribe(subjects.tabs("desk.example.org"), cb=hear)
    await nats_client.flush()
    assert (await hub.report(seconds=3)).status_code == 202
    await eventually(lambda: asyncio.sleep(0, bool(heard)))
    await nats_client.jetstream().publish(subjects.tabs("desk.example.org"), heard[0])
    assert (await hub.report(domain="later.example.org", seconds=2)).status_code == 202

    async def both_are_stored() -> bool:
        return len(await hub.activity()) >= 2

    await eventually(both_are_stored)
    assert [row[2:] for row in await hub.activity()] == [("www.example.org", 3), ("later.example.org", 2)]
    # A flood is held back.
    answers = await asyncio.gather(*(hub.report() for _ in range(40)))
    assert {answer.status_code for answer in answers} == {202, 429}
    assert sum(answer.status_code == 202 for answer in answers) <= 22
    assert all(1 <= int(answer.headers["Retry-After"]) <= 3 for answer in answers if answer.status_code == 429)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"domain": "a" * 10_000}, "domain"),
    ({"domain": "example.org/path?query"}, "domain"),
    ({"domain": "https://example.org"}, "domain"),
    ({"domain": "300.1.2.3"}, "domain"),
    ({"domain": ""}, "domain"),
    ({"domain": "a..b"}, "domain"),
    ({"domain": "evil\u0000.org"}, "domain"),
    ({"timestamp": 0}, "timestamp"),
    ({"timestamp": 2**52}, "timestamp"),
    ({"timestamp": now() - 25 * HOUR}, "timestamp"),
    ({"timestamp": now() + 5 * HOUR}, "timestamp"),
    ({"earlier": [{"domain": "a.org", "timestamp": 0}]}, "timestamp"),
    ({"browser": "<script>"}, "browser"),
    ({"seconds": 100_000}, "seconds"),
    ({"title": "private"}, "title"),
    ({"pairs": [{"host": "a.org", "site": "b.org/path", "count": 1}]}, "pairs"),
]


async def test_bad_input_is_refused_and_addresses_are_normal(hub: Hub) -> None:
    for fields, parameter in BAD:
        answer = await hub.report(**fields)
        assert answer.status_code == 400, answer.text
        assert parameter in answer.text
    for domain in ("192.168.1.1", "[2001:DB8:0::1]", "nas", "BÜCHER.example"):
        assert (await hub.report(domain=domain)).status_code == 202

    async def stored() -> bool:
        found = sorted(row[2] for row in await hub.activity())
        return found == ["192.168.1.1", "2001:db8::1", "nas", "xn--bcher-kva.example"]

    await eventually(stored)


async def test_who_may_report(hub: Hub) -> None:
    for hosts in (None, ["desk.example.org", "other"], ["other"]):
        order = {"name": "browser", "role": "browser", "hosts": hosts}
        answer = await hub.api.client.post("/api/tokens", json=order)
        assert (answer.status_code, answer.json()["parameter"]) == (400, "hosts")
    body = {"domain": "example.org", "timestamp": now(), "browser": "Firefox"}
    client, code = hub.api.client, hub.code
    wrong = bearer(code["Authorization"].removeprefix("Bearer ")[:-4] + "AAAA")
    assert (await client.post(PATH, json=body, headers=wrong)).status_code == 401
    assert (await client.post(PATH, json=body, headers={"Authorization": ""})).status_code == 401
    # No host is bound to the admin token.
    assert (await client.post(PATH, json=body)).status_code == 403
    for origin in ("https://evil.example", f"http://127.0.0.1:{hub.api.port}", "null"):
        answer = await client.post(PATH, json=body, headers={**code, "Origin": origin})
        assert (answer.status_code, "access-control-allow-origin" in answer.headers) == (403, False)
    assert (await client.post(PATH, json=body, headers={**code, "Sec-Fetch-Site": "cross-site"})).status_code == 403
    preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = await client.options(PATH, headers={**preflight, "Authorization": ""})
    assert answer.status_code == 401
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    for scheme in ("moz-extension", "chrome-extension"):
        answer = await client.post(
            PATH, json=body, headers={**code, "Origin": f"{scheme}://abcdef", "Sec-Fetch-Site": "cross-site"}
        )
        assert answer.status_code == 202
    # A pairing code reports and nothing else.
    for path in ("/api/applications", "/api/session", "/api/tokens", "/api/browsers/sites"):
        assert (await client.get(path, headers=code)).status_code == 403
    await client.delete(f"/api/tokens/{hub.token}")
    assert (await hub.report()).status_code == 401


async def test_both_databases_keep_a_report_once_and_its_seconds_in_every_tier(
    history_databases: HistoryDatabases, history_database: asyncpg.Pool
) -> None:
    clock = 1_800_000_000_000 // HOUR * HOUR + 40 * MINUTE

    async def oldest(now: int) -> int:
        return now - 2 * DAY

    sink = TabSink(history_database, history_databases.backend, oldest, lambda: clock)
    spans = [
        TabSpan("old.example.org", clock - 3 * DAY, 300),
        TabSpan("news.example.org", clock - 3 * HOUR, 300),
        TabSpan("news.example.org", clock - 2 * HOUR, 200),
        # A browser's clock may be ahead a little: the row is of now.
        TabSpan("shop.example.org", clock + 30_000, 7),
    ]
    report = TabsReported("desk", uuid.uuid4().hex, "code", "Zen", clock, spans, [])
    await sink.write([report, report])
    await sink.write([report])
    async with exclusive(history_database) as connection:
        assert connection is not None
        await refresh_outstanding(connection, clock, ZONE)
    hosts = [row["id"] for row in await history_database.fetch("SELECT id FROM host WHERE name = 'desk'")]
    for tier in ("raw", "1m", "1h", "1d"):
        rows = await sql.fetch(
            history_database, "site_seconds",
            tier=tier, start=clock - 5 * DAY, end=clock + DAY, hosts=hosts, site=None,
        )  # fmt: skip
        named = await sql.fetch(history_database, "domain_names", ids=[row["site_id"] for row in rows])
        names = {row["id"]: row["name"] for row in named}
        assert {(row["browser"], names[row["site_id"]], row["seconds"]) for row in rows} == {
            ("Zen", "news.example.org", 500),
            ("Zen", "shop.example.org", 7),
        }, tier
    assert await history_database.fetchval("SELECT max(time) FROM tab_activity") == clock
    (noted,) = await history_database.fetch("SELECT token_id, browser, last_report, sends_pairs FROM paired_browser")
    assert tuple(noted) == ("code", "Zen", clock, True)

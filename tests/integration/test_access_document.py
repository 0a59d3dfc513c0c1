"""The whole OpenAPI document, walked by nobody, by each role, and by a token that is limited to a host.

That nothing of other hosts shows is proved by comparison: a second database holds the visible host and nothing else.
Whatever the limited token asks, it must be answered alike from both.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import asyncpg
import pytest
from nats.aio.client import Client

from netally.bus import streams
from netally.store.database import DatabaseSettings
from netally.store.migrate import migrate
from tests.access_tokens import add_token, bearer
from tests.api_in_process import RunningApi, running_api
from tests.builders import START
from tests.services import PostgresServer, eventually
from tests.stored_traffic import MINUTE, StoredTraffic, make_traffic, store

NOW = START // MINUTE * MINUTE + 40 * MINUTE
SEEN, FOREIGN = "web-1.example.org", "web-2.example.org"
METHODS = ("get", "post", "put", "patch", "delete")
ENDLESS = {"/api/live"}
ANONYMOUS = {("get", "/api/health"), ("get", "/api/ready"), ("post", "/api/session")}
OPERATOR = {
    ("post", "/api/commands"), ("delete", "/api/commands/{command_id}"), ("post", "/api/config/aggregate"),
    ("post", "/api/config/refresh-cache"), ("get", "/api/export"), ("get", "/metrics"),
}  # fmt: skip
ADMIN = {
    ("post", "/api/config/cleanup"), ("put", "/api/config"), ("get", "/api/tokens"), ("post", "/api/tokens"),
    ("delete", "/api/tokens/{token_id}"),
}  # fmt: skip
ROLES = ("browser", "viewer", "operator", "admin")
BROWSER = {("post", "/api/browser/active-tab"), ("get", "/api/browser/status")}
"""Written down once more, so that a handler in the wrong place is noticed."""
OF_THE_RUN = {"read_ms", "created_at", "version", "database_version"}
"""Fields that differ from run to run."""


class Both(NamedTuple):
    """The same question to the database of the whole fleet and to that of the one host."""

    fleet: RunningApi
    alone: RunningApi
    fleet_url: str
    token: str

    async def answers(self, path: str, parameters: Any = None) -> list[tuple[int, str]]:
        found = []
        for api in (self.fleet, self.alone):
            answer = await api.anonymous.get(path, params=parameters, headers=bearer(self.token))
            assert answer.status_code < 500 or answer.status_code == 503, (path, parameters, answer.text)
            found.append((answer.status_code, _plain(answer.text)))
        return found


def _plain(text: str) -> str:
    try:
        return json.dumps(_without(json.loads(text)), sort_keys=True)
    except ValueError:
        return text


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without(one) for key, one in value.items() if key not in OF_THE_RUN}
    return [_without(one) for one in value] if isinstance(value, list) else value


def _of_host(traffic: StoredTraffic, name: str) -> StoredTraffic:
    """What there would be if there were no other host."""
    (host,) = (host for host in traffic.hosts if host.name == name)
    flows = [flow for flow in traffic.flows if flow.host_id == host.id]
    apps, domains = {flow.app_id for flow in flows} | {0}, {flow.domain_id for flow in flows} | {0}
    return traffic._replace(
        hosts=[host],
        apps={number: names for number, names in traffic.apps.items() if number in apps},
        domains={number: domain for number, domain in traffic.domains.items() if number in domains},
        flows=flows,
        coverage=[row for row in traffic.coverage if row.host_id == host.id],
    )


def _apart(traffic: StoredTraffic) -> StoredTraffic:
    """Some applications and domains are the visible host's alone, some others' alone, some everybody's."""
    (seen,) = (host.id for host in traffic.hosts if host.name == SEEN)

    def moved(number: int, own: bool) -> int:
        return number if number % 3 == 0 else number // 3 * 3 + (1 if own else 2)

    flows = [
        flow._replace(
            app_id=min(moved(flow.app_id, flow.host_id == seen), 8),
            domain_id=min(moved(flow.domain_id, flow.host_id == seen), 29),
        )
        for flow in traffic.flows
    ]
    return traffic._replace(flows=flows)


async def _add_foreign_history(url: str) -> None:
    """Orders and views of others, which name a host that the token does not see."""
    connection = await asyncpg.connect(url)
    try:
        for number, state in enumerate(("succeeded", "failed", "accepted")):
            await connection.execute(
                "INSERT INTO command (id, name, target, arguments, actor, actor_verified, dry_run, state, issued_at,"
                " message) VALUES ($1, 'export', $2, $3, 'admin', true, false, $4, now(), $2)",
                f"{number}" * 32,
                FOREIGN,
                json.dumps({"host": [FOREIGN]}),
                state,
            )
            await connection.execute(
                "INSERT INTO command_event (command_id, time, source, state, message) VALUES ($1, now(), $2, $3, $2)",
                f"{number}" * 32,
                FOREIGN,
                state,
            )
        await connection.execute(
            "INSERT INTO saved_view VALUES ($1, 'theirs', $2, 'admin', now())", "9" * 32, f"/hosts?host={FOREIGN}"
        )
    finally:
        await connection.close()


@pytest.fixture
async def both(
    postgres_server: PostgresServer, nats_client: Client, nats_url: str, migrated_database_url: str
) -> AsyncIterator[Both]:
    traffic = _apart(make_traffic(seed=11, end=NOW, minutes=30))
    await store(migrated_database_url, traffic)
    await _add_foreign_history(migrated_database_url)
    alone_url = await postgres_server.create_database()
    try:
        await migrate(DatabaseSettings(alone_url), "Europe/Vienna")
        await store(alone_url, _of_host(traffic, SEEN))
        for url in (migrated_database_url, alone_url):
            await _seen_first_alike(url)
        await streams.provision(nats_client.jetstream())
        token = await add_token(migrated_database_url, "operator", [SEEN])
        await _copy_token(migrated_database_url, alone_url)
        async with AsyncExitStack() as stack:
            apis = [
                await stack.enter_async_context(
                    running_api(url, nats_url, clock=lambda: NOW, client_address="192.0.2.9")
                )
                for url in (migrated_database_url, alone_url)
            ]
            for api in apis:

                async def is_ready(api: RunningApi = api) -> bool:
                    return (await api.anonymous.get("/api/ready")).status_code == 200

                await eventually(is_ready)
            yield Both(apis[0], apis[1], migrated_database_url, token)
    finally:
        await postgres_server.drop_database(alone_url)


async def _seen_first_alike(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for table in ("host", "app", "domain"):
            await connection.execute(f"UPDATE {table} SET first_seen = '2026-11-01'")
    finally:
        await connection.close()


async def _copy_token(source: str, target: str) -> None:
    one, other = await asyncpg.connect(source), await asyncpg.connect(target)
    try:
        row = await one.fetchrow("SELECT id, name, role, hosts, hash, created_at FROM token")
        assert row is not None
        await other.execute(
            "INSERT INTO token (id, name, role, hosts, hash, created_at) VALUES ($1, $2, $3, $4, $5, $6)", *row
        )
    finally:
        await one.close()
        await other.close()


def operations(api: RunningApi) -> list[tuple[str, str, dict[str, Any]]]:
    paths = api.app.openapi_schema.to_schema()["paths"]
    return [
        (method, path, operation)
        for path, item in paths.items()
        for method, operation in item.items()
        if method in METHODS
    ]


def filled(path: str) -> Iterator[str]:
    """Addresses of a path: of what the token sees, of what it does not, and of what is not there."""
    if "{" not in path:
        yield path
        return
    numbers = {
        "host_id": (1, 2, 3, 4, 99), "app_id": (0, 1, 2, 3, 5, 7, 99), "domain_id": (0, 1, 2, 3, 5, 14, 26, 999)
    }  # fmt: skip
    (name,) = re.findall(r"{(\w+)}", path)
    for value in numbers.get(name, ("0" * 32, "2" * 32, "f" * 32, FOREIGN)):
        yield path.replace(f"{{{name}}}", str(value))


def asked(operation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Parameters: none, each value of those that are a choice, and what names foreign hosts."""
    known = {one["name"]: one["schema"] for one in operation.get("parameters", []) if one["in"] == "query"}
    span = {"from": str(NOW - 20 * MINUTE), "to": str(NOW)} if "from" in known else {}
    more = {"text": "host = ", "dimension": "host", "by": "host"}
    base = {**span, **{name: value for name, value in more.items() if name in known}}
    yield base
    if "range" in known:
        for span_name in ("15m", "24h", "30d"):
            yield {**{key: value for key, value in base.items() if key not in ("from", "to")}, "range": span_name}
    for name, schema in known.items():
        for choice in schema.get("enum", []):
            yield {**base, name: choice}
    if "host" in known:
        yield {**base, "host": SEEN}
        yield {**base, "host": FOREIGN}
        yield {**base, "host": [SEEN, FOREIGN]}
    if "filter" in known:
        for text in (f"host = {FOREIGN}", f"host != {SEEN}", f"host = {SEEN}", "scope = loopback", "app ~ app"):
            yield {**base, "filter": text}
    if "text" in known:
        for text in ("host = w", "host = d", "app = app-", "domain = host-1", "domain = ", "site = ", "executable = "):
            yield {**base, "text": text}
        for text in ("app = ", "domain = ", "protocol = ", "port = ", "browser = ", "role = "):
            yield {"text": text, "range": "30d"}


@pytest.mark.timeout(180)
async def test_a_limited_token_is_answered_as_if_there_were_no_other_host(both: Both) -> None:
    asked_for = seen = 0
    for method, path, operation in operations(both.fleet):
        if method != "get" or path in ENDLESS or path == "/api/export":
            continue
        for place, address in enumerate(filled(path)):
            # What all addresses of a path have in common is asked at the first.
            for parameters in list(asked(operation))[: 1 if place else None]:
                fleet, alone = await both.answers(address, parameters)
                assert fleet == alone, (address, parameters)
                assert fleet[0] in (200, 400, 403, 404, 422), (address, parameters, fleet)
                if FOREIGN not in address + str(parameters):
                    assert FOREIGN not in fleet[1], (address, parameters)
                asked_for += 1
                seen += len(fleet[1]) if fleet[0] == 200 else 0
    # Enough was asked, and answered with something.
    assert asked_for > 200
    assert seen > 100_000


async def test_nobody_and_no_lesser_role_gets_anywhere(both: Both) -> None:
    api = both.fleet
    tokens = {role: await add_token(both.fleet_url, role) for role in ROLES}
    seen = set()
    for method, path, operation in operations(api):
        address = re.sub(r"{.*?}", "1" * 32, path)
        needs = "admin" if (method, path) in ADMIN else "operator" if (method, path) in OPERATOR else "viewer"
        needs = "browser" if (method, path) in BROWSER else needs
        if (method, path) in ANONYMOUS:
            assert operation["security"] == [{}]
            continue
        seen.add((method, path))
        assert {"token": [needs]} in operation["security"], (method, path)
        nobody = await api.anonymous.request(method, address)
        assert nobody.status_code == 401, (method, path)
        for role in ROLES:
            if ROLES.index(role) < ROLES.index(needs):
                answer = await api.anonymous.request(method, address, headers=bearer(tokens[role]))
                assert answer.status_code == 403, (method, path, role, answer.text)
                assert f"This takes {'an' if needs[0] in 'ao' else 'a'} {needs}" in answer.json()["detail"]
        if path not in ENDLESS and method == "get" and path != "/api/export":
            answer = await api.anonymous.request(method, address, headers=bearer(tokens[needs]))
            assert answer.status_code not in (401, 403), (method, path, answer.text)
    assert seen >= BROWSER | OPERATOR | ADMIN


async def test_a_limited_token_orders_nothing_for_other_hosts(both: Both) -> None:
    api, mine = both.fleet, bearer(both.token)

    async def order(name: str, status: int, **arguments: Any) -> dict[str, Any]:
        answer = await api.anonymous.post("/api/commands", json={"name": name, "arguments": arguments}, headers=mine)
        assert answer.status_code == status, answer.text
        found: dict[str, Any] = answer.json()
        return found

    assert (await order("pause", 202))["arguments"] == {"hosts": [SEEN]}
    assert (await order("export", 202, **{"from": NOW - MINUTE, "to": NOW}))["arguments"]["host"] == [SEEN]
    for name, arguments in (
        ("pause", {"hosts": [FOREIGN]}),
        ("resume", {"hosts": [SEEN, FOREIGN]}),
        ("set-interval", {"interval": 5, "hosts": ["nobody"]}),
        ("export", {"from": NOW - MINUTE, "to": NOW, "host": [FOREIGN]}),
        ("aggregate", {}),
        ("refresh-cache", {}),
        ("refresh-cache", {"hosts": [SEEN]}),
        ("purge", {"host": SEEN}),
        ("cleanup", {}),
        ("set-retention", {"raw": 3}),
        ("revoke-token", {"token": "0" * 16}),
    ):
        await order(name, 403, **arguments)
    # What others ordered is not there, whatever is done with it.
    for number in range(3):
        foreign = f"{number}" * 32
        await order("cancel", 404, command=foreign)
        assert (await api.anonymous.delete(f"/api/commands/{foreign}", headers=mine)).status_code == 404
    await order("delete-view", 404, view="9" * 32)
    ledger = (await api.anonymous.get("/api/commands", headers=mine)).json()
    assert {one["name"] for one in ledger["commands"]} == {"pause", "export"}
    for route in ("/api/config/aggregate", "/api/config/refresh-cache", "/api/config/cleanup"):
        assert (await api.anonymous.post(route, json={}, headers=mine)).status_code == 403


async def test_another_ones_key_tells_a_limited_token_nothing(both: Both) -> None:
    order = {"name": "aggregate", "idempotency_key": "monday"}
    assert (await both.fleet.client.post("/api/commands", json=order)).status_code == 202
    answer = await both.fleet.anonymous.post(
        "/api/commands", json={"name": "pause", "idempotency_key": "monday"}, headers=bearer(both.token)
    )
    assert (answer.status_code, answer.json()["arguments"]) == (202, {"hosts": [SEEN]})

"""Tokens and sessions by a real aggregator, on two instances of the API."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import asyncpg
import httpx
import pytest
from nats.aio.client import Client

from netally.bus import subjects
from netally.contracts.wire import encode_json
from tests.access_tokens import bearer
from tests.aggregator_process import AggregatorProcess, publish
from tests.api_process import ApiProcess, api_process
from tests.builders import make_batch, make_flow_record, make_live_sample
from tests.ordering import Orders
from tests.services import NatsServer, eventually

REVOKED_WITHIN = 2.0
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


class Stack(NamedTuple):
    one: ApiProcess
    other: ApiProcess
    database_url: str
    nats_url: str

    async def create(self, **order: Any) -> dict[str, Any]:
        answer = await self.one.client.post("/api/tokens", json={"name": "test", **order})
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def statuses(self, token: str, path: str = "/api/session") -> list[int]:
        """Of both instances."""
        return [
            (await api.client.get(path, headers=bearer(token))).status_code for api in (self.one, self.other)
        ]  # fmt: skip


@pytest.fixture
async def stack(nats_server: NatsServer, migrated_database_url: str) -> AsyncIterator[Stack]:
    aggregator = AggregatorProcess(nats_server.url, migrated_database_url)
    aggregator.start()
    try:
        await aggregator.ready()
        async with (
            api_process(migrated_database_url, nats_server.url) as one,
            api_process(migrated_database_url, nats_server.url) as other,
        ):
            for api in (one, other):

                async def is_ready(api: ApiProcess = api) -> bool:
                    return (await api.client.get("/api/ready")).status_code == 200

                await eventually(is_ready)
            yield Stack(one, other, migrated_database_url, nats_server.url)
    finally:
        aggregator.kill()


@contextlib.asynccontextmanager
async def browser(api: ApiProcess) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", headers=SAME_ORIGIN) as client:
        yield client


async def everything_stored(url: str) -> str:
    """Every row of the ledger and of the tokens, as text."""
    connection = await asyncpg.connect(url)
    try:
        rows = []
        for table in ("command", "command_event", "token", "login_session"):
            rows += [str(dict(row)) for row in await connection.fetch(f"SELECT * FROM {table}")]
        return "\n".join(rows)
    finally:
        await connection.close()


async def test_a_tokens_life(stack: Stack, nats_client: Client) -> None:
    heard: list[bytes] = []

    async def hear(message: Any) -> None:
        heard.append(message.subject.encode() + message.data + str(message.headers).encode())

    await nats_client.subscribe(">", cb=hear)
    await nats_client.flush()
    made = await stack.create(name="night watch", role="operator", hosts=["web-1", "web-2"])
    secret, row = made["secret"], made["token"]
    assert (row["state"], row["role"], row["hosts"]) == ("active", "operator", ["web-1", "web-2"])
    assert (row["created_by"], row["last_used"]) == ("admin", None)
    for api in (stack.one, stack.other):
        who = (await api.client.get("/api/session", headers=bearer(secret))).json()
        assert (who["role"], who["hosts"], who["token"]) == ("operator", ["web-1", "web-2"], row["id"])

    # Kept by the aggregator, from what the instances tell.
    async def last_use() -> Any:
        (found,) = (await stack.other.client.get("/api/tokens")).json()["tokens"]
        return found["last_used"]

    await eventually(last_use, within=15)

    began = time.monotonic()
    revoked = await stack.one.client.delete(f"/api/tokens/{row['id']}")
    assert (revoked.status_code, revoked.json()["state"]) == (200, "revoked")
    assert (await stack.one.client.get("/api/session", headers=bearer(secret))).status_code == 401
    while (await stack.other.client.get("/api/session", headers=bearer(secret))).status_code != 401:
        assert time.monotonic() - began < REVOKED_WITHIN
        await asyncio.sleep(0.02)

    # Every order is in the ledger, and the secret nowhere: neither there nor on the bus.
    ledger = (await stack.one.client.get("/api/commands")).json()["commands"]
    assert [(one["name"], one["actor"], one["actor_verified"]) for one in ledger] == [
        ("revoke-token", "admin", True),
        ("create-token", "admin", True),
    ]
    assert set(ledger[1]["arguments"]) == {"token", "name", "role", "hosts"}
    stored, published = await everything_stored(stack.database_url), b"\n".join(heard)
    assert row["id"].encode() in published
    for part in (secret, secret[-43:]):
        assert part not in stored
        assert part.encode() not in published
        assert part not in (await stack.one.client.get("/api/tokens")).text


async def test_an_expired_token_and_its_session_are_of_no_use_on_any_instance(stack: Stack) -> None:
    expires_at = int(time.time() * 1000) + 3_000
    secret = (await stack.create(expires_at=expires_at))["secret"]
    code = (await stack.one.client.post("/api/session/codes", headers=bearer(secret))).json()["code"]
    async with browser(stack.one) as person:
        opened = await person.post("/api/session", json={"code": code})
        assert (opened.status_code, opened.json()["expires_at"], opened.json()["role"]) == (200, expires_at, "viewer")
        assert await stack.statuses(secret) == [200, 200]

        async def is_over() -> bool:
            return time.time() * 1000 > expires_at

        await eventually(is_over)
        assert await stack.statuses(secret) == [401, 401]
        assert (await person.get("/api/session")).status_code == 401


async def test_a_session_ended_on_one_instance_is_over_on_every_other(stack: Stack) -> None:
    code = (await stack.one.client.post("/api/session/codes")).json()["code"]
    async with browser(stack.one) as here, browser(stack.other) as there:
        assert (await here.post("/api/session", json={"code": code})).status_code == 200
        assert (await here.post("/api/session", json={"code": code})).status_code == 401
        cookie = here.cookies["netally_session"]
        there.cookies.set("netally_session", cookie)
        assert (await there.get("/api/session")).status_code == 200
        began = time.monotonic()
        assert (await here.delete("/api/session")).status_code == 204
        while (await there.get("/api/session")).status_code != 401:
            assert time.monotonic() - began < REVOKED_WITHIN
            await asyncio.sleep(0.02)
    # One that begins later knows it as well: the aggregator keeps it.

    async def is_kept() -> bool:
        connection = await asyncpg.connect(stack.database_url)
        try:
            return bool(await connection.fetchval("SELECT ended FROM login_session"))
        finally:
            await connection.close()

    await eventually(is_kept)
    async with api_process(stack.database_url, stack.nats_url) as later, browser(later) as anyone:

        async def is_ready() -> bool:
            return (await anyone.get("/api/ready")).status_code == 200

        await eventually(is_ready)
        answer = await anyone.get("/api/session", headers={"Cookie": f"netally_session={cookie}"})
        assert answer.status_code == 401


async def test_a_code_opens_one_session_on_whichever_instance_it_reaches(stack: Stack) -> None:
    async with browser(stack.one) as here, browser(stack.other) as there:
        for _ in range(3):
            code = (await stack.one.client.post("/api/session/codes")).json()["code"]
            answers = await asyncio.gather(*(one.post("/api/session", json={"code": code}) for one in (here, there)))
            assert sorted(one.status_code for one in answers) == [200, 401]
            again = [(await one.post("/api/session", json={"code": code})).status_code for one in (here, there)]
            assert again == [401, 401]
        code = (await stack.one.client.post("/api/session/codes")).json()["code"]
        assert (await there.post("/api/session", json={"code": code})).status_code == 200
        assert (await here.get("/api/session", headers={"Cookie": _cookie(there)})).status_code == 200


def _cookie(client: httpx.AsyncClient) -> str:
    return f"netally_session={client.cookies['netally_session']}"


async def test_a_live_stream_ends_with_the_token_that_it_was_opened_with(stack: Stack, nats_client: Client) -> None:
    made = await stack.create(hosts=["seen-1"])
    stop = asyncio.Event()

    async def report() -> None:
        while not stop.is_set():
            for host in ("seen-1", "foreign-9"):
                sample = make_live_sample(host=host, time=int(time.time() * 1000))
                await nats_client.publish(subjects.live(host), encode_json(sample))
            await asyncio.sleep(0.5)

    reporting = asyncio.create_task(report())
    lines: list[str] = []
    revoked_at = 0.0
    try:
        async with stack.other.client.stream("GET", "/api/live", headers=bearer(made["secret"])) as answer:
            async for line in answer.aiter_lines():
                lines.append(line)
                if "seen-1" in line and not revoked_at:
                    revoked_at = time.monotonic()
                    await stack.one.client.delete(f"/api/tokens/{made['token']['id']}")
    except httpx.RemoteProtocolError:
        pass  # It was cut.
    finally:
        stop.set()
        await reporting
    assert time.monotonic() - revoked_at < REVOKED_WITHIN + 1
    assert any("seen-1" in line for line in lines)
    assert not any("foreign-9" in line for line in lines)


async def test_an_exported_file_holds_the_hosts_of_the_token_alone(stack: Stack, nats_client: Client) -> None:
    end = int(time.time()) // 5 * 5_000
    for number, host in enumerate(("seen-1", "foreign-9"), 1):
        record = make_flow_record(bytes_in=1_000 * number)
        batch = make_batch(
            [record] * 3, host=host, domains=[f"site-of-{host}.example"], start=end - 60_000, epoch=str(number) * 32
        )
        await publish(nats_client.jetstream(), batch)
    span = {"from": str(end - 600_000), "to": str(end), "tier": "raw"}

    async def all_stored() -> bool:
        answer = await stack.one.client.get("/api/hosts", params={"from": span["from"], "to": span["to"]})
        return {host["name"] for host in answer.json()["hosts"]} == {"seen-1", "foreign-9"}

    await eventually(all_stored, within=20)
    mine = bearer((await stack.create(role="operator", hosts=["seen-1"]))["secret"])
    everything = await stack.one.client.get("/api/export", params={**span, "format": "csv"})
    assert b"foreign-9" in everything.content
    for form in ("csv", "json"):
        for more in (
            {},
            {"host": "seen-1"},
            {"filter": "host != seen-1 or bytes > 1B"},
            {"filter": "host = foreign-9"},
        ):
            answer = await stack.other.client.get("/api/export", params={**span, "format": form, **more}, headers=mine)
            assert answer.status_code == 200, answer.text
            manifest = await stack.one.client.get(
                f"/api/exports/{answer.headers['netally-command']}/manifest", headers=mine
            )
            for text in (answer.text, manifest.text.replace("host = foreign-9", "")):
                assert "foreign" not in text, (form, more)
            foreign_only = more.get("filter") == "host = foreign-9"
            assert ("seen-1" in answer.text) == (not foreign_only), (form, more)
            assert manifest.json()["rows"] == answer.text.count("site-of-seen-1")
        denied = await stack.one.client.get(
            "/api/export", params={**span, "format": form, "host": "foreign-9"}, headers=mine
        )
        assert denied.status_code == 403
    # Nor is there anybody else's file.
    for path in ("", "/manifest"):
        foreign = f"/api/exports/{everything.headers['netally-command']}{path}"
        assert (await stack.one.client.get(foreign, headers=mine)).status_code == 404


async def test_no_token_is_made_in_any_other_way(stack: Stack, nats_client: Client) -> None:
    orders = Orders(nats_client)
    await orders.listen()
    arguments = {
        "token": "0123456789abcdef", "name": "mine", "role": "admin",
        "hash": "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$c2FsdHNhbHRzYWx0c2FsdHNhbHQ",
    }  # fmt: skip
    outcome = await orders.run("create-token", arguments, actor="admin", actor_verified=True)
    assert (outcome.state, outcome.field) == ("failed", "name")
    known = await stack.create()
    outcome = await orders.run("revoke-token", {"token": known["token"]["id"]})
    assert outcome.state == "failed"
    assert await stack.statuses(known["secret"]) == [200, 200]
    # Nor does the way that orders any other command: it could bring a hash that somebody knows the token of.
    answer = await stack.one.client.post("/api/commands", json={"name": "create-token", "arguments": arguments})
    assert (answer.status_code, answer.json()["parameter"]) == (400, "name")
    for order, field in (
        ({"role": "admin", "hosts": ["web-1"]}, "hosts"),
        ({"expires_at": 1_000_000_000_000}, "expires_at"),
    ):
        answer = await stack.one.client.post("/api/tokens", json={"name": "x", **order})
        assert (answer.status_code, answer.json()["parameter"]) == (400, field)
    tokens = (await stack.one.client.get("/api/tokens")).json()["tokens"]
    assert [one["id"] for one in tokens] == [known["token"]["id"]]


async def test_without_an_aggregator_no_token_is_made_later(
    nats_server: NatsServer, migrated_database_url: str
) -> None:
    first = AggregatorProcess(nats_server.url, migrated_database_url)
    first.start()
    await first.ready()
    await first.stop()
    async with api_process(migrated_database_url, nats_server.url) as api:

        async def is_ready() -> bool:
            return (await api.client.get("/api/ready")).status_code == 200

        await eventually(is_ready)
        answer = await api.client.post("/api/tokens", json={"name": "x"}, timeout=40)
        assert answer.status_code == 503, answer.text
        second = AggregatorProcess(nats_server.url, migrated_database_url)
        second.start()
        try:

            async def expired() -> bool:
                (command,) = (await api.client.get("/api/commands")).json()["commands"]
                return bool(command["state"] == "expired")

            await eventually(expired, within=20)
            assert (await api.client.get("/api/tokens")).json() == {"tokens": []}
        finally:
            second.kill()


async def test_the_admin_token_goes_on_working_while_everything_is_away() -> None:
    async with api_process() as api:
        assert (await api.client.get("/api/session")).json()["role"] == "admin"
        unknown = f"netally_{'0' * 16}_{'x' * 43}"
        assert (await api.client.get("/api/session", headers=bearer(unknown))).status_code == 503

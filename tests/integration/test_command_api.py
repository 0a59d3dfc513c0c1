"""Commands through the API: the ledger, waiting, refusals, events, cancelling; all by a real aggregator."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.aggregator_process import AggregatorProcess
from tests.api_in_process import RunningApi, running_api
from tests.ordering import Orders, make_command
from tests.services import eventually


@pytest.fixture
async def api(nats_url: str, migrated_database_url: str) -> AsyncIterator[RunningApi]:
    async with running_api(migrated_database_url, nats_url) as api:

        async def bus_is_there() -> bool:
            parts = (await api.anonymous.get("/api/health")).json()["parts"]
            return all(part["ready"] for part in parts)

        await eventually(bus_is_there)
        yield api


async def post(api: RunningApi, path: str, status: int, body: Any = None, **headers: str) -> dict[str, Any]:
    answer = (
        await api.client.post(path, json=body, headers=headers) if body is not None else await api.client.post(path)
    )
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_aggregate_is_waited_for_and_is_in_the_ledger(aggregator: AggregatorProcess, api: RunningApi) -> None:
    row = await post(api, "/api/config/aggregate?wait=20", 200, {"tier": "daily"})
    assert (row["state"], row["actor"], row["actor_verified"]) == ("succeeded", "admin", True)
    assert set(row["result"]["tiers"]) == {"1m", "1h", "1d"}
    shown = await api.get("/api/commands")
    assert [one["id"] for one in shown["commands"]] == [row["id"]]
    one = await api.get(f"/api/commands/{row['id']}")
    assert [event["state"] for event in one["events"]] == ["accepted", "progress", "succeeded"]


async def test_without_a_body_it_is_everything(aggregator: AggregatorProcess, api: RunningApi) -> None:
    row = await post(api, "/api/config/aggregate?wait=20", 200)
    assert row["arguments"] == {}
    row = await post(api, "/api/config/cleanup?wait=20", 200, {"dry_run": True})
    assert (row["dry_run"], row["result"]["rows"]) == (True, 0)


async def test_events_are_streamed_until_the_end(aggregator: AggregatorProcess, api: RunningApi) -> None:
    row = await post(api, "/api/config/refresh-cache?wait=20", 200, {"wait_seconds": 0.2})
    async with api.client.stream("GET", f"/api/commands/{row['id']}/events") as answer:
        lines = [line async for line in answer.aiter_lines()]
    data = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert data[0]["state"] == "accepted"
    assert data[-1]["state"] == "succeeded"


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("make-coffee", {}, "name"),
    ("aggregate", {"tier": "weekly"}, "tier"),
    ("aggregate", {"from": 1_795_305_600_000, "to": 1_795_305_500_000}, "from"),
    ("aggregate", {"ranges": []}, "ranges"),
    ("export", {"to": 1_795_305_500_000}, "from"),
    ("set-interval", {"interval": 7}, "interval"),
    ("set-log-level", {"level": "debug"}, "target"),
    ("set-naming-rules", {"rules": "chrome"}, "rules"),
    ("purge", {}, "host"),
    ("purge", {"host": "a", "app": "b"}, "app"),
    ("set-retention", {"raw": 0}, "raw"),
    ("cancel", {"command": "x"}, "command"),
]


async def test_a_refusal_names_the_field_and_is_in_the_ledger(aggregator: AggregatorProcess, api: RunningApi) -> None:
    for name, arguments, field in REFUSED:
        problem = await post(api, "/api/commands", 400, {"name": name, "arguments": arguments})
        assert problem["parameter"] == field
        one = await api.get(f"/api/commands/{problem['command']}")
        assert (one["command"]["state"], one["command"]["field"]) == ("failed", field)
        assert [event["state"] for event in one["events"]] == ["failed"]


async def test_without_an_aggregator_it_waits_and_runs_later(
    nats_url: str, migrated_database_url: str, api: RunningApi
) -> None:
    process = AggregatorProcess(nats_url, migrated_database_url)
    process.start()
    await process.ready()
    await process.stop()
    row = await post(api, "/api/config/aggregate", 202)
    assert row["state"] == "waiting"
    assert (await api.get(f"/api/commands/{row['id']}"))["command"]["state"] == "waiting"
    listed = await api.get("/api/commands")
    assert ([one["id"] for one in listed["commands"]], listed["waiting"]) == ([row["id"]], 1)
    process.start()

    async def succeeded() -> bool:
        return bool((await api.get(f"/api/commands/{row['id']}"))["command"]["state"] == "succeeded")

    try:
        await eventually(succeeded, within=30)
    finally:
        process.kill()


async def test_the_same_key_runs_once(aggregator: AggregatorProcess, api: RunningApi) -> None:
    both = await asyncio.gather(
        *(post(api, "/api/config/aggregate?wait=20", 200, {}, **{"Idempotency-Key": "monday"}) for _ in range(2))
    )
    assert both[0]["id"] == both[1]["id"]
    problem = await api.client.post("/api/config/cleanup", headers={"Idempotency-Key": "monday"})
    assert (problem.status_code, problem.json()["parameter"]) == (409, "idempotency_key")
    assert len((await api.get("/api/commands"))["commands"]) == 1


async def test_the_same_key_by_bus_and_api_runs_once(
    aggregator: AggregatorProcess, api: RunningApi, orders: Orders
) -> None:
    first = await orders.run("aggregate", {"tier": "all"}, idempotency_key="monday")
    again = await post(
        api, "/api/commands?wait=20", 200,
        {"name": "aggregate", "arguments": {"tier": "all"}, "idempotency_key": "monday"},
    )  # fmt: skip
    assert (again["id"], again["state"]) == (first.command_id, "succeeded")
    # Both at once: whichever comes first runs, and the other is told of it.
    order = {"name": "cleanup", "dry_run": True, "idempotency_key": "tuesday"}
    by_bus = make_command("cleanup", {}, dry_run=True, idempotency_key="tuesday")
    _, by_api = await asyncio.gather(orders.send(by_bus), post(api, "/api/commands?wait=20", 200, order))
    told = await orders.until(by_bus, "accepted", "progress", "succeeded")
    assert (told.result.get("same_as", by_bus.id), by_api["state"]) == (by_api["id"], "succeeded")
    other = await api.client.post("/api/commands", json={"name": "aggregate", "idempotency_key": "tuesday"})
    assert (other.status_code, other.json()["parameter"]) == (409, "idempotency_key")
    assert len((await api.get("/api/commands"))["commands"]) == 2


async def test_settings_before_and_after(aggregator: AggregatorProcess, api: RunningApi) -> None:
    answer = await api.client.put("/api/config?dry_run=true", json={"retention": {"raw": 10}})
    assert answer.json()["result"]["changes"] == {"raw": {"before": 7, "after": 10}}
    before = (await api.get("/api/config"))["retention"]
    assert before == {"raw": 7, "minutes": 30, "hours": 365, "days": None}
    answer = await api.client.put("/api/config", json={"retention": {"raw": 10}, "ledger_days": 30})
    assert answer.json()["state"] == "succeeded", answer.text
    config = await api.get("/api/config")
    assert (config["retention"]["raw"], config["ledger_days"], config["version"]) == (10, 30, 1)
    answer = await api.client.put("/api/config", json={"retention": {"raw": 3}})
    assert (answer.json()["state"], answer.json()["field"]) == ("failed", "retention.raw")


async def test_the_documents_of_bus_and_commands_are_served(api: RunningApi) -> None:
    document = await api.get("/api/asyncapi.json")
    assert document["asyncapi"].startswith("3.")
    assert set(document["channels"]["commands"]["messages"]) >= {"aggregate", "export", "cancel"}
    kinds = (await api.client.get("/api/commands/kinds")).json()
    assert {kind["name"] for kind in kinds} == set(document["channels"]["commands"]["messages"])

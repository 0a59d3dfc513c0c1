"""Pages kept under a name: saved, changed, listed and deleted through the API, by a real aggregator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.aggregator_process import AggregatorProcess
from tests.api_in_process import RunningApi, running_api
from tests.services import eventually

ADDRESS = "/explore?range=7d&filter=app+%3D+restic&by=app&then=host"


@pytest.fixture
async def api(nats_url: str, migrated_database_url: str) -> AsyncIterator[RunningApi]:
    aggregator = AggregatorProcess(nats_url, migrated_database_url)
    aggregator.start()
    async with running_api(migrated_database_url, nats_url) as api:

        async def all_is_there() -> bool:
            parts = (await api.anonymous.get("/api/health")).json()["parts"]
            return all(part["ready"] for part in parts)

        await eventually(all_is_there)
        await aggregator.ready()
        yield api
    aggregator.kill()


async def order(api: RunningApi, command: str, /, **arguments: Any) -> dict[str, Any]:
    answer = await api.client.post("/api/commands?wait=20", json={"name": command, "arguments": arguments})
    found: dict[str, Any] = {"status": answer.status_code, **answer.json()}
    return found


async def test_a_view_is_saved_changed_and_deleted_by_commands(api: RunningApi) -> None:
    assert (await api.get("/api/views"))["views"] == []
    saved = await order(api, "save-view", name="  Nightly\u00a0 backup ", address=ADDRESS)
    assert (saved["state"], saved["message"]) == ("succeeded", "view Nightly backup saved")
    await order(api, "save-view", name="all of it", address="/explore")
    views = (await api.get("/api/views"))["views"]
    assert [(view["name"], view["address"], view["owner"]) for view in views] == [
        ("all of it", "/explore", "admin"),
        ("Nightly backup", ADDRESS, "admin"),
    ]
    identity = views[1]["id"]
    assert identity == saved["id"]
    # The same name leads elsewhere; who has its id still finds it.
    again = await order(api, "save-view", name="Nightly backup", address="/explore?range=24h")
    assert again["result"]["replaced"] is True
    views = (await api.get("/api/views"))["views"]
    assert [(view["id"], view["address"]) for view in views][1] == (identity, "/explore?range=24h")
    assert len(views) == 2
    deleted = await order(api, "delete-view", view=identity)
    assert deleted["message"] == "view Nightly backup deleted"
    assert [view["name"] for view in (await api.get("/api/views"))["views"]] == ["all of it"]
    refused = await order(api, "delete-view", view=identity)
    assert (refused["status"], refused["state"], refused["field"]) == (200, "failed", "view")
    ledger = (await api.get("/api/commands"))["commands"]
    assert {row["name"] for row in ledger} == {"save-view", "delete-view"}

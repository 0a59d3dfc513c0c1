from __future__ import annotations

from typing import Any

import httpx

from netally.api.app import create_app
from netally.api.settings import Settings
from tests.api_in_process import TOKEN, running_api
from tests.services import eventually


async def test_health_is_200_and_ready_is_503_while_parts_are_away() -> None:
    async with running_api() as api:

        async def bus_was_tried() -> bool:
            parts = (await api.anonymous.get("/api/health")).json()["parts"]
            return "cannot reach NATS" in parts[1]["reason"]

        await eventually(bus_was_tried)
        health, ready = await api.anonymous.get("/api/health"), await api.anonymous.get("/api/ready")
    assert (health.status_code, ready.status_code) == (200, 503)
    assert health.json()["ready"] is ready.json()["ready"] is False
    parts = {part["name"]: part["reason"] for part in ready.json()["parts"]}
    assert parts["database"] == "NETALLY_DATABASE_URL is not set"
    assert set(parts) == {"database", "bus"}
    assert health.json()["version"]


async def test_metrics_are_prometheus_text() -> None:
    async with running_api() as api:
        answer = await api.client.get("/metrics")
    assert answer.headers["content-type"].count("charset") == 1
    assert "# TYPE netally_api_requests_total counter" in answer.text


async def test_where_the_servers_are_is_not_told_to_strangers() -> None:
    database = "postgresql://netally:secret@127.0.0.1:1/netally"
    async with running_api(client_address="203.0.113.9") as api:
        told = (await api.anonymous.get("/api/health")).text + (await api.anonymous.get("/api/ready")).text
    settings = Settings(database_url=database, nats_url="nats://127.0.0.1:9", admin_token=TOKEN)
    app: Any = create_app(settings)
    for address, headers in (("203.0.113.9", {}), ("127.0.0.1", {"X-Forwarded-For": "203.0.113.9"})):
        transport = httpx.ASGITransport(app, client=(address, 50_000))
        async with httpx.AsyncClient(transport=transport, base_url="http://netally.test", headers=headers) as stranger:
            told += (await stranger.get("/api/health")).text
    assert "the log of the API says why" in told
    for secret in ("127.0.0.1", "NATS", "netally:", "NETALLY_"):
        assert secret not in told

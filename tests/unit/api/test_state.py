from __future__ import annotations

from tests.api_in_process import running_api
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

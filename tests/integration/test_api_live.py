"""Live figures from real samples on a real bus."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from nats.aio.client import Client

from netally.api.app import wall_clock
from netally.bus import subjects
from netally.contracts.wire import encode_json
from tests.api_in_process import RunningApi, running_api
from tests.builders import make_live_sample
from tests.services import NatsServer, eventually


async def publish(client: Client, host: str, **changes: Any) -> None:
    sample = make_live_sample(host=host, time=wall_clock(), flows=[], **changes)
    await client.publish(subjects.live(host), encode_json(sample))
    await client.flush()


@asynccontextmanager
async def live_api(nats_url: str) -> AsyncIterator[RunningApi]:
    async with running_api(nats_url=nats_url) as api:

        async def bus_answers() -> bool:
            parts = (await api.anonymous.get("/api/health")).json()["parts"]
            return all(part["ready"] for part in parts if part["name"] == "bus")

        await eventually(bus_answers)
        yield api


@pytest.mark.alone
async def test_ten_megabytes_in_a_second_then_silence_then_away(nats_server: NatsServer, nats_client: Client) -> None:
    """2 MB/s ± 5 % after 10 MB in one second, 0 within 6 s of silence, null when the agent is away."""
    host = "web-1.example.org"
    async with live_api(nats_server.url) as api:

        async def rate() -> float | None:
            found: float | None = (await api.get("/api/stats/bandwidth"))["total"]["bytes_in"]
            return found

        assert await rate() is None
        for _ in range(6):
            await publish(nats_client, host, bytes_in=0, bytes_out=0)
            await asyncio.sleep(1)
        assert await rate() == 0
        await publish(nats_client, host, bytes_in=10_000_000, bytes_out=0)
        burst = time.monotonic()

        async def shows_the_burst() -> bool:
            found = await rate()
            return found is not None and abs(found - 2_000_000) <= 100_000

        await eventually(shows_the_burst, within=1)
        while await rate() != 0:
            assert time.monotonic() - burst < 6
            await asyncio.sleep(1)
            await publish(nats_client, host, bytes_in=0, bytes_out=0)

        async def is_away() -> bool:
            answer = await api.get("/api/stats/bandwidth")
            return (
                answer["total"] == {"bytes_in": None, "bytes_out": None}
                and answer["hosts"][0]["bytes_in"] is None
                and answer["meta"]["hosts_missing"] == [host]
            )

        await eventually(is_away, within=8, every=0.3)


async def test_each_host_has_its_rate_and_hostile_samples_have_none(
    nats_server: NatsServer, nats_client: Client
) -> None:
    async with live_api(nats_server.url) as api:
        for _ in range(7):
            await publish(nats_client, "web-1", bytes_in=1_000)
            await publish(nats_client, "web.2", bytes_in=2_000)
            await nats_client.publish(subjects.live("web-3"), b"no json")
            await nats_client.publish(subjects.live("web-4"), encode_json(make_live_sample(host="web-1")))
            await asyncio.sleep(1)
        answer = await api.get("/api/stats/bandwidth")
    rates = {host["host"]: host["bytes_in"] for host in answer["hosts"]}
    assert set(rates) == {"web-1", "web.2"}
    assert 900 < rates["web-1"] < 1_100
    assert answer["total"]["bytes_in"] == sum(rates.values())


async def test_figures_come_back_when_the_bus_does(nats_server: NatsServer) -> None:
    nats_server.stop()
    async with running_api(nats_url=nats_server.url) as api:

        async def bus_is(ready: bool) -> bool:
            parts = (await api.anonymous.get("/api/ready")).json()["parts"]
            return all(part["ready"] is ready for part in parts if part["name"] == "bus")

        await eventually(lambda: bus_is(False))
        await asyncio.to_thread(nats_server.start)
        await eventually(lambda: bus_is(True), within=20)
        nats_server.kill()
        await eventually(lambda: bus_is(False), within=20)
        await asyncio.to_thread(nats_server.start)
        await eventually(lambda: bus_is(True), within=20)

        client = Client()
        await client.connect(nats_server.url)

        async def shows_the_host() -> bool:
            await publish(client, "web-1")
            return bool((await api.get("/api/stats/bandwidth"))["hosts"])

        await eventually(shows_the_host, within=20, every=0.5)
        await client.close()

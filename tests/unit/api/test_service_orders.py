"""The API's answers to broadcasts, on a real bus."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from nats.aio.client import Client

from netally.api.bus import LiveBus
from netally.api.service_orders import ServiceOrders
from netally.bus import settings_bucket, streams, subjects
from netally.bus.gather import ask_all
from netally.contracts.commands import CacheOrder, CacheReply, FollowOrder, FollowReply
from netally.contracts.live_settings import ServiceConfig
from tests.services import eventually


@pytest.fixture
async def orders(nats_client: Client, nats_url: str) -> AsyncIterator[ServiceOrders]:
    level = logging.getLogger().level
    await streams.provision(nats_client.jetstream(), streams.LEAST_FLOWS_BYTES)
    bus = LiveBus(nats_url, lambda sample: True)
    await bus.run()
    orders = ServiceOrders(bus, lambda: {"things": 3})
    task = asyncio.create_task(orders.run())
    yield orders
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await bus.close()
    logging.getLogger().setLevel(level)


async def test_it_answers_and_follows(nats_client: Client, orders: ServiceOrders) -> None:
    async def caches() -> list[CacheReply]:
        subject = subjects.command_to_services("refresh-cache")
        return await ask_all(nats_client, [subject], CacheOrder("1" * 32, []), CacheReply, wait=1)

    (reply,) = await eventually(caches)
    assert (reply.service, reply.dropped) == ("api", {"things": 3})
    key = subjects.service_settings_key("api")
    await settings_bucket.write(nats_client.jetstream(), key, ServiceConfig(1, "error"), 0)
    subject = subjects.command_to_services("follow-settings")
    (told,) = await ask_all(nats_client, [subject], FollowOrder("1" * 32, "api"), FollowReply, wait=1)
    assert (told.version, told.after) == (1, {"log_level": "error"})
    assert await ask_all(nats_client, [subject], FollowOrder("1" * 32, "aggregator"), FollowReply, wait=1) == []

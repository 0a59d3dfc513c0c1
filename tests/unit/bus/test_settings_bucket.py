"""The bucket of settings, on a real server: read, replaced only when unchanged, heard by its host."""

from __future__ import annotations

import asyncio

import pytest
from nats.aio.client import Client

from netally.bus import settings_bucket, streams, subjects
from netally.contracts.live_settings import HostSettings
from netally.contracts.wire import decode_json


async def test_written_read_and_republished(nats_client: Client) -> None:
    js = nats_client.jetstream()
    await streams.provision(js, streams.LEAST_FLOWS_BYTES)
    key = subjects.host_settings_key("web-1.example.org")
    assert await settings_bucket.read(js, key, HostSettings) == (None, 0)
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def hear(message: object) -> None:
        await heard.put(message.data)  # type: ignore[attr-defined]

    await nats_client.subscribe(subjects.host_settings("web-1.example.org"), cb=hear)
    await settings_bucket.write(js, key, HostSettings(1, paused=True), 0)
    found, revision = await settings_bucket.read(js, key, HostSettings)
    assert (found, revision > 0) == (HostSettings(1, paused=True), True)
    async with asyncio.timeout(5):
        assert decode_json(await heard.get(), HostSettings).paused
    with pytest.raises(settings_bucket.OvertakenError):
        await settings_bucket.write(js, key, HostSettings(2), 0)
    await settings_bucket.write(js, key, HostSettings(2), revision)

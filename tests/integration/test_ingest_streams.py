"""The aggregator makes the streams it needs, on whatever room the server has, and nothing else changes them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import nats
import pytest
from nats.js.api import StreamConfig
from nats.js.errors import NotFoundError

from netally.bus import streams
from tests.services import NatsServer


async def test_streams_are_made_and_brought_back_to_what_is_declared(nats_server: NatsServer) -> None:
    client = await nats.connect(nats_server.url)
    try:
        js = client.jetstream()
        await js.add_stream(StreamConfig(name=streams.OUTCOMES, subjects=["outcomes.v1.*.*"], max_age=60))
        await streams.provision(js, streams.LEAST_FLOWS_BYTES)
        await streams.provision(js, streams.LEAST_FLOWS_BYTES)
        for wanted in streams.stream_configs(streams.LEAST_FLOWS_BYTES):
            config = (await js.stream_info(wanted.name or "")).config
            assert config.subjects == wanted.subjects
            assert config.max_bytes == wanted.max_bytes
            assert (config.max_age or 0) == (wanted.max_age or 0)
        for stream, consumer in streams.consumer_configs():
            assert (await js.consumer_info(stream, consumer.durable_name or "")).config.max_deliver == -1
    finally:
        await client.close()


async def test_a_server_with_little_room_gets_a_smaller_stream(tmp_path: Path) -> None:
    others = sum(config.max_bytes or 0 for config in streams.stream_configs(0, 0))
    server = NatsServer(tmp_path, max_store=others + 700 * streams.MIB)
    await asyncio.to_thread(server.start)
    client = await nats.connect(server.url)
    try:
        js = client.jetstream()
        await streams.provision(js, 8 * streams.GIB)
        assert (await js.stream_info(streams.FLOWS)).config.max_bytes == 512 * streams.MIB
        # Asked again, it stays so.
        await streams.provision(js, 8 * streams.GIB)
        assert (await js.stream_info(streams.FLOWS)).config.max_bytes == 512 * streams.MIB
    finally:
        await client.close()
        server.stop()


async def test_a_server_without_room_is_told_so(tmp_path: Path) -> None:
    server = NatsServer(tmp_path, max_store=300 * streams.MIB)
    await asyncio.to_thread(server.start)
    client = await nats.connect(server.url)
    try:
        with pytest.raises(streams.NoRoomError, match="raise max_file_store"):
            await streams.provision(client.jetstream())
        with pytest.raises(NotFoundError):
            await client.jetstream().stream_info(streams.FLOWS)
    finally:
        await client.close()
        server.stop()

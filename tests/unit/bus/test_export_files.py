"""Files in the object store, on a real server: whole under their name or not there; readable by any client."""

from __future__ import annotations

import hashlib

import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext

from netally.bus import export_files, streams
from netally.bus.export_files import PIECE, FileWriter

DATA = bytes(range(256)) * 3000


async def test_written_in_pieces_and_read_as_nats_does(nats_client: Client) -> None:
    js = nats_client.jetstream()
    await streams.provision(js, streams.LEAST_FLOWS_BYTES)
    async with FileWriter(js, "1" * 32, "name.csv") as file:
        for start in range(0, len(DATA), 10_000):
            await file.write(DATA[start : start + 10_000])
        assert await export_files.find(js, "name.csv") is None
        stored = await file.publish()
    assert (stored.size, stored.sha256) == (len(DATA), hashlib.sha256(DATA).hexdigest())
    assert stored.pieces == -(-len(DATA) // PIECE)
    assert await export_files.find(js, "name.csv") == stored
    assert b"".join([piece async for piece in export_files.read(js, stored)]) == DATA
    store = await js.object_store(streams.EXPORTS_BUCKET)
    assert (await store.get("name.csv")).data == DATA


async def fill(js: JetStreamContext, mebibytes: int) -> None:
    """Write, and end in the midst of it."""
    async with FileWriter(js, "1" * 32, "name.csv") as file:
        for _ in range(mebibytes):
            await file.write(bytes(streams.MIB))
        raise InterruptedError


async def test_without_its_name_nothing_stays(nats_client: Client) -> None:
    js = nats_client.jetstream()
    await streams.provision(js, streams.LEAST_FLOWS_BYTES)
    with pytest.raises(InterruptedError):
        await fill(js, 1)
    assert (await js.stream_info("OBJ_exports")).state.messages == 0


async def test_whatever_one_that_died_had_sent_the_next_is_whole(nats_client: Client) -> None:
    js = nats_client.jetstream()
    await streams.provision(js, streams.LEAST_FLOWS_BYTES)
    for published in (False, True):
        # Died before it was left, with the same bytes sent or even named.
        died = FileWriter(js, "1" * 32, "name.csv")
        await died.__aenter__()
        await died.write(DATA)
        await died.digest()
        if published:
            await died.publish()
        async with FileWriter(js, "1" * 32, "name.csv") as file:
            assert await export_files.find(js, "name.csv") is None
            await file.write(DATA)
            stored = await file.publish()
        assert b"".join([piece async for piece in export_files.read(js, stored)]) == DATA
        died._published = True
        await died.__aexit__(None, None, None)


async def test_a_full_store_is_said_in_words(nats_client: Client) -> None:
    js = nats_client.jetstream()
    await streams.provision(js, streams.LEAST_FLOWS_BYTES, exports_max_bytes=streams.LEAST_EXPORTS_BYTES)
    with pytest.raises(export_files.StoreFullError):
        await fill(js, 20)
    assert (await js.stream_info("OBJ_exports")).state.messages == 0

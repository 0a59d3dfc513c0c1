"""The publisher on a real server: what leaves the spool is stored, what is not stored stays."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import nats
import pytest
from nats.js.api import DiscardPolicy, StreamConfig

from netally.bus import subjects
from netally.bus.streams import AGENTS, FLOWS, provision
from netally.capture.publisher import Publisher
from netally.capture.spool import Spool, SpooledBatch
from netally.contracts.agent import AgentReported, LiveSample
from netally.contracts.wire import decode_batch, decode_json
from tests.builders import make_agent_report, make_batch, make_live_sample
from tests.services import NatsServer, eventually, free_port

HOST = "web-1.example.org"


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool.sqlite3", max_bytes=10**9, max_age=1e9)
    yield spool
    spool.close()


@pytest.fixture
def disk() -> Iterator[Executor]:
    with ThreadPoolExecutor(max_workers=1) as disk:
        yield disk


@contextlib.asynccontextmanager
async def running(url: str, spool: Spool, disk: Executor) -> AsyncIterator[Publisher]:
    publisher = Publisher(url, spool, disk)
    task = asyncio.create_task(publisher.run())
    yield publisher
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.1)
    await publisher.finish(1)


async def drained(publisher: Publisher, spool: Spool) -> None:
    async def empty() -> bool:
        return spool.batches == 0 and not publisher.problem

    await eventually(empty, within=15)


async def stored(url: str) -> list[int]:
    """Sequences in the stream, after checking that ids and bodies agree."""
    client = await nats.connect(url)
    js = client.jetstream()
    sequences = []
    for number in range(1, (await js.stream_info(FLOWS)).state.last_seq + 1):
        message = await js.get_msg(FLOWS, number)
        batch = decode_batch(message.data or b"")
        assert message.subject == subjects.flows(HOST)
        assert (message.headers or {})["Nats-Msg-Id"] == f"{HOST}/{batch.epoch}/{batch.sequence}"
        assert (message.headers or {})["Content-Encoding"] == "zstd"
        sequences.append(batch.sequence)
    await client.close()
    return sequences


async def make_streams(url: str) -> None:
    client = await nats.connect(url)
    await provision(client.jetstream())
    await client.close()


async def test_batches_arrive_in_order_and_leave_the_spool(nats_url: str, spool: Spool, disk: Executor) -> None:
    await make_streams(nats_url)
    spool.append([make_batch() for _ in range(150)], 1e9)
    async with running(nats_url, spool, disk) as publisher:
        await drained(publisher, spool)
        spool.append([make_batch()], 1e9)
        publisher.wake()
        await drained(publisher, spool)
    assert await stored(nats_url) == list(range(1, 152))


async def test_without_a_stream_they_wait_and_the_reason_is_said(nats_url: str, spool: Spool, disk: Executor) -> None:
    spool.append([make_batch()], 1e9)
    async with running(nats_url, spool, disk) as publisher:

        async def told() -> bool:
            return "aggregator" in publisher.problem

        await eventually(told)
        assert spool.batches == 1
        await make_streams(nats_url)
        await drained(publisher, spool)
    assert await stored(nats_url) == [1]


async def test_a_full_stream_keeps_them_in_the_spool(nats_url: str, spool: Spool, disk: Executor) -> None:
    client = await nats.connect(nats_url)
    js = client.jetstream()
    small = StreamConfig(name=FLOWS, subjects=["flows.v1.*"], max_msgs=3, discard=DiscardPolicy.NEW)
    await js.add_stream(small)
    spool.append([make_batch() for _ in range(5)], 1e9)
    async with running(nats_url, spool, disk) as publisher:

        async def told() -> bool:
            return "full" in publisher.problem

        await eventually(told)
        assert [batch.sequence for batch in spool.oldest(10)] == [4, 5]
        small.max_msgs = 10
        await js.update_stream(small)
        await drained(publisher, spool)
    await client.close()
    assert await stored(nats_url) == [1, 2, 3, 4, 5]


async def test_a_server_that_starts_late_and_stops_meanwhile(tmp_path: Path, spool: Spool, disk: Executor) -> None:
    directory = tmp_path / "late"
    directory.mkdir()
    server = NatsServer(directory, free_port())
    spool.append([make_batch()], 1e9)
    async with running(server.url, spool, disk) as publisher:

        async def told() -> bool:
            return bool(publisher.problem) and not publisher.connected

        await eventually(told)
        await asyncio.to_thread(server.start)
        await make_streams(server.url)
        await drained(publisher, spool)
        await asyncio.to_thread(server.kill)
        await eventually(told)
        spool.append([make_batch()], 1e9)
        publisher.wake()
        await asyncio.to_thread(server.start)
        await drained(publisher, spool)
    assert await stored(server.url) == [1, 2]
    server.stop()


async def test_a_spool_that_cannot_be_read_for_a_while_is_said_and_drained_later(
    nats_url: str, spool: Spool, disk: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_streams(nats_url)
    spool.append([make_batch()], 1e9)

    def fail(limit: int) -> list[SpooledBatch]:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as broken:
        broken.setattr(spool, "oldest", fail)
        async with running(nats_url, spool, disk) as publisher:

            async def said() -> bool:
                return publisher.problem == "the spool cannot be read: disk I/O error"

            await eventually(said)
            broken.undo()
            await drained(publisher, spool)
    assert await stored(nats_url) == [1]


async def test_sent_twice_is_stored_once(nats_url: str, spool: Spool, disk: Executor, tmp_path: Path) -> None:
    await make_streams(nats_url)
    spool.append([make_batch()], 1e9)
    for _ in range(2):
        # As after a crash between the acknowledgement and the deletion.
        copy = Spool(tmp_path / "spool.sqlite3", max_bytes=10**9, max_age=1e9)
        kept = copy.oldest(1)[0]
        async with running(nats_url, copy, disk) as publisher:
            await drained(publisher, copy)
        copy._database.execute("INSERT INTO batch VALUES (?, ?, ?, 0, ?)", (kept.sequence, kept.host, 1e9, kept.body))
        copy.close()
    assert await stored(nats_url) == [1]


async def test_state_and_live_samples(nats_url: str, spool: Spool, disk: Executor) -> None:
    await make_streams(nats_url)
    client = await nats.connect(nats_url)
    samples = await client.subscribe(subjects.live(HOST))
    async with running(nats_url, spool, disk) as publisher:
        # Before there is a connection both are dropped, not waited for.
        assert not await publisher.report(make_agent_report())
        await publisher.live(make_live_sample())

        async def connected() -> bool:
            return publisher.connected

        await eventually(connected)
        assert await publisher.report(make_agent_report(sequence=7))
        await publisher.live(make_live_sample(bytes_in=77))
        sample = decode_json((await samples.next_msg(5)).data, LiveSample)
        state = decode_json((await client.jetstream().get_msg(AGENTS, 1)).data or b"", AgentReported)
    await client.close()
    assert (sample.bytes_in, state.sequence) == (77, 7)


async def test_a_state_without_a_stream_to_keep_it_is_not_taken_for_stored(
    nats_url: str, spool: Spool, disk: Executor
) -> None:
    async with running(nats_url, spool, disk) as publisher:

        async def connected() -> bool:
            return publisher.connected

        await eventually(connected)
        assert not await publisher.report(make_agent_report())
        await make_streams(nats_url)
        assert await publisher.report(make_agent_report())


async def test_ends_while_it_cannot_connect(spool: Spool, disk: Executor) -> None:
    async with running(f"nats://127.0.0.1:{free_port()}", spool, disk) as publisher:
        await asyncio.sleep(0)
        assert publisher.problem

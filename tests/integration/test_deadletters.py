"""What can never be stored goes to DEADLETTERS with its reason; its neighbours are stored as if it were not there."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import msgspec
import pytest
import zstandard
from nats.aio.client import Client
from nats.js import JetStreamContext

from netally.bus import streams, subjects
from netally.contracts.commands import DeadLetter
from netally.contracts.flow import MAX_AMOUNT
from netally.contracts.wire import decode_json, encode_batch, encode_json
from tests.aggregator_process import AggregatorProcess, publish
from tests.builders import make_agent_report, make_batch, make_flow_record
from tests.services import NatsServer, eventually


def start_of(sequence: int) -> int:
    return (int(time.time()) // 5 - 100 + sequence) * 5_000


@pytest.fixture
async def aggregator(nats_server: NatsServer, empty_database_url: str) -> AsyncIterator[AggregatorProcess]:
    process = AggregatorProcess(nats_server.url, empty_database_url)
    process.start()
    await process.ready()
    yield process
    process.kill()


@pytest.fixture
async def database(aggregator: AggregatorProcess, empty_database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(empty_database_url)
    yield connection
    await connection.close()


@pytest.fixture
def js(nats_client: Client) -> JetStreamContext:
    return nats_client.jetstream()


async def dead_letters(js: JetStreamContext, count: int) -> list[DeadLetter]:
    """So many dead letters, as soon as they are there and nothing waits any more."""

    async def found() -> list[DeadLetter]:
        for stream in (streams.FLOWS, streams.AGENTS):
            info = await js.consumer_info(stream, streams.AGGREGATOR)
            assert info.num_pending == 0
            assert info.num_ack_pending == 0
        state = (await js.stream_info(streams.DEADLETTERS)).state
        assert state.messages == count
        messages = [await js.get_msg(streams.DEADLETTERS, seq=number) for number in range(1, count + 1)]
        return [decode_json(message.data or b"", DeadLetter) for message in messages]

    return await eventually(found, within=20)


async def flows(database: asyncpg.Connection) -> Any:
    return await database.fetchval("SELECT count(*) FROM flow")


async def test_noise_between_batches_is_buried_and_the_batches_land(
    js: JetStreamContext, database: asyncpg.Connection, aggregator: AggregatorProcess
) -> None:
    for number in range(1, 11):
        await publish(js, make_batch(sequence=number, start=start_of(number)))
        await js.publish("flows.v1.web-1_2eexample_2eorg", b"noise %d" % number)
    letters = await dead_letters(js, 10)
    assert {letter.payload for letter in letters} == {b"noise %d" % number for number in range(1, 11)}
    assert all("not a zstd frame" in letter.reason for letter in letters)
    assert {letter.stream_sequence for letter in letters} == set(range(2, 21, 2))
    assert await flows(database) == 10
    assert await aggregator.counter('netally_aggregator_dead_letters_total{stream="FLOWS"}') == 10


async def test_absurd_values_are_buried_or_fit_and_the_stream_goes_on(
    js: JetStreamContext, database: asyncpg.Connection
) -> None:
    impossible = [
        make_flow_record(bytes_in=-1),
        make_flow_record(bytes_out=MAX_AMOUNT + 1),
        make_flow_record(packets_in=2**63),
        make_flow_record(scope=2**15),
        make_flow_record(protocol=256),
        make_flow_record(server_port=65_536),
        make_flow_record(connections=2**31),
        make_flow_record(retrans=-5),
        make_flow_record(remote=b""),
        make_flow_record(app=9),
    ]
    largest = make_flow_record(
        **dict.fromkeys(("bytes_in", "bytes_out", "packets_in", "packets_out", "retrans"), MAX_AMOUNT),
        **dict.fromkeys(("scope", "role", "domain_source", "process_source"), 2**15 - 1),
        protocol=255,
        server_port=65_535,
        connections=2**31 - 1,
    )
    for number, record in enumerate(impossible):
        await publish(js, make_batch([record], sequence=2 * number + 1, start=start_of(2 * number)))
        await publish(js, make_batch([largest], sequence=2 * number + 2, start=start_of(2 * number + 1)))
    assert len(await dead_letters(js, len(impossible))) == len(impossible)
    assert await flows(database) == len(impossible)
    for tier in ("flow", "flow_1m", "flow_1h", "flow_1d"):
        assert await database.fetchval(f"SELECT sum(bytes_in)::bigint FROM {tier}") == len(impossible) * MAX_AMOUNT


async def test_newer_and_older_agents_are_understood(js: JetStreamContext, database: asyncpg.Connection) -> None:
    newer, older = (
        msgspec.msgpack.decode(msgspec.msgpack.encode(make_batch(host=host, start=start_of(1))))
        for host in ("newer", "older")
    )
    newer.append("a field of the batch that is not known yet")
    for record in newer[8]:
        record.append(4_711)
    newer[9].append({"not": "known"})
    for record in older[8]:
        # The last field was added later, with a default.
        record.pop()
    for host, batch in (("newer", newer), ("older", older)):
        packed = msgspec.msgpack.encode(batch)
        await js.publish(subjects.flows(host), zstandard.ZstdCompressor().compress(packed))

    async def both() -> bool:
        return bool(await flows(database) == 2)

    await eventually(both)
    found = await database.fetch("SELECT name, bytes_in, retrans FROM flow JOIN host ON id = host_id ORDER BY name")
    assert [tuple(row) for row in found] == [("newer", 1_500, None), ("older", 1_500, None)]


async def test_a_host_cannot_speak_for_another(js: JetStreamContext, database: asyncpg.Connection) -> None:
    await js.publish(subjects.flows("b"), encode_batch(make_batch(host="a", start=start_of(1))))
    await js.publish(subjects.agents("b"), encode_json(make_agent_report(host="a")))
    letters = await dead_letters(js, 2)
    assert {letter.stream for letter in letters} == {"FLOWS", "AGENTS"}
    assert all("from host 'a'" in letter.reason for letter in letters)
    assert await flows(database) == 0


async def test_what_the_database_refuses_is_found_among_its_neighbours(
    js: JetStreamContext, database: asyncpg.Connection, aggregator: AggregatorProcess
) -> None:
    await database.execute("ALTER TABLE flow ADD CHECK (server_port <> 666)")
    poisoned = {7, 23, 24}
    for number in range(1, 31):
        port = 666 if number in poisoned else 443
        records = [make_flow_record(server_port=port)] * 20
        await publish(js, make_batch(records, sequence=number, start=start_of(number)))
    letters = await dead_letters(js, 3)
    assert all("the database refuses it" in letter.reason for letter in letters)
    assert await flows(database) == 27 * 20
    # Nothing waits for them: they are in the ledger, and counted.
    ledger = await database.fetchrow("SELECT low_water, complete_until FROM ledger")
    assert ledger is not None
    assert ledger["low_water"] == 30
    assert ledger["complete_until"] is not None
    refused = await database.fetch("SELECT reason, rows FROM refused")
    assert [tuple(row) for row in refused] == [("invalid", 60)]
    assert not await aggregator.waiting_for()


async def test_a_partition_that_was_dropped_is_no_fault_of_the_data(
    js: JetStreamContext, database: asyncpg.Connection
) -> None:
    await publish(js, make_batch(sequence=1, start=start_of(1)))

    async def landed() -> bool:
        return bool(await flows(database) == 1)

    await eventually(landed)
    for (name,) in await database.fetch(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'flow'::regclass"
    ):
        await database.execute(f"DROP TABLE {name}")
    await publish(js, make_batch(sequence=2, start=start_of(2)))
    await eventually(landed)
    assert (await js.stream_info(streams.DEADLETTERS)).state.messages == 0


async def test_a_report_that_cannot_be_stored_does_not_hold_up_the_others(
    js: JetStreamContext, database: asyncpg.Connection
) -> None:
    await js.publish(subjects.agents("a"), encode_json(make_agent_report(host="a")))
    await js.publish(subjects.agents("b"), encode_json(make_agent_report(host="b", version="a\0b")))
    await js.publish(subjects.agents("c"), b"{}")
    await js.publish(subjects.agents("d"), encode_json(make_agent_report(host="d", interval=2**40)))
    await js.publish(subjects.agents("e"), encode_json(make_agent_report(host="e")))
    letters = await dead_letters(js, 3)
    assert {letter.subject for letter in letters} == {"agents.v1.b", "agents.v1.c", "agents.v1.d"}
    names = await database.fetch("SELECT name FROM agent JOIN host ON id = host_id ORDER BY name")
    assert [row["name"] for row in names] == ["a", "e"]

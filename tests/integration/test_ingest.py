"""Batches on a real bus become rows of a real database, each exactly once."""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext

from netally.bus import streams, subjects
from netally.contracts.agent import AgentReported, InterfaceState
from netally.contracts.codes import Mode, Scope
from netally.contracts.flow import App, Coverage, FlowsObserved
from netally.contracts.wire import encode_json
from tests.aggregator_process import AggregatorProcess, publish
from tests.builders import make_agent_report, make_batch, make_epoch, make_flow_record, packed
from tests.services import NatsServer, eventually

DAY = 86_400_000


def this_interval() -> int:
    return int(time.time()) // 5 * 5_000


def make_series(count: int, records: int = 10, **changes: Any) -> list[FlowsObserved]:
    """Consecutive intervals that end now."""
    newest = this_interval()
    return [
        make_batch(
            [make_flow_record()] * records,
            **{"sequence": number, "start": newest - (count - number + 1) * 5_000, **changes},
        )
        for number in range(1, count + 1)
    ]


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


async def committed(database: asyncpg.Connection, sequences: int, within: float = 20) -> None:
    """Wait until the ledgers hold so many sequences."""

    async def count() -> bool:
        low = await database.fetchval("SELECT coalesce(sum(low_water), 0) FROM ledger")
        ahead = await database.fetchval("SELECT coalesce(sum(last_sequence - first_sequence + 1), 0) FROM ledger_ahead")
        return int(low + ahead) == sequences

    await eventually(count, within=within)


async def test_a_flow_to_another_agent_is_between_peers(js: JetStreamContext, database: asyncpg.Connection) -> None:
    for host, address in (("web-1.example.org", "10.0.0.1"), ("web-2.example.org", "10.0.0.2")):
        interfaces = [InterfaceState(name="eth0", addresses=[address], captured=True)]
        report = make_agent_report(host=host, interfaces=interfaces)
        await js.publish(subjects.agents(host), encode_json(report))

    async def both_known() -> bool:
        return bool(await database.fetchval("SELECT count(*) = 2 FROM agent"))

    await eventually(both_known)
    start = this_interval() - 5_000
    for host in ("web-1.example.org", "web-2.example.org"):
        remotes = ("10.0.0.1", "10.0.0.2", "10.0.0.3")
        records = [make_flow_record(scope=int(Scope.PRIVATE), remote=packed(remote)) for remote in remotes]
        await publish(js, make_batch(records, host=host, start=start, epoch=make_epoch()))
    await committed(database, 2)
    found = await database.fetch(
        "SELECT host.name, host(remote) AS remote FROM flow JOIN host ON host.id = host_id WHERE scope = $1 ORDER BY 1",
        int(Scope.PEER),
    )
    assert [tuple(row) for row in found] == [("web-1.example.org", "10.0.0.2"), ("web-2.example.org", "10.0.0.1")]


async def test_a_batch_becomes_rows(js: JetStreamContext, database: asyncpg.Connection) -> None:
    start = this_interval() - 5_000
    record = make_flow_record(remote=packed("2001:db8::7"), retrans=12)
    await publish(js, make_batch([record, make_flow_record(app=0, domain=0)], start=start))
    await committed(database, 1)
    rows = await database.fetch(
        """SELECT extract(epoch FROM time) * 1000 AS time, host.name AS host, app.name AS app, app.username,
                  domain.name AS domain, remote::text, bytes_in, bytes_out, retrans
           FROM flow JOIN host ON host.id = host_id JOIN app ON app.id = app_id JOIN domain ON domain.id = domain_id
           ORDER BY app.name"""
    )
    unknown, known = rows
    assert (known["host"], known["app"], known["username"], known["domain"]) == (
        "web-1.example.org",
        "curl",
        "ada",
        "example.org",
    )
    assert (known["time"], known["remote"], known["retrans"]) == (start, "2001:db8::7/128", 12)
    assert (known["bytes_in"], known["bytes_out"]) == (record.bytes_in, record.bytes_out)
    assert (unknown["app"], unknown["domain"]) == ("", "")
    assert await database.fetchval("SELECT sum(bytes_in) FROM tally") == 1_500
    assert await database.fetchval("SELECT measured_ms FROM coverage") == 5_000


async def test_rollups_sum_up_to_the_rows(js: JetStreamContext, database: asyncpg.Connection) -> None:
    for batch in make_series(30):
        await publish(js, batch)
    await committed(database, 30)
    for tier in ("flow_1m", "flow_1h", "flow_1d"):
        assert await database.fetchval(f"SELECT sum(bytes_in)::bigint FROM {tier}") == 30 * 10 * 1_500


async def test_delivered_again_it_counts_once(
    js: JetStreamContext, database: asyncpg.Connection, aggregator: AggregatorProcess
) -> None:
    series = make_series(20)
    for attempt in range(3):
        for batch in series:
            # A new message id each time: the server's own window of duplicates does not help.
            await publish(js, batch, f"{attempt}:{batch.sequence}")

    async def all_handled() -> bool:
        return (await js.stream_info(streams.FLOWS)).state.messages == 0

    await eventually(all_handled)
    assert await database.fetchval("SELECT count(*) FROM flow") == 200
    assert await database.fetchval("SELECT count(*) FROM coverage") == 20
    assert await aggregator.counter('netally_aggregator_batches_total{outcome="duplicate"}') == 40


async def test_another_epoch_is_not_a_duplicate(js: JetStreamContext, database: asyncpg.Connection) -> None:
    # The spool file was deleted: the agent counts from 1 again.
    for epoch in (make_epoch(), make_epoch()):
        for batch in make_series(5, epoch=epoch):
            await publish(js, batch)
    await committed(database, 10)
    assert await database.fetchval("SELECT count(*) FROM flow") == 100


async def test_out_of_order_everything_lands_and_completeness_waits_for_the_hole(
    js: JetStreamContext, database: asyncpg.Connection
) -> None:
    series = make_series(6)
    for number in (0, 1, 4, 3, 5):
        await publish(js, series[number])
    await committed(database, 5)
    until = "SELECT extract(epoch FROM complete_until)::bigint * 1000 FROM ledger"
    assert await database.fetchval(until) == series[1].start + 5_000
    await publish(js, series[2])
    await committed(database, 6)
    assert await database.fetchval(until) == series[5].start + 5_000
    assert await database.fetchval("SELECT count(*) FROM ledger_ahead") == 0


async def test_an_interval_in_parts_is_covered_and_complete_with_the_last(
    js: JetStreamContext, database: asyncpg.Connection
) -> None:
    start = this_interval() - 5_000
    for part in range(3):
        coverage = Coverage(mode=int(Mode.PACKETS), measured_ms=5_000, part=part, parts=3)
        assert await database.fetchval("SELECT count(*) FROM coverage") == 0
        await publish(js, make_batch(start=start, sequence=part + 1, coverage=coverage, tally=[]))
        await committed(database, part + 1)
    assert await database.fetchval("SELECT count(*) FROM coverage") == 1
    assert await database.fetchval("SELECT complete_until FROM ledger") is not None


async def test_late_batches_go_into_their_own_day(js: JetStreamContext, database: asyncpg.Connection) -> None:
    two_days_ago = this_interval() - 2 * DAY
    await publish(js, make_batch(start=two_days_ago))
    await committed(database, 1)
    name = time.strftime("flow_%Y%m%d", time.gmtime(two_days_ago / 1000))
    assert await database.fetchval(f"SELECT count(*) FROM {name}") == 1


async def test_absurd_times_are_moved_or_refused_and_counted(
    js: JetStreamContext, database: asyncpg.Connection, aggregator: AggregatorProcess
) -> None:
    now = this_interval()
    await publish(js, make_batch(start=now + 3_600_000, sequence=1))
    await publish(js, make_batch(start=now - 30 * DAY, sequence=2))
    await publish(js, make_batch(start=0, sequence=3))
    await publish(js, make_batch(start=now - 5_000, sequence=4))
    await committed(database, 4)
    assert await database.fetchval("SELECT count(*) FROM flow") == 2
    assert await database.fetchval("SELECT count(*) FROM flow WHERE time > now()") == 0
    refused = await database.fetch("SELECT reason, rows, bytes FROM refused ORDER BY reason")
    assert [tuple(row) for row in refused] == [("future", 1, 1_800), ("too_old", 2, 3_600)]
    assert await aggregator.counter('netally_aggregator_refused_rows_total{reason="too_old"}') == 2
    assert await database.fetchval("SELECT complete_until <= now() + interval '5 s' FROM ledger")


async def test_two_aggregators_share_the_work_without_counting_twice(
    js: JetStreamContext,
    database: asyncpg.Connection,
    aggregator: AggregatorProcess,
    nats_server: NatsServer,
    empty_database_url: str,
) -> None:
    second = AggregatorProcess(nats_server.url, empty_database_url)
    second.start()
    try:
        await second.ready()
        hosts = 8
        for number in range(1, 41):
            for host in range(hosts):
                apps = [App(name=f"app-{number % 7}"), App(name=f"app-{number}", user=f"user-{host}")]
                domains = [f"{number}.example.org", f"{number % 5}.example.net"]
                batch = make_batch(
                    [make_flow_record(app=1 + (n % 2), domain=1 + (n % 2)) for n in range(20)],
                    apps=apps,
                    domains=domains,
                    host=f"host-{host}",
                    sequence=number,
                    start=this_interval() - 5_000,
                )
                # Twice, so that both may have it in hand at the same time.
                await publish(js, batch, f"a:{host}:{number}")
                await publish(js, batch, f"b:{host}:{number}")
        await committed(database, 40 * hosts, within=30)

        async def all_handled() -> bool:
            return (await js.stream_info(streams.FLOWS)).state.messages == 0

        await eventually(all_handled)
        assert await database.fetchval("SELECT count(*) FROM flow") == 40 * hosts * 20
        assert await database.fetchval("SELECT sum(bytes_in)::bigint FROM flow") == 40 * hosts * 20 * 1_500
        for table, key in (("host", "name"), ("domain", "name"), ("app", "name, username")):
            twice = await database.fetch(f"SELECT {key} FROM {table} GROUP BY {key} HAVING count(*) > 1")
            assert twice == []
            # No id was burnt: the newest is their number (0, the unknown, is one of them).
            assert await database.fetchval(f"SELECT max(id) = count(*) - 1 FROM {table}")
        assert await aggregator.counter('netally_aggregator_batches_total{outcome="committed"}') > 0
        assert await second.counter('netally_aggregator_batches_total{outcome="committed"}') > 0
    finally:
        second.kill()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
async def test_told_to_stop_it_finishes_what_it_has_in_hand(
    js: JetStreamContext, database: asyncpg.Connection, aggregator: AggregatorProcess, how: signal.Signals
) -> None:
    for batch in make_series(100, records=200):
        await publish(js, batch)
    assert await aggregator.stop(how) == 0
    info = await js.consumer_info(streams.FLOWS, streams.AGGREGATOR)
    stored = await database.fetchval("SELECT coalesce(sum(low_water), 0) FROM ledger")
    assert info.num_ack_pending == 0
    assert stored + (info.num_pending or 0) == 100
    assert await database.fetchval("SELECT count(*) FROM flow") == stored * 200


async def test_the_newest_report_of_each_agent_is_kept(js: JetStreamContext, database: asyncpg.Connection) -> None:
    async def report(agent: AgentReported) -> None:
        await js.publish(subjects.agents(agent.host), encode_json(agent))

    now = this_interval()
    for number in range(5):
        await report(make_agent_report(host="a", time=now + number, spool_batches=number))
    await report(make_agent_report(host="b", time=now, kind="replay", mode="replay"))

    async def stored() -> bool:
        rows = await database.fetch(
            "SELECT name, kind, spool_batches, interfaces FROM agent JOIN host ON id = host_id ORDER BY name"
        )
        return [tuple(row)[:3] for row in rows] == [("a", "agent", 4), ("b", "replay", 0)]

    await eventually(stored)
    assert await database.fetchval("SELECT interfaces -> 0 ->> 'name' FROM agent LIMIT 1") == "eth0"


async def test_an_agent_whose_clock_is_off_is_known(
    js: JetStreamContext, database: asyncpg.Connection, aggregator: AggregatorProcess
) -> None:
    now = int(time.time() * 1000)
    for host, ahead in (("good", 0), ("slow", -3_600_000), ("fast", 172_800_000)):
        # The last is what counts, though the clock was put back meanwhile.
        for wrong in (7_200_000, ahead):
            await js.publish(subjects.agents(host), encode_json(make_agent_report(host=host, time=now + wrong)))

    async def stored() -> bool:
        rows = await database.fetch("SELECT name, clock_offset_ms FROM agent JOIN host ON id = host_id")
        return {row["name"]: round(row["clock_offset_ms"] / 60_000) for row in rows} == {
            "good": 0,
            "slow": -60,
            "fast": 2_880,
        }

    await eventually(stored)

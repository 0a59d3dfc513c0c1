"""The aggregator killed at chosen points of its commands: each is resumed or failed afterwards, its effect there once.

A trigger of the database's is the point: whoever comes there waits, and is killed while it does.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import asyncpg
import msgspec
import pytest
from nats.aio.client import Client

from netally.aggregator.command_runner import MOST_STARTS
from netally.bus import settings_bucket, subjects
from netally.contracts.commands import Command, Outcome
from netally.contracts.live_settings import AggregatorConfig, HostSettings
from netally.contracts.wire import encode_json
from tests.aggregator_process import AggregatorProcess, publish
from tests.builders import make_agent_report, make_batch, make_epoch, make_flow_record
from tests.ordering import Orders, make_command
from tests.services import eventually

HOUR = 3_600_000
DAY = 24 * HOUR
HOST, OTHER = "box.example", "other.example"
POINT = 47_110_815
"""Advisory lock that is waited for at the point."""
ENDS = "BEFORE UPDATE ON command FOR EACH ROW WHEN (NEW.ended_at IS NOT NULL)"
"""All is done, and the ledger does not say so yet."""
BEGINS = "BEFORE UPDATE ON command FOR EACH ROW WHEN (NEW.state = 'progress' AND OLD.state = 'accepted')"


class Bench(NamedTuple):
    aggregator: AggregatorProcess
    orders: Orders
    pool: asyncpg.Pool
    client: Client
    database_url: str

    async def value(self, statement: str, *values: Any) -> Any:
        return await self.pool.fetchval(statement, *values)

    @asynccontextmanager
    async def killed_at(self, point: str) -> AsyncIterator[Killing]:
        """Within, whoever reaches the point stands still; afterwards a new aggregator is there."""
        holder = await asyncpg.connect(self.database_url)
        try:
            await holder.execute(f"SELECT pg_advisory_lock({POINT})")
            await holder.execute(
                "CREATE OR REPLACE FUNCTION stand_still() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                f" PERFORM pg_advisory_xact_lock({POINT}); RETURN NEW; END $$"
            )
            event, _, rest = point.partition(" FOR EACH ROW")
            each = f"FOR EACH ROW {rest}" if rest else "FOR EACH STATEMENT"
            await holder.execute(f"CREATE TRIGGER stand_still {event} {each} EXECUTE FUNCTION stand_still()")
            yield Killing(self, holder)
            table = event.rpartition(" ")[2]
            await holder.execute(f"DROP TRIGGER IF EXISTS stand_still ON {table}")
        finally:
            await holder.close()
        self.aggregator.start()
        await self.aggregator.ready()

    async def state(self, command: Command) -> str:
        return str(await self.value("SELECT state FROM command WHERE id = $1", command.id))

    async def ended(self, command: Command) -> Outcome:
        """The end, which is the same in the ledger; nothing is left running."""
        done = await self.orders.until(command)
        assert await self.state(command) == done.state
        assert await self.value("SELECT count(*) FROM command WHERE state IN ('accepted', 'progress')") == 0
        assert self.orders.states(command).count(done.state) == 1
        return done

    async def arrive(self, host: str, start: int, **changes: Any) -> None:
        domain = changes.pop("domain", "example.org")
        before = await self.value("SELECT count(*) FROM flow")
        batch = make_batch([make_flow_record(**changes)], host=host, domains=[domain], epoch=make_epoch(), start=start)
        await publish(self.client.jetstream(), batch)

        async def is_there() -> bool:
            return bool(await self.value("SELECT count(*) FROM flow") > before)

        await eventually(is_there)


class Killing(NamedTuple):
    bench: Bench
    holder: asyncpg.Connection

    async def kill_when(self, standing: int = 1) -> None:
        """Kill the aggregator as soon as so many stand at the point; then nothing holds up any more."""

        async def stand() -> bool:
            return bool(
                await self.bench.value(
                    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = $1"
                    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
                    POINT,
                )
                == standing
            )

        await eventually(stand, within=20)
        self.bench.aggregator.kill()
        await self.holder.execute("SELECT pg_advisory_unlock_all()")

        async def gone() -> bool:
            # What it had begun ends without a commit, and its locks go.
            return not await self.bench.value(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name LIKE 'netally-%'"
            )

        await eventually(gone, within=20)


@pytest.fixture
async def bench(
    aggregator: AggregatorProcess,
    orders: Orders,
    pool: asyncpg.Pool,
    nats_client: Client,
    migrated_database_url: str,
) -> Bench:
    async def maintained() -> bool:
        # Its first turn does everything that is due; the next on days is minutes away.
        return bool(await aggregator.counter("netally_aggregator_maintaining") == 1)

    await eventually(maintained, within=20)
    return Bench(aggregator, orders, pool, nats_client, migrated_database_url)


def days_ago(days: int) -> int:
    """Noon (UTC) of a day in the past."""
    return int(time.time() * 1000) // DAY * DAY - days * DAY + DAY // 2


async def test_killed_before_anything_began(bench: Bench) -> None:
    first = make_command("aggregate", idempotency_key="monday")
    async with bench.killed_at("BEFORE INSERT ON command") as killing:
        # Taken from the stream, not in the ledger: the stream delivers it again.
        await bench.orders.send(first)
        await killing.kill_when()
    assert (await bench.ended(first)).state == "succeeded"
    assert bench.orders.states(first) == ["accepted", "progress", "succeeded"]
    second = make_command("save-view", {"name": "Mine", "address": "/explore"})
    async with bench.killed_at(BEGINS) as killing:
        # In the ledger, not begun.
        await bench.orders.send(second)
        await killing.kill_when()
        assert await bench.state(second) == "accepted"
    assert (await bench.ended(second)).state == "succeeded"
    assert await bench.value("SELECT count(*) FROM saved_view") == 1


async def test_killed_when_all_is_done_but_not_told(bench: Bench) -> None:
    start = days_ago(2)
    await bench.arrive(HOST, start, bytes_in=1_000)
    assert (await bench.orders.run("aggregate")).state == "succeeded"
    await bench.arrive(OTHER, start, bytes_in=77_000)
    span = {"from": start, "to": start + HOUR, "tier": "raw"}
    # One of each lane.
    sent = [
        make_command("aggregate", {"tier": "daily"}),
        make_command("export", span),
        make_command("save-view", {"name": "Mine", "address": "/explore"}),
    ]
    async with bench.killed_at(ENDS) as killing:
        for command in sent:
            await bench.orders.send(command)
        await killing.kill_when(standing=3)
        assert [await bench.state(command) for command in sent] == ["progress"] * 3
    done = [await bench.orders.until(command) for command in sent]
    assert [one.state for one in done] == ["succeeded"] * 3, done
    for command in sent:
        await bench.ended(command)
        assert bench.orders.states(command).count("accepted") == 2
    # Once: the late bytes in the sums, the rows in one whole file, the view.
    assert await bench.value("SELECT sum(bytes_in) FROM flow_1d") == 78_000
    store = await bench.client.jetstream().object_store("exports")
    (file,) = await store.list()
    data = (await store.get(str(file.name))).data or b""
    assert (file.name, data.count(b"\n")) == (done[1].result["file"], 3)
    assert hashlib.sha256(data).hexdigest() == done[1].result["sha256"]
    assert await bench.value("SELECT count(*) FROM saved_view") == 1


async def test_settings_that_were_written_when_it_was_killed_are_in_force_once(bench: Bench) -> None:
    js = bench.client.jetstream()
    sent = [
        make_command("set-retention", {"raw": 9}),
        make_command("set-naming-rules", {"rules": "name=* -> one"}),
    ]
    async with bench.killed_at(ENDS) as killing:
        for command in sent:
            await bench.orders.send(command)
        await killing.kill_when(standing=2)
    for command in sent:
        assert (await bench.ended(command)).state == "succeeded"
    config, _ = await settings_bucket.read(js, subjects.service_settings_key("aggregator"), AggregatorConfig)
    assert config is not None
    assert config.retention is not None
    assert (config.retention.raw, config.retention.minutes) == (9, 30)
    hosts, _ = await settings_bucket.read(js, subjects.new_hosts_settings_key(), HostSettings)
    assert hosts is not None
    assert hosts.naming_rules == "name=* -> one"


async def test_killed_while_hosts_are_waited_for(bench: Bench) -> None:
    js = bench.client.jetstream()
    report = make_agent_report(host=HOST, time=int(time.time() * 1000), settings_version=0)
    await js.publish(subjects.agents(HOST), encode_json(report))

    async def known() -> bool:
        return bool(await bench.value("SELECT count(*) FROM agent"))

    await eventually(known)
    command = await bench.orders.send(make_command("set-interval", {"interval": 2, "hosts": [HOST]}))

    async def wanted() -> HostSettings | None:
        return (await settings_bucket.read(js, subjects.host_settings_key(HOST), HostSettings))[0]

    await eventually(wanted)
    bench.aggregator.kill()
    assert await bench.state(command) == "progress"
    bench.aggregator.start()
    await bench.aggregator.ready()

    async def follow() -> bool:
        # As an agent does: it says which version it follows.
        found = await wanted()
        assert found is not None
        new = make_agent_report(host=HOST, time=int(time.time() * 1000), settings_version=found.version, interval=2)
        await js.publish(subjects.agents(HOST), encode_json(new))
        return await bench.state(command) == "succeeded"

    await eventually(follow, within=25, every=0.5)
    done = await bench.ended(command)
    assert (done.result["hosts"][HOST]["after"]["interval"], done.result["silent"]) == (2, [])
    found = await wanted()
    assert found is not None
    assert found.interval == 2


async def test_aggregate_killed_in_the_middle_counts_everything_once(bench: Bench) -> None:
    start = days_ago(2)
    for host, amount in ((HOST, 1_000), (OTHER, 77_000)):
        await bench.arrive(host, start, bytes_in=amount)
    command = make_command("aggregate")
    # Hours are written, days are not.
    async with bench.killed_at("BEFORE INSERT ON flow_1d_rollup") as killing:
        await bench.orders.send(command)
        await killing.kill_when()
        assert await bench.value("SELECT sum(bytes_in) FROM flow_1h_rollup") == 78_000
        assert await bench.value("SELECT count(*) FROM flow_1d_rollup") == 0
    assert (await bench.ended(command)).state == "succeeded"
    assert await bench.value("SELECT sum(bytes_in) FROM flow_1d_rollup") == 78_000
    assert await bench.value("SELECT sum(bytes_in) FROM flow_1d") == 78_000


async def test_cleanup_killed_in_the_middle_has_deleted_nothing_and_killed_at_its_end_all(bench: Bench) -> None:
    start = days_ago(20)
    assert (await bench.orders.run("set-retention", {"raw": 25})).state == "succeeded"
    await bench.arrive(HOST, start, bytes_in=1_000)
    assert (await bench.orders.run("aggregate")).state == "succeeded"
    assert (await bench.orders.run("set-retention", {"raw": 7})).state == "succeeded"
    middle = "BEFORE UPDATE ON tier FOR EACH ROW WHEN (NEW.dropped_before > OLD.dropped_before)"
    first = make_command("cleanup")
    async with bench.killed_at(middle) as killing:
        await bench.orders.send(first)
        await killing.kill_when()
        # The partition was dropped, and is back.
        assert await bench.value("SELECT count(*) FROM flow") == 1
        # The next one's own maintenance would do it at once.
        await keep_raw(bench, 30)
    done = await bench.ended(first)
    assert (done.state, "interrupted" in done.message) == ("failed", True)
    assert await bench.value("SELECT count(*) FROM flow") == 1
    assert (await bench.orders.run("set-retention", {"raw": 7})).state == "succeeded"
    second = make_command("cleanup")
    async with bench.killed_at(ENDS) as killing:
        await bench.orders.send(second)
        await killing.kill_when()
        assert await bench.value("SELECT count(*) FROM flow") == 0
    assert (await bench.ended(second)).state == "failed"
    third = await bench.orders.run("cleanup")
    assert (third.state, third.result["rows"]) == ("succeeded", 0)
    assert await bench.value("SELECT sum(bytes_in) FROM flow_1h") == 1_000


async def keep_raw(bench: Bench, days: int) -> None:
    """Set without an aggregator."""
    js, key = bench.client.jetstream(), subjects.service_settings_key("aggregator")
    found, revision = await settings_bucket.read(js, key, AggregatorConfig)
    assert found is not None
    assert found.retention is not None
    retention = msgspec.structs.replace(found.retention, raw=days)
    changed = msgspec.structs.replace(found, version=found.version + 1, retention=retention)
    await settings_bucket.write(js, key, changed, revision)


async def test_a_purge_killed_in_the_middle_is_finished_by_the_next_of_that_name(bench: Bench) -> None:
    start = days_ago(2)
    await bench.arrive(HOST, start)
    await bench.arrive(OTHER, start)
    gone = await bench.value("SELECT id FROM host WHERE name = $1", HOST)
    first = make_command("purge", {"host": HOST})
    # Rows of flow are deleted, those of tally are not, nothing is committed.
    async with bench.killed_at("BEFORE DELETE ON tally") as killing:
        await bench.orders.send(first)
        await killing.kill_when()
        assert await bench.value("SELECT count(*) FROM flow WHERE host_id = $1", gone) == 1
    done = await bench.ended(first)
    assert (done.state, "Run it again" in done.message) == ("failed", True)
    # What comes meanwhile is a new host's, and goes as well.
    await bench.arrive(HOST, start + HOUR)
    again = await bench.orders.run("purge", {"host": HOST})
    assert (again.state, again.result["relations"]["flow"]) == ("succeeded", 2), again
    assert await bench.value("SELECT count(*) FROM flow") == 1
    assert await bench.value("SELECT count(*) FROM host WHERE name = $1", HOST) == 0
    last = await bench.orders.run("purge", {"host": HOST})
    assert (last.state, last.field) == ("failed", "host")


async def test_a_purge_killed_before_the_totals_leaves_none_of_its_bytes(bench: Bench) -> None:
    start = days_ago(2)
    await bench.arrive(HOST, start, bytes_in=1_000)
    await bench.arrive(HOST, start, bytes_in=77_000, domain="example.net")
    assert (await bench.orders.run("aggregate")).state == "succeeded"
    assert await bench.value("SELECT sum(bytes_in) FROM traffic_1d") == 78_000
    command = make_command("purge", {"domain": "example.net"})
    async with bench.killed_at("BEFORE INSERT ON traffic_1d_rollup") as killing:
        await bench.orders.send(command)
        await killing.kill_when()
        assert await bench.value("SELECT sum(bytes_in) FROM flow_1d") == 1_000
        assert await bench.value("SELECT sum(bytes_in) FROM traffic_1d") == 78_000
    assert (await bench.ended(command)).state == "failed"

    async def corrected() -> bool:
        return bool(await bench.value("SELECT sum(bytes_in) FROM traffic_1d") == 1_000)

    await eventually(corrected)
    assert await bench.value("SELECT sum(bytes_in) FROM traffic_1h") == 1_000


async def test_a_command_that_ends_the_aggregator_each_time_is_given_up(bench: Bench) -> None:
    command = make_command("aggregate")
    async with bench.killed_at("BEFORE INSERT ON flow_1d_rollup") as killing:
        await bench.arrive(HOST, days_ago(2))
        await bench.orders.send(command)
        for _ in range(MOST_STARTS):
            await killing.kill_when()
            await killing.holder.execute(f"SELECT pg_advisory_lock({POINT})")
            bench.aggregator.start()
        await killing.kill_when()
    done = await bench.ended(command)
    assert (done.state, done.message) == ("failed", f"interrupted {MOST_STARTS} times, given up")


async def test_retention_that_was_set_holds_from_the_first_moment_of_the_next_start(bench: Bench) -> None:
    js, key = bench.client.jetstream(), subjects.service_settings_key("aggregator")
    assert (await bench.orders.run("set-retention", {"raw": 25})).state == "succeeded"
    await bench.arrive(HOST, days_ago(20))
    assert (await bench.orders.run("aggregate")).state == "succeeded"
    await bench.aggregator.stop()
    found, revision = await settings_bucket.read(js, key, AggregatorConfig)
    assert found is not None
    await js.publish(f"$KV.settings.{key}", b"what nobody can read")
    bench.aggregator.start()

    async def waits() -> bool:
        return "settings" in await bench.aggregator.waiting_for()

    # With the settings of its start it would drop the row within the first turn of maintenance.
    await eventually(waits, within=20)
    await settings_bucket.write(js, key, found, revision + 1)
    await bench.aggregator.ready()

    async def maintained() -> bool:
        return bool(await bench.aggregator.counter("netally_aggregator_maintaining") == 1)

    await eventually(maintained, within=20)
    assert (await bench.orders.run("aggregate")).state == "succeeded"
    assert await bench.value("SELECT count(*) FROM flow") == 1

"""What aggregate, cleanup, purge and export really do to the history, on PostgreSQL and on TimescaleDB."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import asyncpg
import duckdb
import msgspec
import pandas
import pyarrow.parquet
import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext

from netally.aggregator.command_ledger import CommandLedger
from netally.aggregator.command_runner import Done, FailedError, Run
from netally.aggregator.export_command import ExportCommand
from netally.aggregator.live_settings import LiveConfig
from netally.aggregator.maintenance_commands import MaintenanceCommands
from netally.aggregator.tabs import TabSink
from netally.aggregator.writer import Writer
from netally.bus import export_files, streams
from netally.contracts import commands
from netally.contracts.commands import Outcome, RefusedError
from netally.contracts.tabs import TabSpan, TabsReported
from netally.store import backend
from netally.store.tiers import DAY, HOUR, MINUTE
from tests.builders import CURL, FIREFOX, START, make_batch, make_epoch, make_flow_record
from tests.ordering import make_command

NOW = START + 6 * HOUR
RAW = ("flow", "tally", "coverage", "tab_activity")


class History(NamedTuple):
    """A database with four hours of traffic and tabs of two hosts, and the commands on it at a time that tests may
    move.
    """

    pool: asyncpg.Pool
    js: JetStreamContext
    writer: Writer
    clock: list[int]

    async def order(self, name: str, arguments: dict[str, Any] | None = None, *, dry_run: bool = False) -> Done:
        async def tell(outcome: Outcome, identity: str) -> None:
            """Nobody listens."""

        async def nobody(command_id: str) -> None:
            """There is one aggregator."""

        def clock() -> int:
            return self.clock[0]

        ledger = CommandLedger(self.pool, clock, tell)
        maintenance = MaintenanceCommands(self.pool, self.js, LiveConfig(7), clock, tell_services=nobody)
        handlers: dict[str, Any] = {
            "aggregate": maintenance.aggregate,
            "cleanup": maintenance.cleanup,
            "purge": maintenance.purge,
            "export": ExportCommand(self.pool, self.js, clock).export,
        }
        command = make_command(name, arguments, dry_run=dry_run)
        await ledger.accept(command, "aggregator", "")
        done: Done = await handlers[name](Run(command, ledger), commands.check(command))
        return done

    async def sums(self, relation: str = "flow_1h") -> tuple[int, int]:
        time = "time" if relation == "flow" else "bucket"
        row = await self.pool.fetchrow(
            f"SELECT coalesce(sum(bytes_in), 0)::bigint AS bytes_in, coalesce(sum(bytes_out), 0)::bigint AS bytes_out "
            f"FROM {relation} WHERE {time} >= 'epoch'"
        )
        assert row is not None
        return row["bytes_in"], row["bytes_out"]

    async def rows(self, relation: str) -> int:
        return int(await self.pool.fetchval(f"SELECT count(*) FROM {relation}"))


@pytest.fixture
async def history(history_database: asyncpg.Pool, nats_client: Client) -> History:
    await streams.provision(nats_client.jetstream(), streams.LEAST_FLOWS_BYTES)
    clock = [NOW]
    async with history_database.acquire() as connection:
        kind = await backend.find(cast("asyncpg.Connection", connection))
    history = History(
        history_database, nats_client.jetstream(), Writer(history_database, kind, 7, lambda: clock[0]), clock
    )
    for host, app in (("web-1.example.org", CURL), ("db-1", FIREFOX)):
        epoch = make_epoch()
        await history.writer.write(
            [
                make_batch(
                    [make_flow_record(bytes_in=1_000 + number, bytes_out=number)],
                    host=host,
                    epoch=epoch,
                    sequence=number + 1,
                    start=START + number * 10 * MINUTE,
                    apps=[app],
                    domains=["example.org" if number % 2 else "=cmd|' /C calc'!A0"],
                )
                for number in range(24)
            ]
        )
        # A tab for 20 s every ten minutes, of two sites in turn.
        spans = [
            TabSpan("example.org" if number % 2 else "news.example.org", START + number * 10 * MINUTE, 20)
            for number in range(24)
        ]
        reports = [
            TabsReported(host, uuid.uuid4().hex, "token", "Firefox", at[-1].timestamp, at)
            for at in (spans[:12], spans[12:])
        ]
        await TabSink(history_database, kind, history.writer.oldest, lambda: clock[0]).write(reports)
    return history


async def test_a_late_row_is_counted_by_aggregate_and_once(history: History) -> None:
    first = await history.order("aggregate", {"tier": "hourly"})
    assert first.result["tiers"]["1h"]["buckets"] > 0
    before = await history.sums()
    assert before == await history.sums("flow")
    late = make_batch([make_flow_record(bytes_in=77_000, bytes_out=7)], epoch=make_epoch(), start=START + HOUR)
    await history.writer.write([late])
    # Stored hours do not see it by themselves.
    assert await history.sums() == before
    done = await history.order("aggregate", {"tier": "hourly"})
    assert {tier: part["buckets"] for tier, part in done.result["tiers"].items()} == {"1m": 1, "1h": 1}
    assert await history.sums() == (before[0] + 77_000, before[1] + 7)
    again = await history.order("aggregate", {"tier": "hourly"})
    assert (again.result["buckets"], again.message) == (0, "nothing was outstanding")


async def test_aggregate_of_a_range_leaves_the_rest_outstanding(history: History) -> None:
    await history.order("aggregate")
    for hour in (0, 2):
        batch = make_batch([make_flow_record(bytes_in=50)], epoch=make_epoch(), start=START + hour * HOUR)
        await history.writer.write([batch])
    before = await history.sums("flow_1m")
    done = await history.order("aggregate", {"tier": "1m", "from": START, "to": START + HOUR})
    assert done.result["buckets"] == 1
    assert (await history.sums("flow_1m"))[0] == before[0] + 50
    done = await history.order("aggregate", {"tier": "1m"})
    assert done.result["buckets"] == 1


async def test_cleanup_tells_what_it_deletes_and_old_sums_stay(history: History) -> None:
    await history.order("aggregate")
    history.clock[0] = NOW + 9 * DAY
    await history.order("aggregate")
    sums, raw = await history.sums(), await history.rows("flow")
    preview = await history.order("cleanup", dry_run=True)
    assert await history.rows("flow") == raw
    everything = sum([await history.rows(name) for name in RAW])
    done = await history.order("cleanup")
    left = sum([await history.rows(name) for name in RAW])
    assert done.result["tiers"]["raw"]["rows"] == everything - left == everything
    assert preview.result["rows"] == done.result["rows"]
    await history.order("aggregate", {"tier": "all", "from": START - DAY, "to": START + DAY})
    await history.order("aggregate")
    assert await history.sums() == sums
    assert await history.sums("flow_1d") == sums
    assert await history.pool.fetchval("SELECT sum(seconds)::int FROM tab_activity_1d") == 2 * 24 * 20
    assert (await history.order("cleanup")).result["rows"] == 0


async def test_purge_takes_a_host_everywhere(history: History) -> None:
    await history.order("aggregate")
    relations = ("flow", "flow_1m", "flow_1h", "traffic_1h", "tally", "coverage", "tab_activity", "tab_activity_1h")
    before = {name: await history.rows(name) for name in relations}
    preview = await history.order("purge", {"host": "db-1"}, dry_run=True)
    assert {name: await history.rows(name) for name in relations} == before
    done = await history.order("purge", {"host": "db-1"})
    gone = {name: before[name] - await history.rows(name) for name in relations}
    assert {name: done.result["relations"][name] for name in RAW} == {name: gone[name] for name in RAW}
    assert preview.result["relations"] == done.result["relations"]
    assert all(gone.values())
    with pytest.raises(RefusedError, match="there is no host 'db-1'"):
        await history.order("purge", {"host": "db-1"})
    # Its next batch is a new host's.
    await history.writer.write([make_batch(host="db-1", epoch=make_epoch(), start=START + 5 * HOUR)])
    assert await history.pool.fetchval("SELECT count(*) FROM host WHERE name = 'db-1' AND deleted_at IS NULL") == 1


async def test_purge_of_a_site_takes_the_time_spent_on_it(history: History) -> None:
    await history.order("aggregate")

    async def seconds(relation: str) -> dict[str, int]:
        found = await history.pool.fetch(
            f"SELECT name, sum(seconds)::int AS seconds FROM {relation} JOIN domain ON domain.id = site_id GROUP BY 1"
        )
        return {row["name"]: row["seconds"] for row in found}

    relations = ("tab_activity", "tab_activity_1m", "tab_activity_1h", "tab_activity_1d")
    for relation in relations:
        assert await seconds(relation) == {"example.org": 480, "news.example.org": 480}, relation
    preview = await history.order("purge", {"domain": "news.example.org"}, dry_run=True)
    done = await history.order("purge", {"domain": "news.example.org"})
    assert preview.result["relations"] == done.result["relations"]
    assert done.result["relations"]["tab_activity"] == 24
    await history.order("aggregate", {"tier": "all", "from": START - DAY, "to": START + DAY})
    for relation in relations:
        assert await seconds(relation) == {"example.org": 480}, relation


async def read_file(history: History, done: Done) -> bytes:
    stored = await export_files.find(history.js, done.result["file"])
    assert stored is not None
    data = b"".join([piece async for piece in export_files.read(history.js, stored)])
    assert hashlib.sha256(data).hexdigest() == done.result["sha256"] == stored.sha256
    assert len(data) == done.result["bytes"]
    return data


async def test_exports_are_read_back_with_the_same_rows_and_sums(history: History, tmp_path: Path) -> None:
    await history.order("aggregate")
    expected = await history.sums()
    rows = await history.rows("flow_1h")
    whole = {"from": START, "to": START + 5 * HOUR, "tier": "1h"}
    csv = await history.order("export", {**whole, "format": "csv"})
    frame = pandas.read_csv(io.BytesIO(await read_file(history, csv)))
    assert (len(frame), int(frame.bytes_in.sum()), int(frame.bytes_out.sum())) == (rows, *expected)
    assert list(frame.columns) == csv.result["manifest"]["columns"]
    # A name that a spreadsheet would take for a formula does not come first in its cell; elsewhere it is as it was.
    assert set(frame.domain) == {"example.org", "'=cmd|' /C calc'!A0"}
    lines = await history.order("export", {**whole, "format": "json"})
    found = [json.loads(line) for line in (await read_file(history, lines)).splitlines()]
    assert [one["bytes_in"] for one in found] == list(frame.bytes_in)
    assert {one["domain"] for one in found} == {"example.org", "=cmd|' /C calc'!A0"}
    parquet = await history.order("export", {**whole, "format": "parquet"})
    path = tmp_path / "export.parquet"
    path.write_bytes(await read_file(history, parquet))
    table = pyarrow.parquet.read_table(path)
    assert table.column("bytes_in").to_pylist() == list(frame.bytes_in)
    assert str(table.schema.field("time").type) == "timestamp[ms, tz=UTC]"
    totals = duckdb.execute(f"SELECT count(*), sum(bytes_in), sum(bytes_out) FROM '{path}'").fetchall()
    assert totals == [(rows, *expected)]


async def test_names_that_a_spreadsheet_would_run_are_neutral_in_csv_alone(history: History) -> None:
    names = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", 'a"b,c\nd', "'quoted", "x=1", "naïve ☃"]
    batch = make_batch(
        [make_flow_record(app=number, bytes_in=number) for number in range(1, len(names) + 1)],
        host="odd",
        epoch=make_epoch(),
        start=START + 3 * HOUR,
        apps=[msgspec.structs.replace(CURL, name=name) for name in names],
    )
    await history.writer.write([batch])
    span = {"from": START, "to": START + 5 * HOUR, "tier": "raw", "host": ["odd"]}

    async def apps(format_: str) -> list[str]:
        data = await read_file(history, await history.order("export", {**span, "format": format_}))
        if format_ == "csv":
            found = list(csv.DictReader(io.StringIO(data.decode(), newline="")))
        elif format_ == "json":
            found = [json.loads(line) for line in data.decode().split("\n")[:-1]]
        else:
            found = pyarrow.parquet.read_table(pyarrow.BufferReader(data)).to_pylist()
        return [one["app"] for one in sorted(found, key=lambda one: int(one["bytes_in"]))]

    assert await apps("json") == await apps("parquet") == names
    assert await apps("csv") == [f"'{name}" if name[0] in "=+-@\t\r" else name for name in names]


async def test_an_export_asks_for_what_pages_ask(history: History) -> None:
    one_host = {"from": START, "to": START + 5 * HOUR, "tier": "raw", "host": ["db-1"]}
    done = await history.order("export", one_host)
    frame = pandas.read_csv(io.BytesIO(await read_file(history, done)))
    assert (len(frame), set(frame.host), set(frame.app)) == (24, {"db-1"}, {"firefox"})
    assert set(frame.remote) == {"203.0.113.7"}
    done = await history.order("export", {**one_host, "filter": "domain = example.org and bytes > 1010"})
    assert done.result["rows"] == 9
    for field, argument in (("host", ["nobody"]), ("app", ["nothing"]), ("filter", "colour = red")):
        with pytest.raises(RefusedError) as refused:
            await history.order("export", {**one_host, field: argument})
        assert refused.value.field == field
    with pytest.raises(RefusedError, match="remote is not kept"):
        await history.order("export", {**one_host, "tier": "1h", "filter": "remote = 203.0.113.7"})


async def test_the_same_manifest_gives_the_same_bytes_or_says_why_not(history: History) -> None:
    await history.order("aggregate")
    whole: dict[str, Any] = {"from": START, "to": START + 2 * HOUR, "tier": "1m"}
    first = await history.order("export", whole)
    assert first.result["manifest"]["complete"] is True
    again = await history.order("export", {**whole, "sha256": first.result["sha256"]})
    assert await read_file(history, again) == await read_file(history, first)
    late = make_batch([make_flow_record(bytes_in=5)], epoch=make_epoch(), start=START + HOUR)
    await history.writer.write([late])
    await history.order("aggregate")
    with pytest.raises(FailedError, match="rows were added late") as failed:
        await history.order("export", {**whole, "sha256": first.result["sha256"]})
    assert failed.value.result["conflict"] is True
    unfinished = {**whole, "to": NOW + HOUR, "sha256": first.result["sha256"]}
    with pytest.raises(FailedError, match="cannot be promised"):
        await history.order("export", unfinished)
    # Of the two that failed nothing is left, under no name.
    names = [subject async for subject in _subjects(history.js)]
    assert sum(subject.startswith("$O.exports.M.") for subject in names) == 2
    assert sum(subject.startswith("$O.exports.C.") for subject in names) == 2


async def _subjects(js: JetStreamContext) -> AsyncIterator[str]:
    info = await js.stream_info("OBJ_exports", subjects_filter=">")
    for subject in info.state.subjects or {}:
        yield subject

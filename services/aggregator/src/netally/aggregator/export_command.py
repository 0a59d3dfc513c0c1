"""Handler of ``export``: rows of a tier and range into a file on the bus, in bounded memory, with a manifest.

The database formats the rows, pieces of 256 KiB go on to the Object Store; Parquet is made by a child process in
between. The file gets its name last, so that there is none under it unless it is whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast
from zoneinfo import ZoneInfo

import asyncpg
import msgspec
from nats.js import JetStreamContext

from netally.aggregator import parquet_writer
from netally.aggregator.command_runner import Done, FailedError, Run
from netally.bus.export_files import FileWriter, StoreFullError
from netally.bus.streams import EXPORTS_AGE
from netally.contracts.codes import Scope
from netally.contracts.commands import Export, RefusedError
from netally.store import backend, export_rows, rollups, sql
from netally.store.counted import Counted
from netally.store.filters.errors import FilterError
from netally.store.filters.syntax import parse
from netally.store.tiers import ceiling, floor

COUNTED_SCOPES = [int(Scope.UNKNOWN), int(Scope.INTERNET), int(Scope.PRIVATE), int(Scope.PEER)]
"""The same as on the pages: not loopback, not replay."""
SUFFIX = {"csv": "csv", "json": "jsonl", "parquet": "parquet"}
PARQUET_MEMORY = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
"""What the process that writes Parquet frees goes back to the system: glibc (mallopt(3)) would keep 100 MB of it."""

Output = Callable[[bytes], Coroutine[Any, Any, None]]


class Completeness(NamedTuple):
    """Whether rows of a range may still come."""

    watermark: int | None
    complete_until: int | None
    behind: list[str]
    """Hosts that have not sent everything up to the end of the range."""
    complete: bool


class ExportCommand:
    """The handler."""

    def __init__(self, pool: asyncpg.Pool, js: JetStreamContext, clock: Callable[[], int]) -> None:
        self._pool = pool
        self._js = js
        self._clock = clock

    async def export(self, run: Run, wanted: Export) -> Done:
        if wanted.format == "parquet" and not parquet_writer.is_available():
            raise RefusedError("this aggregator has no pyarrow: install netally-aggregator[parquet]", "format")
        async with self._pool.acquire() as proxy:
            connection = cast("asyncpg.Connection", proxy)
            await sql.execute(connection, "export_session")
            zone = ZoneInfo(await backend.timezone(connection))
            counted = await self._counted(connection, wanted, zone)
            completeness = await self._completeness(connection, counted)
            if wanted.sha256 is not None and not completeness.complete:
                raise FailedError(f"the same bytes cannot be promised: {_why_not(completeness)}", {"conflict": True})
            try:
                return await self._write(run, wanted, connection, counted, completeness)
            except StoreFullError as error:
                raise FailedError(
                    f"{error}: they take NETALLY_EXPORTS_MAX_BYTES together and go after {EXPORTS_AGE // 3600} hours; "
                    "nothing is left of this one"
                ) from None

    async def _write(
        self, run: Run, wanted: Export, connection: asyncpg.Connection, counted: Counted, completeness: Completeness
    ) -> Done:
        columns = export_rows.columns(counted.tier)
        rows = 0
        name = _file_name(run.command.id, wanted, counted)
        async with FileWriter(self._js, run.command.id, name) as file:
            async with _formatted(wanted.format, columns, file) as output:
                for start, end in export_rows.slices(counted.tier, counted.start, counted.end):
                    part = msgspec.structs.replace(counted, start=start, end=end)
                    rows += await export_rows.copy_slice(
                        connection, part, output, as_json=wanted.format == "json", neutral=wanted.format == "csv"
                    )
                    share = round((end - counted.start) / (counted.end - counted.start), 4)
                    await run.progress(
                        f"{rows:,} rows, {file.size / 1e6:.1f} MB".replace(",", " "),
                        rows=rows, bytes=file.size, share=share,
                    )  # fmt: skip
            if wanted.sha256 is not None:
                self._check_same(wanted.sha256, await file.digest())
            stored = await file.publish()
        now = self._clock()
        manifest = {
            "query": {
                **{key: value for key, value in run.command.arguments.items() if key != "sha256"},
                "from": counted.start, "to": counted.end, "tier": counted.tier, "format": wanted.format,
            },
            "columns": columns,
            "tier": counted.tier,
            "watermark": completeness.watermark,
            "complete": completeness.complete,
            "complete_until": completeness.complete_until,
            "behind": completeness.behind,
            "rows": rows,
            "bytes": stored.size,
            "sha256": stored.sha256,
            "created_at": now,
        }  # fmt: skip
        return Done(
            f"{rows} rows, {stored.size} bytes in {name}",
            {
                "file": name, "rows": rows, "bytes": stored.size, "sha256": stored.sha256,
                "expires_at": now + EXPORTS_AGE * 1000, "manifest": manifest,
            },
        )  # fmt: skip

    @staticmethod
    def _check_same(wanted: str, found: str) -> None:
        if wanted != found:
            raise FailedError(
                f"the same bytes do not come out: the digest is {found[:12]}… and not {wanted[:12]}…; since the "
                "manifest rows were added late, dropped by retention, or purged",
                {"conflict": True, "sha256": found},
            )

    async def _counted(self, connection: asyncpg.Connection, wanted: Export, zone: ZoneInfo) -> Counted:
        """Raises RefusedError naming the argument that is wrong."""
        try:
            tree = parse(wanted.filter)
        except FilterError as error:
            raise RefusedError(f"filter: {error}", "filter") from None
        start, end = wanted.from_, wanted.to
        if wanted.tier != "raw":
            start, end = floor(start, wanted.tier, zone), ceiling(end, wanted.tier, zone)
        hosts = [await self._host(connection, name) for name in wanted.host or ()]
        replay = [int(Scope.REPLAY)] if any(kind == "replay" for _, kind in hosts) else []
        counted = Counted(
            tier=wanted.tier,
            start=start,
            end=end,
            scopes=COUNTED_SCOPES + replay,
            both_sides=len(set(hosts)) == 1,
            hosts=[identity for identity, _ in hosts] if wanted.host else None,
            apps=await _ids(connection, "app_ids_of", "app", wanted.app),
            domains=await _ids(connection, "domain_id_of", "domain", wanted.domain),
            filter=tree,
        )
        try:
            export_rows.check(counted)
        except FilterError as error:
            raise RefusedError(f"filter: {error}", "filter") from None
        return counted

    @staticmethod
    async def _host(connection: asyncpg.Connection, name: str) -> tuple[int, str]:
        row = await sql.fetch_row(connection, "hosts_of", name=name)
        if row is None:
            raise RefusedError(f"there is no host {name!r}", "host")
        return row["id"], row["kind"]

    async def _completeness(self, connection: asyncpg.Connection, counted: Counted) -> Completeness:
        now = self._clock()
        watermark = None
        if counted.tier != "raw":
            watermark = (await rollups.tier_states(connection, now))[counted.tier].watermark
        agents = await sql.fetch(connection, "agents_complete", hosts=counted.hosts)
        behind = [row["name"] for row in agents if (row["complete_until"] or 0) < counted.end]
        known = [row["complete_until"] for row in agents if row["complete_until"] is not None]
        complete = counted.end <= now and not behind and (watermark is None or watermark >= counted.end)
        return Completeness(watermark, min(known, default=None), behind, complete)


def _why_not(completeness: Completeness) -> str:
    if completeness.behind:
        return f"{', '.join(completeness.behind[:5])} may still send rows of that time"
    return "the end of the range is not stored yet"


async def _ids(
    connection: asyncpg.Connection, statement: str, field: str, names: Sequence[str] | None
) -> list[int] | None:
    if not names:
        return None
    found = []
    for name in names:
        rows = await sql.fetch(connection, statement, name=name)
        if not rows:
            raise RefusedError(f"there is no {field} {name!r}", field)
        found += [row["id"] for row in rows]
    return found


def _file_name(command_id: str, wanted: Export, counted: Counted) -> str:
    """Letters, digits, hyphens and a dot: fit for a header and any file system."""
    first, last = (
        datetime.fromtimestamp(moment / 1000, UTC).strftime("%Y%m%dT%H%M%SZ") for moment in (counted.start, counted.end)
    )
    return f"netally-{counted.tier}-{first}-{last}-{command_id[:6]}.{SUFFIX[wanted.format]}"


@asynccontextmanager
async def _formatted(format_: str, columns: list[str], file: FileWriter) -> AsyncIterator[Output]:
    """Where the rows go; what comes out goes into the file."""
    if format_ == "csv":
        await file.write((",".join(columns) + "\n").encode())
        yield file.write
    elif format_ == "json":
        yield file.write
    else:
        async with _parquet(columns, file) as output:
            yield output


@asynccontextmanager
async def _parquet(columns: list[str], file: FileWriter) -> AsyncIterator[Output]:
    kinds = {
        name: "number" if name in export_rows.NUMBERS else "time" if name in export_rows.TIMES else "text"
        for name in columns
    }
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "netally.aggregator.parquet_writer", json.dumps(kinds)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # It gets no secret of ours.
        env={name: value for name, value in os.environ.items() if not name.startswith("NETALLY_")} | PARQUET_MEMORY,
    )
    stdin, stdout, stderr = child.stdin, child.stdout, child.stderr
    # All three are pipes, asked for above; asyncio types them as optional.
    assert stdin is not None  # noqa: S101
    assert stdout is not None  # noqa: S101
    assert stderr is not None  # noqa: S101

    async def pass_on() -> None:
        while piece := await stdout.read(256 * 1024):
            await file.write(piece)

    async def write(data: bytes) -> None:
        if passing.done():
            await passing  # Raises why it ended.
        stdin.write(data)
        await stdin.drain()

    passing = asyncio.create_task(pass_on())
    complaints = asyncio.create_task(stderr.read())
    try:
        try:
            yield write
            stdin.close()
            await passing
            status = await child.wait()
        except (BrokenPipeError, ConnectionResetError):
            status = await child.wait()
        if status:
            words = (await complaints).decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise FailedError(f"Parquet could not be written: {words or f'its process ended with status {status}'}")
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
        for task in (passing, complaints):
            task.cancel()
        await asyncio.gather(passing, complaints, return_exceptions=True)

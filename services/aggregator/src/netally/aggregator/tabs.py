"""Reports of browsers: the sink of stream TABS, which keeps how long which site was in the active tab, once each."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence

import asyncpg
from nats.aio.msg import Msg

from netally.aggregator.dimensions import Dimensions, PurgedError
from netally.bus import subjects
from netally.bus.streams import TABS_AGE
from netally.contracts.tabs import TabsReported
from netally.contracts.wire import UndecodableError, decode_json
from netally.store import rollups, sql, tables
from netally.store.partitions import DAY_MS, DayPartitions, days_of

REMEMBERED_MS = (TABS_AGE + 86_400) * 1000
"""So long a report is known to be stored: longer than it can be on the bus or in a browser's queue."""


class TabSink:
    """``oldest`` tells before which time rows are refused, as `Writer.oldest` does."""

    lanes = 1

    def __init__(
        self, pool: asyncpg.Pool, backend: str, oldest: Callable[[int], Awaitable[int]], clock: Callable[[], int]
    ) -> None:
        self._pool = pool
        self._oldest = oldest
        self._clock = clock
        self._dimensions = Dimensions(pool)
        self._partitions = DayPartitions(pool, backend)

    def dimensions(self) -> Dimensions:
        """Its caches of ids."""
        return self._dimensions

    def decode(self, message: Msg) -> TabsReported:
        report = decode_json(message.data, TabsReported)
        if subjects.tabs(report.host) != message.subject:
            raise UndecodableError(f"it says it is of host {report.host!r}, which has another subject")
        return report

    def weight(self, item: TabsReported) -> int:
        return 1 + len(item.spans)

    async def write(self, items: Sequence[TabsReported]) -> None:
        while True:
            with contextlib.suppress(PurgedError):
                return await self._write(items)

    async def _write(self, items: Sequence[TabsReported]) -> None:
        purges = self._dimensions.purges
        now = self._clock()
        oldest = await self._oldest(now)
        reports = {(item.host, item.id): item for item in items}
        hosts = await self._dimensions.hosts.ids({item.host for item in items})
        sites = await self._dimensions.domains.ids({span.domain for item in items for span in item.spans})
        await self._partitions.ensure(days_of(min(span.timestamp, now) for item in items for span in item.spans))
        keys = sorted(reports)
        async with self._pool.acquire() as connection, connection.transaction():
            await self._dimensions.hold(connection, purges)
            fresh = await sql.fetch(
                connection,
                "add_tab_reports",
                host_ids=[hosts[host] for host, _ in keys],
                ids=[number for _, number in keys],
                received_at=now,
            )
            new = {(row["host_id"], row["id"]) for row in fresh}
            rows: dict[int, list[tables.Row]] = defaultdict(list)
            times = []
            for host, number in keys:
                report = reports[host, number]
                if (hosts[host], number) not in new:
                    continue
                for span in report.spans:
                    # Rows from the future would hide what comes until then; old ones may have been dropped already.
                    start = min(span.timestamp, now)
                    if start >= oldest:
                        times.append(start)
                        rows[start // DAY_MS].append(
                            (start, hosts[host], report.browser, sites[span.domain], span.seconds)
                        )
            for day in sorted(rows):
                await tables.copy(connection, self._partitions.part(tables.TAB_ACTIVITY, day), rows[day])
            await rollups.touch(connection, times)
            latest = {item.token: item for item in sorted(reports.values(), key=lambda item: item.received_at)}
            await sql.execute(
                connection,
                "note_browsers",
                tokens=sorted(latest),
                browsers=[latest[token].browser for token in sorted(latest)],
                last_reports=[min(latest[token].received_at, now) for token in sorted(latest)],
                pairs=[latest[token].pairs is not None for token in sorted(latest)],
            )
            await sql.execute(connection, "forget_tab_reports", before=now - REMEMBERED_MS)

    async def write_off(self, item: TabsReported) -> None:
        """Nothing waits for a report."""

    def forget(self) -> None:
        """Drop what is remembered of the database."""
        self._dimensions.forget()
        self._partitions.forget()

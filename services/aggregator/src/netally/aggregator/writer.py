"""A group of batches into the database: ledger and rows in one transaction, so that each batch counts exactly once."""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import chain
from typing import NamedTuple

import asyncpg
import structlog

from netally.aggregator import rows
from netally.aggregator.dimensions import UNKNOWN, Dimensions, PurgedError, app_key
from netally.aggregator.ledger import Arrival, Ledger, Run, apply
from netally.aggregator.metrics import BATCHES, REFUSED_ROWS, ROWS
from netally.aggregator.peers import Peers, with_peers
from netally.contracts.flow import FlowsObserved
from netally.store import rollups, sql, tables
from netally.store.partitions import DAY_MS, DayPartitions, days_of

log = structlog.get_logger()

LOOK_EVERY_MS = 5_000
"""What retention has dropped is read again when it is older."""

INVALID = "invalid"
"""Reason under which batches that the database refuses are counted."""

Clock = Callable[[], int]
"""Now in epoch milliseconds."""

LedgerKey = tuple[int, str]
"""Host id and epoch."""


class _Placed(NamedTuple):
    batch: FlowsObserved
    host_id: int
    at: rows.Placement

    @property
    def key(self) -> LedgerKey:
        return self.host_id, self.batch.epoch

    @property
    def name(self) -> str:
        """As the agent names it in the message id."""
        return f"{self.batch.host}/{self.batch.epoch}/{self.batch.sequence}"


class Writer:
    """Writes groups of batches; several at a time, if need be."""

    def __init__(self, pool: asyncpg.Pool, backend: str, raw_retention_days: int, clock: Clock) -> None:
        self._pool = pool
        self._dimensions = Dimensions(pool)
        self._peers = Peers(pool, clock)
        self._partitions = DayPartitions(pool, backend)
        # A day below retention: rows that old would sit in what the next retention run drops.
        self._oldest_age = (raw_retention_days - 1) * DAY_MS
        self._dropped_before, self._looked_at = 0, -LOOK_EVERY_MS
        self._clock = clock

    def keep_raw(self, days: int) -> None:
        """From now on raw rows are kept so long; rows older than a day less are refused."""
        self._oldest_age = (days - 1) * DAY_MS
        self._looked_at = -LOOK_EVERY_MS

    async def oldest(self, now: int) -> int:
        """Before this rows are refused. Where retention was raised, what it had dropped before stays refused: no tier
        is made anew there, so that rows would be in raw alone and then nowhere.
        """
        if abs(now - self._looked_at) >= LOOK_EVERY_MS:
            (found,) = await sql.fetch(self._pool, "dropped_before", tier="raw")
            self._dropped_before, self._looked_at = found["dropped_before"], now
        return max(now - self._oldest_age, self._dropped_before)

    def dimensions(self) -> Dimensions:
        """Its caches of ids."""
        return self._dimensions

    def forget(self) -> None:
        """Drop what is remembered of the database, because it may be another one now."""
        self._dimensions.forget()
        self._peers.forget()
        self._partitions.forget()
        self._looked_at = -LOOK_EVERY_MS

    async def write(self, batches: Sequence[FlowsObserved]) -> None:
        """Commit every batch that is not committed yet. All or nothing; raises what the database raises."""
        while True:
            with contextlib.suppress(PurgedError):
                return await self._write(batches)

    async def _write(self, batches: Sequence[FlowsObserved]) -> None:
        purges = self._dimensions.purges
        now = self._clock()
        oldest = await self.oldest(now)
        hosts = await self._dimensions.hosts.ids({batch.host for batch in batches})
        placed = [
            _Placed(
                batch,
                hosts[batch.host],
                rows.place(batch.start, batch.interval, now, oldest),
            )
            for batch in batches
        ]
        kept = [one for one in placed if one.at.reason != rows.TOO_OLD]
        apps = await self._dimensions.apps.ids_of_lists([[*map(app_key, one.batch.apps[1:])] for one in kept])
        domains = await self._dimensions.domains.ids_of_lists([one.batch.domains[1:] for one in kept])
        ids = {
            id(one): ([UNKNOWN, *of_apps], [UNKNOWN, *of_domains])
            for one, of_apps, of_domains in zip(kept, apps, domains, strict=True)
        }
        peers = await self._peers.hosts()
        await self._partitions.ensure(days_of(one.at.start for one in kept))

        def flow_image(one: _Placed) -> bytes:
            batch = with_peers(one.batch, one.host_id, peers)
            return rows.flow_image(batch, one.at.start, one.host_id, *ids[id(one)], now)

        async def send(connection: sql.Connection, fresh: Sequence[_Placed]) -> Counter[str]:
            by_day: dict[int, list[_Placed]] = defaultdict(list)
            for one in fresh:
                by_day[one.at.start // DAY_MS].append(one)
            counts: Counter[str] = Counter()
            for day, ones in by_day.items():
                # Rows are made as they are sent, so that a group is never in memory twice.
                part = self._partitions.part(rows.IMAGE, day)
                counts[tables.FLOW.name] += await tables.copy_image(connection, part, map(flow_image, ones))
                for table, made in (
                    (tables.TALLY, (rows.tally_rows(one.batch, one.at.start, one.host_id) for one in ones)),
                    (tables.COVERAGE, (rows.coverage_rows(one.batch, one.at.start, one.host_id) for one in ones)),
                ):
                    part = self._partitions.part(table, day)
                    counts[table.name] += await tables.copy(connection, part, chain.from_iterable(made))
            return counts

        while True:
            # The rows are sent on what the ledger says unlocked, and the ledger is locked only then: writers of the
            # same host then wait for each other's commit, not for each other's rows.
            with contextlib.suppress(_OvertakenError):
                async with self._pool.acquire() as connection, connection.transaction():
                    await self._dimensions.hold(connection, purges)
                    looked = _apply(placed, await _read(connection, _keys(placed), lock=False), now)
                    fresh = [one for one in looked.new if one.at.reason != rows.TOO_OLD]
                    counts = await send(connection, fresh)
                    new = await self._enter(connection, placed, now)
                    if list(map(id, new)) != list(map(id, looked.new)):
                        raise _OvertakenError
                    await rollups.touch(connection, [one.at.start for one in fresh])
                    await _count_refused(connection, [(one, one.at.reason) for one in new if one.at.reason], now)
                break
        for table, count in counts.items():
            ROWS.labels(table).inc(count)
        for one in new:
            if one.at.reason:
                REFUSED_ROWS.labels(one.at.reason).inc(len(one.batch.records))
                # At debug: an agent that was away for long has thousands of them.
                log.debug("rows refused or moved", batch=one.name, reason=one.at.reason, rows=len(one.batch.records))
        BATCHES.labels("committed").inc(len(fresh))
        BATCHES.labels("refused").inc(len(new) - len(fresh))
        BATCHES.labels("duplicate").inc(len(placed) - len(new))

    async def write_off(self, batch: FlowsObserved) -> None:
        """Enter a batch that can never be stored into the ledger, and count it, so that nothing waits for it."""
        while True:
            with contextlib.suppress(PurgedError):
                return await self._write_off(batch)

    async def _write_off(self, batch: FlowsObserved) -> None:
        purges = self._dimensions.purges
        now = self._clock()
        hosts = await self._dimensions.hosts.ids([batch.host])
        placed = _Placed(batch, hosts[batch.host], rows.place(batch.start, batch.interval, now, 0))
        async with self._pool.acquire() as connection, connection.transaction():
            await self._dimensions.hold(connection, purges)
            new = await self._enter(connection, [placed], now)
            await _count_refused(connection, [(one, INVALID) for one in new], now)
        REFUSED_ROWS.labels(INVALID).inc(sum(len(one.batch.records) for one in new))

    async def _enter(self, connection: sql.Connection, placed: Sequence[_Placed], now: int) -> list[_Placed]:
        """Enter batches into the ledger; those that were not in it. Their ledgers stay locked to the end of the
        transaction.
        """
        before = await _read(connection, _keys(placed), lock=True)
        applied = _apply(placed, before, now)
        await _save(connection, before, applied.ledgers, now)
        return applied.new


class _OvertakenError(Exception):
    """Another writer committed one of the batches meanwhile; the transaction is to be done again without it."""


class _Applied(NamedTuple):
    ledgers: dict[LedgerKey, Ledger]
    new: list[_Placed]
    """What the ledgers had not, in the order of the keys."""


def _keys(placed: Sequence[_Placed]) -> list[LedgerKey]:
    return sorted({one.key for one in placed})


def _apply(placed: Sequence[_Placed], before: dict[LedgerKey, Ledger], now: int) -> _Applied:
    by_key: dict[LedgerKey, list[_Placed]] = defaultdict(list)
    for one in placed:
        by_key[one.key].append(one)
    after: dict[LedgerKey, Ledger] = {}
    new: list[_Placed] = []
    for key in sorted(by_key):
        arrivals = [Arrival(one.batch.sequence, rows.interval_end(one.batch, one.at)) for one in by_key[key]]
        after[key], accepted = apply(before[key], arrivals, now)
        new += [one for one, is_new in zip(by_key[key], accepted, strict=True) if is_new]
    return _Applied(after, new)


def _columns(keys: Sequence[LedgerKey]) -> dict[str, list[int] | list[str]]:
    return {"host_ids": [key[0] for key in keys], "epochs": [key[1] for key in keys]}


async def _read(connection: sql.Connection, keys: Sequence[LedgerKey], *, lock: bool) -> dict[LedgerKey, Ledger]:
    """Ledgers of the keys; with ``lock`` those that are not there are made, and all stay locked."""
    found = await sql.fetch(connection, "lock_ledgers" if lock else "read_ledgers", **_columns(keys))
    if lock and len(found) < len(keys):
        await sql.execute(connection, "add_ledgers", **_columns(keys))
        found = await sql.fetch(connection, "lock_ledgers", **_columns(keys))
    runs: dict[LedgerKey, list[Run]] = defaultdict(list)
    for host_id, epoch, *run in await sql.fetch(connection, "ledger_runs", **_columns(keys)):
        runs[host_id, epoch].append(Run(*run))
    ledgers = dict.fromkeys(keys, Ledger())
    for host_id, epoch, low_water, complete_until in found:
        ledgers[host_id, epoch] = Ledger(low_water, complete_until, tuple(runs[host_id, epoch]))
    return ledgers


async def _save(
    connection: sql.Connection, before: dict[LedgerKey, Ledger], after: dict[LedgerKey, Ledger], now: int
) -> None:
    if changed := [key for key in after if after[key] != before[key]]:
        await sql.execute(
            connection,
            "update_ledgers",
            **_columns(changed),
            low_waters=[after[key].low_water for key in changed],
            complete_untils=[after[key].complete_until for key in changed],
            now=now,
        )
    moved = [key for key in after if after[key].runs != before[key].runs]
    if removed := [key for key in moved if before[key].runs]:
        await sql.execute(connection, "remove_ledger_runs", **_columns(removed))
    if added := [(key, run) for key in moved for run in after[key].runs]:
        await sql.execute(
            connection,
            "add_ledger_runs",
            **_columns([key for key, _ in added]),
            firsts=[run.first for _, run in added],
            lasts=[run.last for _, run in added],
            interval_ends=[run.end for _, run in added],
            sinces=[run.since for _, run in added],
        )


async def _count_refused(connection: sql.Connection, refused: list[tuple[_Placed, str]], now: int) -> None:
    sums: dict[tuple[int, str], list[int]] = defaultdict(lambda: [0, 0])
    for one, reason in refused:
        total = sums[one.host_id, reason]
        total[0] += len(one.batch.records)
        total[1] += rows.total_bytes(one.batch)
    if sums:
        await sql.execute(
            connection,
            "add_refused",
            host_ids=[host_id for host_id, _ in sums],
            reasons=[reason for _, reason in sums],
            rows=[total[0] for total in sums.values()],
            bytes=[total[1] for total in sums.values()],
            now=now,
        )

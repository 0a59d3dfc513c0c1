"""Handlers of the commands that change the history: aggregate, cleanup, set-retention, set-config, purge.

The work is `netally.store`'s; what is told is what it really did. One connection alone maintains the history, so that
these wait for the periodic maintenance and it for them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import asyncpg
import msgspec
from msgspec import UNSET
from nats.js import JetStreamContext

from netally.aggregator.command_runner import Done, Run
from netally.aggregator.live_settings import LiveConfig, retention_of
from netally.contracts.commands import (
    TIER_ALIASES,
    Aggregate,
    CleanUp,
    Purge,
    RefusedError,
    SetConfig,
    SetRetention,
)
from netally.contracts.live_settings import AggregatorConfig
from netally.store import backend, retention, rollups, sql
from netally.store.retention import GIGABYTE, Ages
from netally.store.tiers import TIERS


class Maintained(NamedTuple):
    """The connection that alone maintains the history."""

    connection: asyncpg.Connection
    kind: str
    zone: ZoneInfo
    now: int


class MaintenanceCommands:
    """``tell_services`` lets every aggregator follow changed settings."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        js: JetStreamContext,
        settings: LiveConfig,
        clock: Callable[[], int],
        *,
        tell_services: Callable[[str], Awaitable[None]],
    ) -> None:
        self._pool = pool
        self._js = js
        self._settings = settings
        self._clock = clock
        self._tell_services = tell_services

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[Maintained]:
        async with rollups.exclusive(self._pool, wait=True) as connection:
            assert connection is not None  # noqa: S101  (it waited)
            kind = await backend.find(connection)
            yield Maintained(connection, kind, ZoneInfo(await backend.timezone(connection)), self._clock())

    # --- aggregate ----------------------------------------------------------------------------------------------

    async def aggregate(self, run: Run, wanted: Aggregate) -> Done:
        coarsest = TIER_ALIASES.get(wanted.tier, wanted.tier)
        names = [tier.name for tier in TIERS]
        names = names if coarsest == "all" else names[: names.index(coarsest) + 1]
        done = {name: {"buckets": 0, "rows": 0, "seconds": 0.0} for name in names}
        async with self._alone() as at:
            within = None
            if wanted.from_ is not None:
                within = (wanted.from_, at.now if wanted.to is None else min(wanted.to, at.now))
            for name in names:
                await run.progress(f"tier {name}, {names.index(name) + 1} of {len(names)}", tiers=done)
                for part in await rollups.refresh_outstanding(at.connection, at.now, at.zone, (name,), within):
                    done[name]["buckets"] += part.buckets
                    done[name]["rows"] += part.rows
                    done[name]["seconds"] = round(done[name]["seconds"] + part.seconds, 3)
        buckets = sum(int(one["buckets"]) for one in done.values())
        rows = sum(int(one["rows"]) for one in done.values())
        message = (
            f"{_many(buckets, 'bucket')} and {_many(rows, 'row')} written" if buckets else "nothing was outstanding"
        )
        return Done(message, {"tiers": done, "buckets": buckets, "rows": rows})

    # --- cleanup ------------------------------------------------------------------------------------------------

    async def cleanup(self, run: Run, _: CleanUp) -> Done:
        ages = self._settings.ages()
        async with self._alone() as at:
            if run.command.dry_run:
                parts = (await retention.preview(at.connection, ages, at.now, at.zone)).drops
            else:
                parts = await retention.apply(at.connection, ages, at.now, at.zone)
        rows, size = sum(part.rows for part in parts), sum(part.bytes for part in parts)
        would = "would go" if run.command.dry_run else "deleted"
        message = (
            f"{_many(rows, 'row')} ({_gigabytes(size)}) {would}" if rows or size else "nothing is old enough to go"
        )
        return Done(
            message,
            {"tiers": {part.tier: _of_tier(part) for part in parts}, "rows": rows, "bytes": size},
        )

    # --- settings -----------------------------------------------------------------------------------------------

    async def set_retention(self, run: Run, wanted: SetRetention) -> Done:
        return await self._set(run, SetConfig(retention=wanted), "")

    async def set_config(self, run: Run, wanted: SetConfig) -> Done:
        return await self._set(run, wanted, "retention.")

    async def _set(self, run: Run, wanted: SetConfig, prefix: str) -> Done:
        result: dict[str, Any] = {}
        after_ages: Ages | None = None
        if wanted.retention is not None:
            async with self._alone() as at:
                after_ages = await self._ages(at, wanted.retention, prefix)
                found = await retention.preview(at.connection, after_ages, at.now, at.zone)
            result["costs"] = [msgspec.structs.asdict(cost) for cost in found.costs]
            result["drops"] = {part.tier: _of_tier(part) for part in found.drops}

        def changed(config: AggregatorConfig) -> AggregatorConfig:
            return msgspec.structs.replace(
                config,
                version=config.version + 1,
                retention=config.retention if after_ages is None else retention_of(after_ages),
                ledger_days=wanted.ledger_days or config.ledger_days,
                answer_seconds=wanted.answer_seconds or config.answer_seconds,
            )

        if run.command.dry_run:
            before = self._settings.config
            after = changed(before)
        else:
            before, after = await self._settings.change(self._js, changed)
            await self._tell_services(run.command.id)
        shown = [self._shown(config) for config in (before, after)]
        changes = {name: {"before": shown[0][name], "after": shown[1][name]} for name in shown[0]}
        changes = {name: change for name, change in changes.items() if change["before"] != change["after"]}
        words = ", ".join(f"{name} {_value(one['before'])} to {_value(one['after'])}" for name, one in changes.items())
        if run.command.dry_run:
            words = f"would change {words}" if words else "would change nothing"
        return Done(words or "nothing changed", {"changes": changes, "version": after.version, **result})

    def _shown(self, config: AggregatorConfig) -> dict[str, Any]:
        ages = config.retention or retention_of(self._settings.default_ages)
        return {
            **msgspec.structs.asdict(ages), "ledger_days": config.ledger_days, "answer_seconds": config.answer_seconds
        }  # fmt: skip

    async def _ages(self, at: Maintained, wanted: SetRetention, prefix: str) -> Ages:
        now = self._settings.ages()
        try:
            if wanted.budget_gb is not None:
                rates = await retention.daily_bytes(at.connection, at.now)
                budget = int(wanted.budget_gb * GIGABYTE)
                ages = retention.ages_within(budget, rates, retention.SPOOL_DAYS)
            else:
                ages = Ages(
                    wanted.raw or now.raw,
                    wanted.minutes or now.minutes,
                    wanted.hours or now.hours,
                    now.days if wanted.days is UNSET else wanted.days,
                )
            retention.check(ages, retention.SPOOL_DAYS)
        except ValueError as error:
            given = [name for name in ("budget_gb", "raw", "minutes", "hours") if getattr(wanted, name) is not None]
            raise RefusedError(str(error), prefix + (given or ["days"])[0]) from None
        return ages

    # --- purge --------------------------------------------------------------------------------------------------

    async def purge(self, run: Run, wanted: Purge) -> Done:
        dimension = next(name for name in ("host", "app", "domain") if getattr(wanted, name) is not None)
        name = str(getattr(wanted, dimension))
        ids = [row["id"] for row in await sql.fetch(self._pool, f"{dimension}s_to_purge", name=name)]
        if not ids:
            raise RefusedError(f"there is no {dimension} {name!r}", dimension)
        removed: dict[str, int] = {}

        def count(rows: dict[str, int]) -> None:
            for relation, number in rows.items():
                removed[relation] = removed.get(relation, 0) + number

        async with self._alone() as at:
            if not run.command.dry_run:
                await retention.retire(at.connection, dimension, ids, at.now)
            for identity in ids:
                if run.command.dry_run:
                    count(await retention.preview_purge(at.connection, dimension, identity))
                    continue
                await run.progress(f"{dimension} {name}: {_many(sum(removed.values()), 'row')} so far", rows=removed)
                count(await retention.purge(at.connection, dimension, identity, at.now, at.zone))
        rows = sum(removed.values())
        message = f"{_many(rows, 'row')} of {dimension} {name} {'would go' if run.command.dry_run else 'deleted'}"
        return Done(message, {"relations": removed, "rows": rows})


def _of_tier(part: retention.Dropped) -> dict[str, int | None]:
    return {"rows": part.rows, "bytes": part.bytes, "before": part.before, "oldest": part.oldest}


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _gigabytes(size: int) -> str:
    return f"{size / GIGABYTE:.1f} GB" if size >= GIGABYTE / 10 else f"{size / 1e6:.1f} MB"


def _value(value: Any) -> str:
    return "for ever" if value is None else f"{value}"

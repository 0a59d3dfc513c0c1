"""Lanes of the runner, on a real database with handlers of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
import structlog

from netally.aggregator.command_ledger import CommandLedger
from netally.aggregator.command_runner import CommandRunner, Done, FailedError, Run
from netally.contracts.commands import Command, Outcome, RefusedError
from netally.store.database import DatabaseSettings, open_pool
from tests.builders import START
from tests.ordering import make_command
from tests.services import eventually


class Bench:
    """A ledger, a runner, and what its handlers do."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool
        self.ended: dict[str, Outcome] = {}
        self.ledger = CommandLedger(pool, lambda: START, self._tell)
        self.free = asyncio.Event()
        self.free.set()
        self.active = 0

    async def _tell(self, outcome: Outcome, identity: str) -> None:
        if outcome.state not in ("accepted", "progress"):
            self.ended[outcome.command_id] = outcome

    async def handle(self, run: Run, arguments: Any) -> Done:
        self.active += 1
        assert self.active == 1, "two of one lane at the same time"
        try:
            await self.free.wait()
            match run.command.actor:
                case "refused":
                    raise RefusedError("not this one", "tier")
                case "failed":
                    raise FailedError("it could not", {"half": True})
                case "broken":
                    raise KeyError("a fault")
            return Done("done", {"rows": 1})
        finally:
            self.active -= 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[CommandRunner]:
        names = ("aggregate", "cleanup")
        runner = CommandRunner(self.pool, self.ledger, dict.fromkeys(names, self.handle), lambda: START, str)
        stop = asyncio.Event()
        task = asyncio.create_task(runner.run(stop))
        try:
            yield runner
        finally:
            stop.set()
            await task

    async def order(self, **changes: Any) -> Command:
        command = make_command("aggregate", **changes)
        await self.ledger.accept(command, "aggregator", "")
        return command

    async def end_of(self, command: Command) -> Outcome:
        async def ended() -> bool:
            return command.id in self.ended

        await eventually(ended)
        return self.ended[command.id]


@pytest.fixture
async def bench(migrated_database_url: str) -> AsyncIterator[Bench]:
    pool = await open_pool(DatabaseSettings(migrated_database_url), "tests")
    yield Bench(pool)
    await pool.close()


async def test_one_after_the_other_and_each_with_its_outcome(bench: Bench) -> None:
    orders = [await bench.order(actor=actor) for actor in ("ada", "refused", "failed", "broken", "ada")]
    async with bench.running() as runner:
        runner.wake("maintenance")
        found = [await bench.end_of(command) for command in orders]
    assert [outcome.state for outcome in found] == ["succeeded", "failed", "failed", "failed", "succeeded"]
    assert [outcome.field for outcome in found] == [None, "tier", None, None, None]
    assert found[2].result == {"half": True}
    assert "KeyError" not in found[3].message


async def test_a_deadline_that_passed_is_not_begun(bench: Bench) -> None:
    late = await bench.order(deadline=START - 1)
    async with bench.running():
        assert (await bench.end_of(late)).state == "expired"


async def test_a_running_one_is_stopped_and_what_a_stop_leaves_runs_again(bench: Bench) -> None:
    bench.free.clear()
    first, second = await bench.order(), await bench.order()
    async with bench.running() as runner:

        async def is_running() -> bool:
            return bench.active == 1

        await eventually(is_running)
        assert (await runner.waits_for("maintenance")).startswith("aggregate ")
        oldest = (await bench.ledger.unfinished(["aggregate"]))[0][0]
        assert runner.stop_command(oldest.id, "ada")
        assert (await bench.end_of(oldest)).message == "stopped by ada"
        assert not runner.stop_command("0" * 32, "ada")
        await eventually(is_running)
    rest = first if oldest.id == second.id else second
    assert await bench.ledger.state(rest.id) == ("aggregate", "progress")
    bench.free.set()
    async with bench.running():
        assert (await bench.end_of(rest)).state == "succeeded"


async def test_what_is_logged_on_the_way_carries_the_commands_id(bench: Bench) -> None:
    seen: dict[str, Any] = {}
    handle = bench.handle

    async def noting(run: Run, arguments: Any) -> Done:
        seen.update(structlog.contextvars.get_contextvars())
        return await handle(run, arguments)

    bench.handle = noting  # type: ignore[method-assign]
    async with bench.running():
        command = await bench.order()
        await bench.end_of(command)
    assert seen["command_id"] == command.id
    assert "command_id" not in structlog.contextvars.get_contextvars()

"""The ledger on a real database: once per id and key, ended once, told after the commit."""

from __future__ import annotations

import asyncpg
import pytest

from netally.aggregator.command_ledger import CommandLedger
from netally.contracts.commands import Outcome
from tests.builders import START
from tests.ordering import make_command


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def ledger(pool: asyncpg.Pool, told: list[str]) -> CommandLedger:
    async def tell(outcome: Outcome, identity: str) -> None:
        told.append(outcome.state)

    return CommandLedger(pool, lambda: START, tell)


async def test_a_command_is_entered_once_and_ends_once(ledger: CommandLedger, told: list[str]) -> None:
    command = make_command("aggregate", {"tier": "1h"}, idempotency_key="k")
    assert await ledger.accept(command, "aggregator", "")
    assert not await ledger.accept(command, "aggregator", "")
    assert not await ledger.accept(make_command("aggregate", idempotency_key="k"), "aggregator", "")
    first = await ledger.same_key("k")
    assert first is not None
    assert (first.id, first.arguments) == (command.id, {"tier": "1h"})
    assert await ledger.begin(command.id, "running")
    assert not await ledger.begin(command.id, "running")
    assert not await ledger.end_waiting(command.id, "cancelled", "")
    assert await ledger.end(command.id, "succeeded", "done", {"rows": 5})
    assert not await ledger.end(command.id, "failed", "no")
    assert told == ["accepted", "progress", "succeeded"]
    assert await ledger.unfinished(["aggregate"]) == []


async def test_what_waits_can_be_taken_back_and_what_ran_waits_again(ledger: CommandLedger) -> None:
    waiting, running = make_command("cleanup", issued_at=START), make_command("cleanup", issued_at=START + 1)
    for command in (running, waiting):
        await ledger.accept(command, "aggregator", "")
    await ledger.begin(running.id, "")
    assert [command.id for command, _ in await ledger.unfinished(["cleanup"])] == [waiting.id, running.id]
    assert await ledger.end_waiting(waiting.id, "expired", "")
    assert await ledger.requeue(running.id, "again") == 2
    assert await ledger.state(running.id) == ("cleanup", "accepted")
    assert await ledger.state("0" * 32) is None


async def test_names_that_no_database_takes(ledger: CommandLedger, pool: asyncpg.Pool) -> None:
    command = make_command("purge", {"host": "a\0b"}, actor="x" * 1000)
    assert await ledger.refuse(command, "aggregator", "no", "host")
    assert await pool.fetchval("SELECT length(actor) FROM command") == 200


async def test_old_commands_are_forgotten(ledger: CommandLedger, pool: asyncpg.Pool) -> None:
    old, unfinished = make_command("cleanup"), make_command("cleanup")
    for command in (old, unfinished):
        await ledger.accept(command, "aggregator", "")
    await ledger.end(old.id, "succeeded", "")
    await ledger.forget(START + 1)
    assert await pool.fetchval("SELECT array_agg(id) FROM command") == [unfinished.id]

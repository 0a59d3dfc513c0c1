from __future__ import annotations

from typing import Any

import pytest

from netally.aggregator.command_intake import Intake
from netally.aggregator.command_ledger import Entry
from netally.contracts.commands import Command
from netally.contracts.signing import sign
from netally.contracts.wire import encode_json
from tests.ordering import make_command


class Ledger:
    """Keeps what it is given."""

    def __init__(self, first: Entry | None = None) -> None:
        self.accepted: list[tuple[Command, str, str]] = []
        self.refused: list[tuple[Command, str | None]] = []
        self.repeats: list[str] = []
        self._first = first

    async def accept(self, command: Command, target: str, message: str) -> bool:
        if self._first is not None:
            return False
        self.accepted.append((command, target, message))
        return True

    async def refuse(self, command: Command, target: str, message: str, field: str | None) -> bool:
        self.refused.append((command, field))
        return True

    async def same_key(self, key: str) -> Entry | None:
        return self._first

    async def repeated(self, command: Command, first: Entry) -> None:
        self.repeats.append(first.id)


class Pool:
    async def fetchval(self, query: str) -> str:
        return "key"


async def take(ledger: Ledger, subject: str, body: bytes, signature: str | None = None, busy: str = "") -> list[str]:
    woken: list[str] = []

    async def waits_for(lane: str) -> str:
        return busy

    pool: Any = Pool()
    entries: Any = ledger
    await Intake(pool, entries, waits_for, woken.append).take(f"commands.v1.aggregator.{subject}", body, signature, 7)
    return woken


async def test_only_a_signature_proves_the_actor() -> None:
    body = encode_json(make_command("pause", {"hosts": ["a", "b"]}, actor_verified=True))
    ledger = Ledger()
    assert await take(ledger, "pause", body) == ["quick"]
    assert await take(ledger, "pause", body, sign(body, "key"), busy="export 1") == ["quick"]
    assert [command.actor_verified for command, _, _ in ledger.accepted] == [False, True]
    assert [(target, message) for _, target, message in ledger.accepted] == [
        ("a, b", "accepted"),
        ("a, b", "waits for export 1"),
    ]


@pytest.mark.parametrize(
    ("subject", "body", "field"),
    [
        ("aggregate", b"{", "body"),
        ("cleanup", encode_json(make_command("aggregate")), "name"),
        ("nothing", encode_json(make_command("nothing")), "name"),
        ("aggregate", encode_json(make_command("aggregate", id="x" * 500)), "id"),
        ("aggregate", encode_json(make_command("aggregate", deadline=2**62)), "deadline"),
    ],
)
async def test_what_cannot_run_is_refused_with_an_id_that_fits(subject: str, body: bytes, field: str) -> None:
    ledger = Ledger()
    assert await take(ledger, subject, body) == []
    ((command, found),) = ledger.refused
    assert found == field
    assert len(command.id) == 32


async def test_a_key_that_came_before() -> None:
    first = Entry("1" * 32, "aggregate", {}, False, "succeeded", "", {})
    ledger = Ledger(first)
    await take(ledger, "aggregate", encode_json(make_command("aggregate", idempotency_key="k")))
    await take(ledger, "cleanup", encode_json(make_command("cleanup", idempotency_key="k")))
    assert ledger.repeats == ["1" * 32]
    assert [field for _, field in ledger.refused] == ["idempotency_key"]

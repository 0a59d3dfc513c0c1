"""With a database and a bus it is in tests/integration/test_access.py."""

from __future__ import annotations

from typing import Any

import nats.errors
import pytest

from netally.aggregator.token_commands import TokenCommands
from netally.contracts.commands import CreateToken, RefusedError, RevokeToken
from tests.builders import START
from tests.ordering import make_command


class Pool:
    """Answers every statement with one row."""

    def __init__(self, row: Any) -> None:
        self.row = row
        self.values: tuple[Any, ...] = ()

    async def fetchval(self, _: str, *values: Any) -> Any:
        self.values = values
        return self.row

    async def fetchrow(self, _: str, *values: Any) -> Any:
        return self.row


class Bus:
    """Away."""

    async def publish(self, _: str) -> None:
        raise nats.errors.ConnectionClosedError


def commands(row: Any) -> tuple[TokenCommands, Pool]:
    pool = Pool(row)
    anything: Any = pool
    bus: Any = Bus()
    return TokenCommands(anything, bus, lambda: START), pool


class Run:
    command = make_command("create-token", actor="admin")


RUN: Any = Run()
WANTED = CreateToken(token="a" * 16, name="ci", role="viewer", hash="$argon2id$", hosts=["b", "a", "b"])


async def test_a_token_is_kept_although_the_bus_is_away_to_tell_it() -> None:
    made, pool = commands("a" * 16)
    done = await made.create(RUN, WANTED)
    assert done.message == f"token ci ({'a' * 16}) is a viewer of 2 hosts"
    assert ["a", "b"] in pool.values
    assert "admin" in pool.values
    assert "$argon2id$" not in str(done)


async def test_an_id_that_is_taken_and_a_time_that_is_over_are_refused() -> None:
    made, _ = commands(None)
    with pytest.raises(RefusedError) as taken:
        await made.create(RUN, WANTED)
    late = CreateToken(token="a" * 16, name="ci", role="viewer", hash="$argon2id$", expires_at=START)
    with pytest.raises(RefusedError) as over:
        await made.create(RUN, late)
    with pytest.raises(RefusedError) as unknown:
        await made.revoke(RUN, RevokeToken("b" * 16))
    assert [one.value.field for one in (taken, over, unknown)] == ["token", "expires_at", "token"]


async def test_a_token_that_was_revoked_before_stays_so() -> None:
    made, _ = commands({"name": "ci", "revoked_at": START - 5})
    done = await made.revoke(RUN, RevokeToken("a" * 16))
    assert done.result == {"token": "a" * 16, "revoked_at": START - 5}

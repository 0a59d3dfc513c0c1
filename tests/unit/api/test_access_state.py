from __future__ import annotations

import asyncio
from typing import Any

import pytest

from netally.api import access_state
from netally.api.access_state import AccessState
from netally.contracts.access import SessionUse
from tests.builders import START
from tests.scripted_database import ScriptedDatabase

TOKEN = {"id": "a" * 16, "name": "ci", "role": "viewer", "hosts": None, "hash": "$argon2id$", "expires_at": None}


def scripted() -> tuple[ScriptedDatabase, AccessState]:
    database = ScriptedDatabase(usable_tokens=[TOKEN], sessions_used=[])
    return database, AccessState(database.as_database(), lambda: START)


async def test_what_was_read_a_moment_ago_is_not_read_again_until_something_changed() -> None:
    database, state = scripted()
    assert await state.token("a" * 16) is not None
    database.statements["usable_tokens"] = []
    assert await state.token("a" * 16) is not None
    state.changed()
    assert await state.token("a" * 16) is None


async def test_it_is_read_again_after_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    database, state = scripted()
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    assert await state.token("a" * 16) is not None
    database.statements["usable_tokens"] = []
    now += access_state.FRESH + 0.01
    assert await state.token("a" * 16) is None


async def test_many_who_ask_at_once_cause_one_reading() -> None:
    database, state = scripted()
    await asyncio.gather(*(state.token("a" * 16) for _ in range(50)))
    assert database.reads == 1


async def test_while_the_database_is_away_the_last_reading_counts_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    database, state = scripted()
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    await state.refresh()
    database.away = "away"
    now += access_state.BEARABLE
    assert await state.token("a" * 16) is not None
    assert state.is_known
    now += 1
    assert not state.is_known


async def test_what_changes_while_it_is_read_is_read_once_more() -> None:
    database, state = scripted()

    class Changing(ScriptedDatabase):
        def read(self, advice: str) -> Any:
            if database.reads == 0:
                state.changed()
            return database.read(advice)

    state._database = Changing().as_database()
    await state.refresh()
    assert database.reads == 2


async def test_of_a_session_the_latest_use_and_any_end_count() -> None:
    database, state = scripted()
    use = SessionUse("1" * 32, "", START, START + 9, START + 5)
    state.heard(use)
    state.heard(SessionUse("1" * 32, "", START, START + 9, START + 2, ended=True))
    database.statements["sessions_used"] = [{"number": "1" * 32, "last_used": START + 3, "ended": False}]
    assert await state.session("1" * 32) == (START + 5, True)
    assert await state.session("2" * 32) is None

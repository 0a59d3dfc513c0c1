"""With a bus it is in tests/integration/test_access.py."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import nats.errors

from netally.api.access_reports import AccessReports
from netally.api.access_state import AccessState
from netally.contracts.access import AccessUsed, SessionUse, TokenUse
from netally.contracts.wire import decode_json
from tests.builders import START
from tests.scripted_database import ScriptedDatabase
from tests.services import eventually


class Bus:
    """A bus that keeps what is told; ``is_connected`` says whether it takes it."""

    def __init__(self) -> None:
        self.is_connected = True
        self.takes = True
        self.told: list[AccessUsed] = []
        self.ids: set[str] = set()
        self.callbacks: dict[str, Any] = {}

    @property
    def client(self) -> Bus:
        return self

    async def subscribe(self, subject: str, cb: Any) -> None:
        self.callbacks[subject] = cb

    def jetstream(self, timeout: float) -> Bus:
        return self

    async def publish(self, subject: str, body: bytes, headers: dict[str, str] | None = None) -> Any:
        if not self.takes:
            raise nats.errors.NoRespondersError
        assert subject == "access.v1.used"
        said = (headers or {}).get("Nats-Msg-Id", "")
        duplicate = said in self.ids
        self.ids |= {said} - {""}
        if not duplicate:
            self.told.append(decode_json(body, AccessUsed))
        return SimpleNamespace(duplicate=duplicate)


def use(number: str, **changes: Any) -> SessionUse:
    values = {"token": "", "opened_at": START, "expires_at": START + 9, "last_used": START, **changes}
    return SessionUse(number=number * 32, **values)


def parts() -> tuple[Bus, AccessState, AccessReports]:
    bus = Bus()
    state = AccessState(ScriptedDatabase(usable_tokens=[], sessions_used=[]).as_database(), lambda: START)
    anything: Any = bus
    return bus, state, AccessReports(anything, state)


async def test_uses_are_gathered_and_ends_are_told_at_once_and_kept_until_they_are_taken() -> None:
    bus, _, reports = parts()
    bus.takes = False
    reports.token("a" * 16, START)
    reports.token("a" * 16, START + 1)
    reports.session(use("1"))
    reports.session(use("1", last_used=START + 3))
    running = asyncio.create_task(reports.run())
    try:
        reports.session(use("2", ended=True), at_once=True)
        await asyncio.sleep(0.1)
        assert bus.told == []
        bus.takes = True

        async def told() -> bool:
            return bool(bus.told)

        await eventually(told)
        (report,) = bus.told
        assert report.sessions == [use("1", last_used=START + 3), use("2", ended=True)]
        assert report.tokens == [TokenUse("a" * 16, START + 1)]
        # An end does not wait for the next gathering.
        reports.session(use("3", ended=True), at_once=True)

        async def told_again() -> bool:
            return len(bus.told) == 2

        await eventually(told_again, within=2)
        assert bus.told[1].sessions == [use("3", ended=True)]
    finally:
        running.cancel()


async def test_what_ended_stays_ended_whoever_uses_it_meanwhile() -> None:
    bus, _, reports = parts()
    reports.session(use("1", ended=True), at_once=True)
    reports.session(use("1", last_used=START + 5))
    client: Any = bus
    await reports._tell(client)
    assert bus.told[0].sessions == [use("1", last_used=START + 5, ended=True)]


async def test_what_other_instances_tell_is_heard() -> None:
    _, state, reports = parts()
    state.heard(use("1"))
    body = AccessUsed("another", [use("1", ended=True)])
    message: Any = SimpleNamespace(data=msgspec.json.encode(body), subject="access.v1.used")
    await reports._hear(message)
    broken: Any = SimpleNamespace(data=b"{", subject="access.v1.used")
    await reports._hear(broken)
    assert await state.session("1" * 32) == (START, True)


async def test_of_a_session_opened_twice_the_second_is_told_so() -> None:
    bus, state, reports = parts()
    assert await reports.opened(use("a")) is True
    assert await state.session("a" * 32) is not None
    another = AccessReports(bus, AccessState(ScriptedDatabase().as_database(), lambda: START))  # type: ignore[arg-type]
    assert await another.opened(use("a")) is False
    bus.takes = False
    assert await another.opened(use("b")) is None
    bus.is_connected = False
    assert await another.opened(use("c")) is None
    # What the bus did not take is told once it does.
    bus.takes = bus.is_connected = True
    task = asyncio.create_task(another.run())

    async def told() -> bool:
        return {one.number[0] for report in bus.told for one in report.sessions} >= {"a", "b", "c"}

    await eventually(told)
    task.cancel()

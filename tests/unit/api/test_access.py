from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from netally.api.access import IDLE_SECONDS, SESSION_SECONDS, Access
from netally.api.access_state import AccessState
from netally.api.attempt_limit import ATTEMPTS
from netally.api.problems import ProblemError
from netally.api.token_secrets import NewSecret, TokenHashing, new_secret
from netally.contracts.access import SessionUse
from netally.contracts.queries import Session
from tests.builders import START
from tests.scripted_database import ScriptedDatabase

NOWHERE = Path("/nonexistent/admin-token")
SOMEWHERE = "192.0.2.1"


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


class Reports:
    """Keeps what would be told on the bus, and lets this instance hear it."""

    def __init__(self, state: AccessState) -> None:
        self.state = state
        self.sessions: list[tuple[SessionUse, bool]] = []
        self.tokens: list[str] = []
        self.opened_first: bool | None = True
        """What the bus says of a code: whether it is the first that heard of it, None while it is away."""

    async def opened(self, use: SessionUse) -> bool | None:
        if self.opened_first is not False:
            self.session(use, at_once=True)
        return self.opened_first

    def session(self, use: SessionUse, *, at_once: bool = False) -> None:
        self.sessions.append((use, at_once))
        self.state.heard(use)

    def token(self, token: str, now: int) -> None:
        self.tokens.append(token)


class Accounts:
    """An `Access` with the parts it rests on."""

    def __init__(self, clock: Clock, token: str = "the-token", file: Path = NOWHERE) -> None:
        self.database = ScriptedDatabase(usable_tokens=[], sessions_used=[])
        self.state = AccessState(self.database.as_database(), clock)
        self.reports = Reports(self.state)
        reports: Any = self.reports
        self.access = Access(token, file, clock, self.state, reports)

    async def add_token(self, **changes: Any) -> NewSecret:
        made = new_secret()
        row = {"id": made.token, "name": "ci", "role": "viewer", "hosts": None, "expires_at": None}
        self.database.statements["usable_tokens"].append(
            {**row, "hash": await self.access.hashing.hash(made.text), **changes}
        )
        self.state.changed()
        return made

    def revoke(self, token: str) -> None:
        rows = self.database.statements["usable_tokens"]
        rows[:] = [row for row in rows if row["id"] != token]
        self.state.changed()

    async def open_session(self, token: str = "") -> str:
        opened = await self.access.open_session(self.access.new_code(token).code)
        assert opened is not None
        return opened.cookie

    async def refused(self, cookie: str) -> int:
        """Status of the problem that a cookie meets; 0 when it is good."""
        try:
            await self.access.of_cookie(cookie)
        except ProblemError as error:
            return error.problem.status
        return 0

    async def status_of_bearer(self, text: str, address: str = SOMEWHERE) -> int:
        try:
            await self.access.of_bearer(text, address)
        except ProblemError as error:
            return error.problem.status
        return 0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def accounts(clock: Clock) -> Accounts:
    return Accounts(clock)


def test_only_the_whole_token_is_the_token(accounts: Accounts) -> None:
    assert accounts.access.is_admin("the-token")
    for wrong in ("", "the-toke", "the-token ", "The-token", "the-token\x00", "ü", "\udcff"):
        assert not accounts.access.is_admin(wrong)


async def test_without_a_token_nobody_is_admin(clock: Clock, tmp_path: Path) -> None:
    accounts = Accounts(clock, "", tmp_path / "admin-token")
    assert not accounts.access.is_admin("")
    assert await accounts.access.open_session(accounts.access.new_code().code) is None
    assert await accounts.refused("anything") == 401


async def test_the_token_file_is_read_when_it_appears_and_changes(clock: Clock, tmp_path: Path) -> None:
    file = tmp_path / "admin-token"
    accounts = Accounts(clock, "", file)
    assert not accounts.access.is_admin("one")
    file.write_text("one\n")
    file.chmod(0o600)
    assert accounts.access.is_admin("one")
    cookie = await accounts.open_session()
    file.write_text("two\n")
    os.utime(file, (1, 1))
    assert accounts.access.is_admin("two")
    assert not accounts.access.is_admin("one")
    assert await accounts.refused(cookie) == 401


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_token_file_that_others_can_read_is_not_used(clock: Clock, tmp_path: Path, mode: int) -> None:
    file = tmp_path / "admin-token"
    file.write_text("secret")
    file.chmod(mode)
    assert not Accounts(clock, "", file).access.is_admin("secret")


async def test_a_token_is_who_the_database_says(accounts: Accounts) -> None:
    made = await accounts.add_token(name="night watch", role="operator", hosts=["web-1"])
    found = await accounts.access.of_bearer(made.text, SOMEWHERE)
    actor = f"night watch ({made.token})"
    assert found == Session(actor=actor, expires_at=None, role="operator", hosts=["web-1"], token=made.token)
    assert accounts.reports.tokens == [made.token]


async def test_a_wrong_secret_of_a_right_id_is_refused(accounts: Accounts) -> None:
    made, other = await accounts.add_token(), new_secret()
    for wrong in (other.text, made.text[:-1], made.text + "x", made.text.replace(made.token, other.token), made.token):
        assert await accounts.status_of_bearer(wrong) == 401
    assert await accounts.status_of_bearer(f"netally_{made.token}_{other.text[-43:]}") == 401
    assert accounts.reports.tokens == []


async def test_a_revoked_and_an_expired_token_are_refused_with_their_sessions(accounts: Accounts, clock: Clock) -> None:
    revoked, expiring = await accounts.add_token(), await accounts.add_token(expires_at=START + 60_000)
    cookies = [await accounts.open_session(made.token) for made in (revoked, expiring)]
    assert [await accounts.refused(cookie) for cookie in cookies] == [0, 0]
    assert [await accounts.status_of_bearer(made.text) for made in (revoked, expiring)] == [0, 0]
    clock.now += 60_000
    accounts.revoke(revoked.token)
    assert [await accounts.refused(cookie) for cookie in cookies] == [401, 401]
    assert [await accounts.status_of_bearer(made.text) for made in (revoked, expiring)] == [401, 401]


async def test_credentials_are_looked_at_again_while_an_answer_is_sent(accounts: Accounts) -> None:
    made = await accounts.add_token()
    session = await accounts.access.of_bearer(made.text, SOMEWHERE)
    cookie = await accounts.open_session(made.token)
    assert await accounts.access.still(session, "")
    assert await accounts.access.still(session, cookie)
    accounts.access.end_session(cookie)
    assert not await accounts.access.still(session, cookie)
    accounts.revoke(made.token)
    assert not await accounts.access.still(session, "")


async def test_many_requests_with_a_new_token_are_one_attempt_and_one_hash(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await accounts.add_token()
    checks: list[str] = []
    is_right = TokenHashing.is_right

    async def counted(self: TokenHashing, text: str, hashed: str) -> bool:
        checks.append(text)
        return await is_right(self, text, hashed)

    monkeypatch.setattr(TokenHashing, "is_right", counted)
    statuses = await asyncio.gather(*(accounts.status_of_bearer(made.text) for _ in range(4 * ATTEMPTS)))
    assert (set(statuses), len(checks)) == ({0}, 1)
    assert accounts.access.attempts.wait_seconds(SOMEWHERE) == 0


async def test_wrong_tokens_hold_up_their_address_but_for_tokens_that_were_right_before(accounts: Accounts) -> None:
    known, new = await accounts.add_token(), await accounts.add_token()
    assert await accounts.status_of_bearer(known.text) == 0
    statuses = [await accounts.status_of_bearer(new_secret().text) for _ in range(ATTEMPTS + 2)]
    assert statuses == [401] * ATTEMPTS + [429] * 2
    assert await accounts.status_of_bearer(known.text) == 0
    # What people choose can be guessed: it is held up as well.
    assert [await accounts.status_of_bearer(text) for text in (new.text, "the-token")] == [429, 429]
    assert await accounts.status_of_bearer(new.text, "192.0.2.2") == 0


async def test_many_attempts_at_once_are_no_way_around_the_limit(accounts: Accounts) -> None:
    made = await accounts.add_token()
    guesses = [f"netally_{made.token}_{new_secret().text[-43:]}" for _ in range(3 * ATTEMPTS)]
    statuses = await asyncio.gather(*(accounts.status_of_bearer(guess) for guess in guesses))
    assert sorted(statuses) == [401] * ATTEMPTS + [429] * 2 * ATTEMPTS


async def test_a_token_that_cannot_be_checked_is_503_and_no_attempt(clock: Clock) -> None:
    accounts = Accounts(clock)
    made = await accounts.add_token()
    cookie = await accounts.open_session(made.token)
    fresh = Accounts(clock)
    del fresh.database.statements["usable_tokens"]
    fresh.database.away = "the database is away"
    assert [await fresh.status_of_bearer(made.text) for _ in range(ATTEMPTS + 1)] == [503] * (ATTEMPTS + 1)
    assert await fresh.status_of_bearer("the-token") == 0
    assert await fresh.refused(cookie) == 503


async def test_a_code_works_once(accounts: Accounts) -> None:
    code = accounts.access.new_code().code
    assert await accounts.access.open_session(code) is not None
    assert await accounts.access.open_session(code) is None


async def test_a_code_works_for_ten_minutes(accounts: Accounts, clock: Clock) -> None:
    made = accounts.access.new_code()
    assert made.expires_at == START + 600_000
    clock.now += 599_999
    assert await accounts.access.open_session(made.code) is not None
    made = accounts.access.new_code()
    clock.now += 600_000
    assert await accounts.access.open_session(made.code) is None


async def test_a_code_opens_its_session_on_another_instance_once(accounts: Accounts, clock: Clock) -> None:
    other = Accounts(clock)
    code = accounts.access.new_code().code
    assert await other.access.open_session(code) is not None
    # This instance hears of it, as of every use; a third asks the bus, which has heard of it before.
    for use, _ in other.reports.sessions:
        accounts.state.heard(use)
    assert await accounts.access.open_session(code) is None
    third = Accounts(clock)
    third.reports.opened_first = False
    assert await third.access.open_session(code) is None


async def test_while_the_bus_is_away_a_code_works_where_it_was_made_alone(accounts: Accounts, clock: Clock) -> None:
    other = Accounts(clock)
    accounts.reports.opened_first = other.reports.opened_first = None
    code = accounts.access.new_code().code
    with pytest.raises(ProblemError) as refused:
        await other.access.open_session(code)
    assert refused.value.problem.status == 503
    assert await accounts.access.open_session(code) is not None
    assert await accounts.access.open_session(code) is None
    # It was not held against the other, which takes the next when the bus is back.
    other.reports.opened_first = True
    assert await other.access.open_session(accounts.access.new_code().code) is not None


async def test_of_a_code_used_twice_at_once_one_opens(accounts: Accounts) -> None:
    code = accounts.access.new_code().code
    opened = await asyncio.gather(*(accounts.access.open_session(code) for _ in range(5)))
    assert sum(one is not None for one in opened) == 1


async def test_codes_are_kept_in_bounds(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netally.api.access.MOST_CODES", 3)
    codes = [accounts.access.new_code().code for _ in range(10)]
    accounts.reports.opened_first = None
    with pytest.raises(ProblemError):
        await accounts.access.open_session(codes[0])
    assert await accounts.access.open_session(codes[-1]) is not None


@pytest.mark.parametrize("code", ["", "x", "\udcff", "0" * 10_000, "ü.x", f"{'0' * 32}..fffffffffff.{'A' * 43}"])
async def test_a_made_up_code_opens_nothing(accounts: Accounts, code: str) -> None:
    accounts.access.new_code()
    assert await accounts.access.open_session(code) is None


async def test_a_code_is_of_no_use_when_it_was_changed_or_the_admin_token_is_another(
    accounts: Accounts, clock: Clock
) -> None:
    made = await accounts.add_token()
    number, token, expires_at, signature = accounts.access.new_code(made.token).code.split(".")
    for changed in (
        # The admin's, for longer, of another session.
        (number, "", expires_at, signature),
        (number, token, "f" + expires_at, signature),
        ("0" * 32, token, expires_at, signature),
    ):
        assert await accounts.access.open_session(".".join(changed)) is None
    assert await Accounts(clock, "another-token").access.open_session(accounts.access.new_code().code) is None
    # Neither is a session's cookie a code, nor a code a cookie.
    cookie = await accounts.open_session()
    assert await accounts.access.open_session(cookie) is None
    assert await accounts.refused(accounts.access.new_code().code) == 401


async def test_a_code_of_a_token_that_was_revoked_opens_nothing(accounts: Accounts) -> None:
    made = await accounts.add_token()
    code = accounts.access.new_code(made.token).code
    accounts.revoke(made.token)
    assert await accounts.access.open_session(code) is None


async def test_a_session_is_what_its_token_is_and_no_longer(accounts: Accounts) -> None:
    made = await accounts.add_token(role="operator", hosts=["a"], expires_at=START + 5_000)
    session = await accounts.access.of_cookie(await accounts.open_session(made.token))
    assert (session.role, session.hosts, session.expires_at) == ("operator", ["a"], START + 5_000)


async def test_a_session_lasts_twelve_hours_whatever_its_use(accounts: Accounts, clock: Clock) -> None:
    cookie = await accounts.open_session()
    session = await accounts.access.of_cookie(cookie)
    assert (session.actor, session.expires_at, session.role) == ("admin", START + SESSION_SECONDS * 1000, "admin")
    for _ in range(SESSION_SECONDS // 3600 - 1):
        clock.now += 3_600_000
        assert await accounts.refused(cookie) == 0
    clock.now += 3_600_000
    assert await accounts.refused(cookie) == 401


async def test_a_session_that_nobody_uses_is_over_after_two_hours(accounts: Accounts, clock: Clock) -> None:
    cookie, other = await accounts.open_session(), await accounts.open_session()
    clock.now += IDLE_SECONDS * 1000
    assert await accounts.refused(cookie) == 0
    clock.now += 1
    assert [await accounts.refused(cookie), await accounts.refused(other)] == [0, 401]


async def test_another_instance_knows_of_use_and_end_by_what_is_told(accounts: Accounts, clock: Clock) -> None:
    used, ended = await accounts.open_session(), await accounts.open_session()
    other = Accounts(clock)
    clock.now += IDLE_SECONDS * 1000
    await accounts.access.of_cookie(used)
    accounts.access.end_session(ended)
    for use, _ in accounts.reports.sessions:
        other.state.heard(use)
    clock.now += 1
    assert [await other.refused(used), await other.refused(ended)] == [0, 401]
    # It had to be told at once that a session was opened or ended.
    assert [at_once for _, at_once in accounts.reports.sessions] == [True, True, False, True]


async def test_an_instance_that_begins_reads_which_sessions_ended(accounts: Accounts, clock: Clock) -> None:
    cookie = await accounts.open_session()
    number = accounts.reports.sessions[0][0].number
    later = Accounts(clock)
    later.database.statements["sessions_used"] = [{"number": number, "last_used": START, "ended": True}]
    assert await later.refused(cookie) == 401


async def test_an_ended_session_stays_ended_for_every_copy(accounts: Accounts) -> None:
    mine, other = await accounts.open_session(), await accounts.open_session()
    accounts.access.end_session(mine)
    accounts.access.end_session("no cookie at all")
    assert [await accounts.refused(mine), await accounts.refused(other)] == [401, 0]


async def test_a_forged_cookie_is_no_session(accounts: Accounts, clock: Clock) -> None:
    cookie = await accounts.open_session()
    foreign = await Accounts(clock, "another-token").open_session()
    for wrong in (foreign, cookie[:-1], cookie + "x", "", ".", "a.b", cookie.split(".")[0]):
        assert await accounts.refused(wrong) == 401


async def test_no_secret_shows_in_what_could_be_logged(accounts: Accounts) -> None:
    made = await accounts.add_token()
    opened = await accounts.access.open_session(accounts.access.new_code().code)
    assert opened is not None
    known = await accounts.state.token(made.token)
    for shown in (repr(made), repr(opened), repr(known)):
        for secret in (made.text, made.text[-43:], opened.cookie, "argon2"):
            assert secret not in shown

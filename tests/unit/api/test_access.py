from __future__ import annotations

import os
from pathlib import Path

import pytest

from netally.api.access import ATTEMPTS, MOST_CODES, Access, AttemptLimit
from tests.builders import START


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def access(clock: Clock) -> Access:
    return Access("the-token", Path("/nonexistent/admin-token"), clock)


def open_session(access: Access) -> str:
    opened = access.open_session(access.new_code().code)
    assert opened is not None
    return opened[1]


def test_only_the_whole_token_is_the_token(access: Access) -> None:
    assert access.is_admin("the-token")
    for wrong in ("", "the-toke", "the-token ", "The-token", "the-token\x00", "ü", "\udcff"):
        assert not access.is_admin(wrong)


def test_without_a_token_nobody_is_admin(clock: Clock, tmp_path: Path) -> None:
    access = Access("", tmp_path / "admin-token", clock)
    assert not access.is_admin("")
    assert access.open_session(access.new_code().code) is None
    assert access.session_of("anything") is None


def test_the_token_file_is_read_when_it_appears_and_changes(clock: Clock, tmp_path: Path) -> None:
    file = tmp_path / "admin-token"
    access = Access("", file, clock)
    assert not access.is_admin("one")
    file.write_text("one\n")
    file.chmod(0o600)
    assert access.is_admin("one")
    cookie = open_session(access)
    file.write_text("two\n")
    os.utime(file, (1, 1))
    assert access.is_admin("two")
    assert not access.is_admin("one")
    assert access.session_of(cookie) is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_token_file_that_others_can_read_is_not_used(clock: Clock, tmp_path: Path, mode: int) -> None:
    file = tmp_path / "admin-token"
    file.write_text("secret")
    file.chmod(mode)
    assert not Access("", file, clock).is_admin("secret")


def test_a_code_works_once(access: Access) -> None:
    code = access.new_code().code
    assert access.open_session(code) is not None
    assert access.open_session(code) is None


def test_a_code_works_for_ten_minutes(access: Access, clock: Clock) -> None:
    made = access.new_code()
    assert made.expires_at == START + 600_000
    clock.now += 599_999
    assert access.open_session(made.code) is not None
    made = access.new_code()
    clock.now += 600_000
    assert access.open_session(made.code) is None


def test_codes_are_bounded_and_the_oldest_go_first(access: Access) -> None:
    codes = [access.new_code().code for _ in range(MOST_CODES + 1)]
    assert access.open_session(codes[0]) is None
    assert access.open_session(codes[-1]) is not None


@pytest.mark.parametrize("code", ["", "x", "\udcff", "0" * 10_000])
def test_a_made_up_code_opens_nothing(access: Access, code: str) -> None:
    access.new_code()
    assert access.open_session(code) is None


def test_a_session_lasts_twelve_hours_whatever_its_use(access: Access, clock: Clock) -> None:
    cookie = open_session(access)
    session = access.session_of(cookie)
    assert session is not None
    assert (session.actor, session.expires_at) == ("admin", START + 12 * 3_600_000)
    clock.now += 12 * 3_600_000 - 1
    assert access.session_of(cookie) is not None
    clock.now += 1
    assert access.session_of(cookie) is None


def test_an_ended_session_stays_ended_for_every_copy(access: Access) -> None:
    mine, other = open_session(access), open_session(access)
    access.end_session(mine)
    access.end_session("no cookie at all")
    assert access.session_of(mine) is None
    assert access.session_of(other) is not None


def test_a_forged_cookie_is_no_session(access: Access, clock: Clock) -> None:
    cookie = open_session(access)
    foreign = open_session(Access("another-token", Path("/nonexistent"), clock))
    for wrong in (foreign, cookie[:-1], cookie + "x", "", ".", "a.b", cookie.split(".")[0]):
        assert access.session_of(wrong) is None


def test_attempts_are_limited_by_address_for_a_minute(clock: Clock) -> None:
    limit = AttemptLimit(clock)
    for _ in range(ATTEMPTS):
        assert limit.wait_seconds("192.0.2.1") == 0
        limit.failed("192.0.2.1")
        clock.now += 1000
    assert 0 < limit.wait_seconds("192.0.2.1") <= 60
    assert limit.wait_seconds("192.0.2.2") == 0
    clock.now += limit.wait_seconds("192.0.2.1") * 1000
    assert limit.wait_seconds("192.0.2.1") == 0

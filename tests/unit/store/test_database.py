"""Binary forms of the two types, what may be shown of a URL, and which errors the data is to blame for."""

from __future__ import annotations

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netally.store import database

URL = "postgresql://ada:s3cret@db.example.org:5432/netally"


@given(st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16))
def test_an_address_survives(address: bytes) -> None:
    assert database.unpack_inet(database.pack_inet(address)) == address


@given(st.integers(0, 2**53))
def test_a_time_survives(milliseconds: int) -> None:
    assert database.unpack_time(database.pack_time(milliseconds)) == milliseconds


def test_secrets_are_not_shown() -> None:
    assert database.location(URL) == "db.example.org:5432/netally"
    assert "s3cret" not in repr(database.DatabaseSettings(URL))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (asyncpg.InvalidPasswordError("no"), "refuses user ada"),
        (asyncpg.InvalidCatalogNameError("no"), "no database 'netally'"),
        (asyncpg.CannotConnectNowError("no"), "starting up"),
        (asyncpg.TooManyConnectionsError("no"), "max_connections"),
        (asyncpg.DiskFullError("no"), "is full"),
        (asyncpg.LockNotAvailableError("canceling statement due to lock timeout"), "a long query"),
        (asyncpg.UndefinedTableError("relation is missing"), "relation is missing"),
        (TimeoutError(), "does not answer"),
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (asyncpg.InterfaceError("connection is closed"), "connection is closed"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_errors_are_told_in_plain_words_without_secrets(error: BaseException, words: str) -> None:
    said = database.plain_words(error, URL)
    assert words in said
    assert "db.example.org" in said
    assert "s3cret" not in said


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.NumericValueOutOfRangeError("out of range"),
        asyncpg.CharacterNotInRepertoireError("NUL"),
        asyncpg.CheckViolationError("no partition"),
        asyncpg.UniqueViolationError("twice"),
        asyncpg.exceptions._base.DataError("value out of int32 range"),
    ],
    ids=lambda error: type(error).__module__ + "." + type(error).__name__,
)
def test_the_data_is_to_blame(error: Exception) -> None:
    assert database.can_never_succeed(error)


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.DeadlockDetectedError("deadlock"),
        asyncpg.AdminShutdownError("bye"),
        asyncpg.DiskFullError("full"),
        asyncpg.UndefinedTableError("no such table"),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.ConnectionDoesNotExistError("gone"),
        ConnectionResetError(),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_database_is_to_blame(error: Exception) -> None:
    assert not database.can_never_succeed(error)

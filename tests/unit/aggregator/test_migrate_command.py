from __future__ import annotations

import asyncio

import asyncpg
import pytest

from netally.aggregator.migrate_command import main
from tests.services import free_port


def test_it_brings_a_database_up_to_date_and_a_second_time_changes_nothing(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETALLY_DATABASE_URL", empty_database_url)
    assert main() == 0

    async def version() -> object:
        connection = await asyncpg.connect(empty_database_url)
        try:
            return await connection.fetchval("SELECT max(version) FROM schema_migrations")
        finally:
            await connection.close()

    before = asyncio.run(version())
    assert before
    assert main() == 0
    assert asyncio.run(version()) == before


def test_a_database_that_does_not_come_is_said_and_ends_it(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    monkeypatch.setenv("NETALLY_DATABASE_URL", f"postgresql://netally:secret@127.0.0.1:{port}/netally")
    assert main(patience=0) == 1
    said = capfd.readouterr().err
    assert f"127.0.0.1:{port}" in said
    assert "secret" not in said


def test_without_an_address_it_says_which_variable_is_missing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NETALLY_DATABASE_URL", raising=False)
    assert main() == 2
    assert "NETALLY_DATABASE_URL is not set" in capfd.readouterr().err

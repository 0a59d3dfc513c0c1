from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from netally.api.database import Database, reading_url, zone_of
from netally.api.problems import ProblemError


async def test_without_a_pool_a_reader_is_told_why() -> None:
    database = Database("")
    await database.run()
    assert await database.check() == "NETALLY_DATABASE_URL is not set"
    with pytest.raises(ProblemError) as caught:
        async with database.read("advice"):
            pass
    assert caught.value.problem.status == 503
    assert "NETALLY_DATABASE_URL is not set" in caught.value.problem.detail
    await database.close()


def test_sessions_are_read_only_and_bounded() -> None:
    url = reading_url("postgresql://u:p%40ss@db:5432/netally?sslmode=require", 2.5)
    assert url.startswith("postgresql://u:p%40ss@db:5432/netally?sslmode=require&")
    assert "default_transaction_read_only=on" in url
    assert "statement_timeout=2500ms" in url
    assert "jit=off" in url


def test_an_unknown_zone_is_utc() -> None:
    assert zone_of("Europe/Vienna") == ZoneInfo("Europe/Vienna")
    assert zone_of("Mars/Olympus") == zone_of("../etc/passwd") == ZoneInfo("UTC")

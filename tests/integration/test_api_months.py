"""Real months from the daily tier: over a year's end, with days of 23 and 25 hours, and with raw flows long gone."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from netally.store import retention, sql
from netally.store.database import open_pool
from netally.store.retention import Ages
from netally.store.rollups import exclusive, refresh_outstanding
from netally.store.tiers import DAY, HOUR, SECOND
from tests.api_in_process import running_api
from tests.history_model import CoverageRow, FlowRow, History
from tests.timescale.fixtures import ZONE, HistoryDatabases
from tests.traffic_truth import local_period

pytestmark = pytest.mark.timeout(240)


def moment(text: str, zone: ZoneInfo = ZONE) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()) * SECOND


NOW = int(datetime(2026, 11, 2, 10, 30, tzinfo=UTC).timestamp()) * SECOND
# Around midnights at which a month ends, and the nights in which clocks change.
MONTHS = ("2025-11", "2025-12", "2026-01", "2026-03", "2026-04", "2026-07")
TIMES = [
    *(moment(f"{month}-01T00:00") + offset for month in MONTHS for offset in (-5 * SECOND, 0, HOUR)),
    *(moment(f"2026-03-29T0{hour}:30") for hour in (0, 1, 3, 4)),
    *(moment("2026-10-25T00:30") + hour * HOUR for hour in range(5)),
    *(moment("2025-10-26T00:30") + hour * HOUR for hour in range(5)),
    moment("2026-10-31T23:59:55"),
    NOW - 15 * SECOND,
]  # fmt: skip


def make_history() -> History:
    chance = random.Random(2)
    history = History(ZONE)
    history.flows = [FlowRow(time, app_id=chance.randint(0, 1), bytes_in=chance.randrange(10**9)) for time in TIMES]
    history.coverage = [CoverageRow(time) for time in TIMES]
    return history


async def fill(pool: asyncpg.Pool, backend: str) -> None:
    await pool.execute("INSERT INTO host (id, name) VALUES (1, 'web-1')")
    await pool.execute("INSERT INTO app (id, name) VALUES (1, 'curl')")
    await pool.execute("INSERT INTO domain (id, name) VALUES (1, 'example.org')")
    history = make_history()
    await History(ZONE).write(pool, backend, history.flows, history.coverage)
    async with exclusive(pool, wait=True) as connection:
        assert connection is not None
        await refresh_outstanding(connection, NOW, ZONE)
        await retention.apply(connection, Ages(raw=2, minutes=4, hours=5), NOW, ZONE)


async def test_months_after_a_year(history_databases: HistoryDatabases) -> None:
    flows = make_history().flows
    async with history_databases.url(fill) as url:
        pool = await open_pool(history_databases.settings(url), "tests")
        dropped = {row["name"]: row["dropped_before"] for row in await sql.fetch(pool, "tiers_held")}
        await pool.close()
        assert dropped["raw"] > NOW - 10 * DAY
        # TimescaleDB drops whole chunks, so that hours reach further back there.
        assert dropped["1h"] > TIMES[0]
        async with running_api(url, clock=lambda: NOW, statement_cache=0) as api:
            whole = await api.get("/api/historical/monthly", from_="2025-10-01", to="2026-11-02")
            other = await api.get("/api/historical/monthly", from_="2025-10-01", to="2026-11-02", tz="America/New_York")
            halves = await api.get("/api/historical/daily", from_="2026-03-28", to="2026-03-31", tz="Asia/Kolkata")
            filtered = await api.get("/api/historical/monthly", range="1y", filter="app = curl and port = 443")
            days = await api.get("/api/historical/daily", from_="2026-10-24", to="2026-10-27")
    assert whole["meta"]["tier"] == "1d"
    assert whole["meta"]["days_exact"] is True
    wanted = [moment(f"{2025 + (9 + n) // 12}-{(9 + n) % 12 + 1:02}-01") for n in range(14)]
    assert whole["starts"] == wanted
    assert whole["meta"]["end"] == moment("2026-12-01")
    assert points(whole) == by_month(flows, ZONE, wanted)
    assert points(filtered) == by_month([flow for flow in flows if flow.app_id == 1], ZONE, filtered["starts"])
    # The hours are gone: days of another zone can only be taken from those that are kept.
    assert (other["meta"]["tier"], other["meta"]["days_exact"]) == ("1d", False)
    assert other["starts"][0] == moment("2025-10-01", ZoneInfo("America/New_York"))
    # So are days that begin at half past an hour.
    assert (halves["meta"]["timezone"], halves["meta"]["days_exact"]) == ("Asia/Kolkata", False)
    assert halves["starts"][0] == moment("2026-03-28", ZoneInfo("Asia/Kolkata"))
    ends = [*days["starts"][1:], days["meta"]["end"]]
    assert [(end - start) // HOUR for start, end in zip(days["starts"], ends, strict=True)] == [24, 25, 24]


def points(answer: dict[str, Any]) -> list[int | None]:
    return [point["bytes_in"] for point in answer["series"][0]["points"]]


def by_month(flows: list[FlowRow], zone: ZoneInfo, starts: list[int]) -> list[int | None]:
    """Bytes of each month by the moment of each flow; null where there is none (nothing was measured then)."""
    found: dict[str, int] = {}
    for flow in make_history().flows:
        found[local_period(flow.time, "month", zone)] = 0
    for flow in flows:
        found[local_period(flow.time, "month", zone)] += flow.bytes_in
    return [found.get(local_period(start, "month", zone)) for start in starts]

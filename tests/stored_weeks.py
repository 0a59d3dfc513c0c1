"""Forty days of three hosts with the habits of people, for pages about history: rows of flows, coverage and counters,
and a server with pages, API and database on them. The clock stands still at ``NOW``.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from netally.api.app import create_app as create_api
from netally.api.settings import Settings
from netally.contracts.codes import Cause, DomainSource, Mode, ProcessSource, Role, Scope
from netally.store import tables
from netally.store.database import DatabaseSettings, open_pool
from netally.store.rollups import exclusive, refresh_outstanding
from netally.web.app import create_app as create_pages
from netally.web.settings import WebSettings
from tests.api_in_process import NOWHERE, TOKEN
from tests.fake_api import serve
from tests.stored_traffic import StoredCoverage, StoredFlow, StoredHost, StoredTraffic, store

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
ZONE = ZoneInfo("Europe/Berlin")
NOW = int(datetime(2026, 11, 20, 12, 30, tzinfo=UTC).timestamp()) * 1000
DAYS = 40
GAP = (NOW - 9 * DAY - 9 * HOUR, NOW - 9 * DAY - HOUR)
"""Nobody measured."""

HOSTS = [
    StoredHost(1, "nas-01", interval=60), StoredHost(2, "lap-03", interval=60), StoredHost(3, "build-02", interval=60)
]  # fmt: skip
APPS = {
    0: ("", "", ""),
    1: ("restic", "/usr/bin/restic", "root"),
    2: ("firefox", "/usr/lib/firefox/firefox", "ada"),
    3: ("chrome", "/opt/google/chrome/chrome", "ada"),
    4: ("git", "/usr/bin/git", "ci"),
    5: ("containerd", "/usr/bin/containerd", "root"),
    6: ("curl", "/usr/bin/curl", "ci"),
    7: ("zoom", "/opt/zoom/zoom", "ada"),
}
DOMAINS = {
    0: "",
    1: "f001.backblazeb2.com",
    2: "api.backblazeb2.com",
    3: "github.com",
    4: "api.github.com",
    5: "codeload.github.com",
    6: "rr1---sn-4g5e6nez.googlevideo.com",
    7: "rr4---sn-4g5lznle.googlevideo.com",
    8: "en.wikipedia.org",
    9: "production.cloudfront.docker.com",
    10: "zoom.us",
    11: "eu01web.zoom.us",
    12: "avatars.githubusercontent.com",
}


class Habit(NamedTuple):
    """Who uses what, at which hours of the working day (or of every day), and how many MB an hour in and out."""

    host: int
    app: int
    domain: int
    first: int
    last: int
    every_day: bool
    mb_in: float
    mb_out: float
    source: DomainSource
    since: int = DAYS
    """Days ago that it began."""
    until: int = 0
    """Days ago that it ended."""


HABITS = [
    Habit(1, 1, 1, 1, 4, True, 30, 2600, DomainSource.TLS_SNI),
    Habit(1, 1, 2, 1, 4, True, 4, 9, DomainSource.TLS_SNI),
    Habit(2, 2, 6, 18, 23, True, 900, 20, DomainSource.QUIC_SNI),
    Habit(2, 3, 7, 12, 14, True, 480, 12, DomainSource.QUIC_SNI),
    Habit(2, 2, 3, 8, 18, False, 60, 8, DomainSource.TLS_SNI),
    Habit(2, 3, 3, 8, 18, False, 22, 4, DomainSource.TLS_SNI),
    Habit(2, 3, 12, 8, 18, False, 6, 0.3, DomainSource.DNS),
    Habit(2, 2, 8, 7, 22, True, 12, 0.5, DomainSource.DNS),
    Habit(2, 7, 10, 9, 12, False, 410, 380, DomainSource.DNS, until=8),
    Habit(2, 7, 11, 9, 12, False, 40, 36, DomainSource.TLS_SNI, until=8),
    Habit(3, 4, 3, 0, 24, True, 90, 14, DomainSource.TLS_SNI),
    Habit(3, 4, 5, 0, 24, True, 140, 1, DomainSource.TLS_SNI),
    Habit(3, 6, 4, 0, 24, True, 12, 3, DomainSource.TLS_SNI),
    Habit(3, 5, 9, 2, 6, True, 800, 6, DomainSource.DNS),
    Habit(3, 5, 9, 9, 17, False, 1500, 9, DomainSource.DNS, since=6),
    Habit(3, 0, 0, 0, 24, True, 9, 7, DomainSource.NONE),
    Habit(2, 2, 0, 7, 23, True, 7, 5, DomainSource.NONE),
]


class Counted(NamedTuple):
    """A row of table tally."""

    time: int
    host_id: int
    interface: str
    cause: int
    bytes_in: int
    bytes_out: int
    packets_in: int
    packets_out: int


def make_weeks(now: int = NOW, seed: int = 5) -> tuple[StoredTraffic, list[Counted]]:
    """A flow a habit and hour, coverage of every minute but the gap, and counters that the flows explain."""
    chance = random.Random(seed)
    first = (now - DAYS * DAY) // HOUR * HOUR
    flows: list[StoredFlow] = []
    for hour in range(first, now, HOUR):
        if GAP[0] <= hour < GAP[1]:
            continue
        local = datetime.fromtimestamp(hour / 1000, ZONE)
        ago = (now - hour) / DAY
        for habit in HABITS:
            busy = habit.first <= local.hour < habit.last and (habit.every_day or local.weekday() < 5)
            if not busy or not habit.until <= ago < habit.since:
                continue
            at = hour + chance.randrange(30) * MINUTE
            size = chance.uniform(0.6, 1.4) * 1e6
            flows.append(_flow(at, habit, int(habit.mb_in * size), int(habit.mb_out * size)))
    coverage = [
        StoredCoverage(at, host.id, 60, MINUTE, int(Mode.PACKETS), False)
        for at in range(first, now, MINUTE)
        if not GAP[0] <= at < GAP[1]
        for host in HOSTS
    ]
    traffic = StoredTraffic(HOSTS, APPS, DOMAINS, flows, coverage, now)
    return traffic, _counters(flows)


def _flow(at: int, habit: Habit, bytes_in: int, bytes_out: int) -> StoredFlow:
    return StoredFlow(
        at, habit.host, habit.app, habit.domain, 0, int(Scope.INTERNET), 6, 443, int(Role.CLIENT),
        bytes([203, 0, 113, habit.domain + 1]), bytes_in, bytes_out, bytes_in // 1400, bytes_out // 1400, None, 3,
        int(habit.source), int(ProcessSource.SOCK_DIAG if habit.app else ProcessSource.NONE), at + MINUTE,
    )  # fmt: skip


def _counters(flows: list[StoredFlow]) -> list[Counted]:
    rows = []
    for flow in flows:
        known = Cause.ATTRIBUTED if flow.app_id and flow.domain_id else Cause.NO_NAME if flow.app_id else Cause.UNKNOWN
        rows.append(
            Counted(
                flow.time, flow.host_id, "eth0", int(known), flow.bytes_in, flow.bytes_out, flow.packets_in,
                flow.packets_out,
            )
        )  # fmt: skip
    sums: dict[tuple[int, int, str, int], list[int]] = {}
    for row in rows:
        values = sums.setdefault(row[:4], [0, 0, 0, 0])
        for number, value in enumerate(row[4:]):
            values[number] += value
    whole = [Counted(*key, *values) for key, values in sums.items()]
    noise = [
        Counted(row.time, row.host_id, "eth0", int(Cause.NOT_IP), 4_000, 900, 60, 12)
        for row in whole
        if row.cause == Cause.ATTRIBUTED
    ]
    lost = [Counted(NOW - 20 * MINUTE, 3, "eth0", int(Cause.LOST_RING), 31_000, 0, 22, 0)]
    loopback = [Counted(NOW - 25 * MINUTE, 1, "lo", int(Cause.ATTRIBUTED), 5_000_000, 5_000_000, 900, 900)]
    return [*whole, *noise, *lost, *loopback]


async def store_weeks(url: str, traffic: StoredTraffic, counted: list[Counted], now: int = NOW) -> None:
    """Into a migrated database, rolled up to all tiers."""
    await store(url, traffic)
    pool = await open_pool(DatabaseSettings(url), "tests")
    try:
        async with pool.acquire() as connection:
            await tables.copy(connection, tables.TALLY, counted)
            await connection.execute("UPDATE app SET first_seen = $1 WHERE id > 0", now - 30 * DAY)
            await connection.execute("UPDATE domain SET first_seen = $1 WHERE id > 0", now - 30 * DAY)
        async with exclusive(pool, wait=True) as alone:
            assert alone is not None
            zone = ZoneInfo(str(await alone.fetchval("SELECT timezone FROM deployment")))
            await refresh_outstanding(alone, now, zone)
    finally:
        await pool.close()


class Weeks(NamedTuple):
    """The pages on the stored weeks."""

    url: str
    traffic: StoredTraffic
    counted: list[Counted]

    def total(self, keep: Callable[[StoredFlow], bool] = lambda _: True, *, since: timedelta) -> tuple[int, int]:
        """Bytes in and out of the flows that are kept, from whole hours."""
        start = (NOW - int(since.total_seconds() * 1000)) // HOUR * HOUR
        found = [flow for flow in self.traffic.flows if flow.time >= start and keep(flow)]
        return sum(flow.bytes_in for flow in found), sum(flow.bytes_out for flow in found)


@contextlib.contextmanager
def weeks_served(database_url: str, *, nats_url: str = NOWHERE) -> Iterator[Weeks]:
    """Fill a migrated database and serve API and pages on it."""
    traffic, counted = make_weeks()
    asyncio.run(store_weeks(database_url, traffic, counted))
    settings = Settings(database_url=database_url, nats_url=nats_url, admin_token=TOKEN)
    with (
        serve(create_api(settings, clock=lambda: NOW)) as api,
        serve(create_pages(WebSettings(api_url=api, timezone="Europe/Berlin"), clock=lambda: NOW)) as url,
    ):
        yield Weeks(url, traffic, counted)

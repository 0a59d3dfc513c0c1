"""Answers of the fake API about one thing, about history and about groups, made of the same figures as its lists."""

from __future__ import annotations

import datetime as dt
import math
import time
from typing import TYPE_CHECKING, Any

from netally.contracts.codes import Cause
from netally.contracts.queries import (
    ApplicationAnswer,
    ApplicationHostsAnswer,
    ApplicationShare,
    BreakdownAnswer,
    BreakdownRow,
    BreakdownSeries,
    BrowserRow,
    BrowsersAnswer,
    CauseSum,
    Change,
    CompareAnswer,
    ConservationAnswer,
    DomainAnswer,
    DomainRow,
    DomainsAnswer,
    GroupValue,
    HeatmapAnswer,
    HeatmapCell,
    HistoryAnswer,
    HostAnswer,
    HostRow,
    HostShare,
    InterfaceConservation,
    InterfaceRow,
    Meta,
    SettingsState,
    SourceShare,
    Subdomain,
    TimelinePoint,
    TimelineSeries,
)

if TYPE_CHECKING:
    from tests.fake_api import FakeApi

DAY = 86_400_000
HALF = 500_000_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def application(fake: FakeApi, number: int, meta: Meta) -> ApplicationAnswer | None:
    if not 1 <= number <= len(fake.apps):
        return None
    name, path, a, b, n = fake.apps[number - 1]
    now = now_ms()
    sources = [SourceShare("sock_diag", int((a + b) * 8e8)), SourceShare("proc", int((a + b) * 2e8))]
    return ApplicationAnswer(
        number, name, path, "ada", "", "", "Firefox" if name == "firefox" else "", now - 90 * DAY, int(a * 1e9),
        int(b * 1e9), n * 7, now - 61_000, sources, now - 7_200_000, meta,
    )  # fmt: skip


def hosts_of(fake: FakeApi, number: int, meta: Meta) -> ApplicationHostsAnswer:
    _, _, a, b, n = fake.apps[number - 1]
    shares = [
        HostShare(at + 1, name, int(a * 1e9 / len(fake.hosts)), int(b * 1e9 / len(fake.hosts)), n, now_ms() - 5000)
        for at, name in enumerate(fake.hosts)
    ]
    total = sum(one.bytes_in for one in shares), sum(one.bytes_out for one in shares)
    return ApplicationHostsAnswer(shares, *total, meta)


def domain(fake: FakeApi, number: int, meta: Meta) -> DomainAnswer | None:
    if not 1 <= number <= len(fake.domains):
        return None
    name, _, a, b = fake.domains[number - 1]
    now = now_ms()
    sources = [SourceShare("tls_sni", int((a + b) * 7e8)), SourceShare("dns", int((a + b) * 3e8))]
    return DomainAnswer(
        number, name, name, now - 200 * DAY, int(a * 1e9), int(b * 1e9), number * 5, now - 47_000, sources,
        now - 7_200_000, meta,
    )  # fmt: skip


def browsers(fake: FakeApi, number: int, meta: Meta) -> BrowsersAnswer:
    _, users, a, b = fake.domains[number - 1]
    known = {"firefox": "Firefox", "chrome": "Chrome"}
    used = [name for name in users if name in known]
    share_in, share_out = int(a * 1e9 / len(users)), int(b * 1e9 / len(users))
    rows = [
        BrowserRow(
            known[name], share_in, share_out, 1 / len(users), 5, 1, 1, now_ms() - 4000,
            [ApplicationShare(at + 2, name, f"/usr/bin/{name}", "ada", share_in, share_out, now_ms() - 4000)],
        )
        for at, name in enumerate(used)
    ]  # fmt: skip
    return BrowsersAnswer(
        rows,
        int(a * 1e9) - share_in * len(used),
        int(b * 1e9) - share_out * len(used),
        int(a * 1e9),
        int(b * 1e9),
        meta,
    )


def grouped(answer: DomainsAnswer) -> DomainsAnswer:
    """The same with two domains below each registrable one."""
    rows = [_branch(row) if row.name else row for row in answer.domains]
    return DomainsAnswer(
        rows, answer.others_count, answer.others_bytes_in, answer.others_bytes_out, answer.total_bytes_in,
        answer.total_bytes_out, answer.meta,
    )  # fmt: skip


def _branch(row: DomainRow) -> DomainRow:
    first = Subdomain(row.id, f"cdn.{row.name}", row.bytes_in - row.bytes_in // 4, row.bytes_out, row.last_used)
    second = Subdomain(row.id, row.name, row.bytes_in // 4, 0, row.last_used)
    return DomainRow(
        row.id, row.name, row.sources, row.applications, row.bytes_in, row.bytes_out, row.connections, row.hosts,
        row.last_used, [first, second], 2,
    )  # fmt: skip


def host(fake: FakeApi, row: HostRow, meta: Meta) -> HostAnswer:
    interfaces = [InterfaceRow("eth0", ["192.0.2.7"], True, 1000), InterfaceRow("docker0", [], False, None)]
    paused = row.name in fake.paused
    settings = SettingsState(3, 2 if row.name in fake.lagging else 3, 5, 5, paused, paused)
    return HostAnswer(row, now_ms() - 90 * DAY, now_ms() - DAY, 0, interfaces, settings, meta)


def conservation(row: HostRow, meta: Meta) -> ConservationAnswer:
    """Nearly all of it attributed."""
    parts = {
        Cause.ATTRIBUTED: (row.bytes_in - 2 * HALF, row.bytes_out - HALF), Cause.NO_NAME: (HALF, HALF // 2),
        Cause.NO_PROCESS: (HALF - 9_000, HALF // 2), Cause.LOST_RING: (9_000, 0),
    }  # fmt: skip
    causes = [CauseSum(cause.label, *parts.get(cause, (0, 0)), 9, 9) for cause in Cause]
    eth0 = InterfaceConservation("eth0", row.bytes_in, row.bytes_out, [one for one in causes if one.bytes_in])
    return ConservationAnswer(row.name, [eth0], row.bytes_in, row.bytes_out, causes, meta)


def heatmap(fake: FakeApi, meta: Meta) -> HeatmapAnswer:
    cells = []
    for day in range(1, 8):
        for hour in range(24):
            size = int(3e9 * (1.1 + math.sin(hour / 24 * math.pi) * (2 if day < 6 else 0.5)))
            known = bool(fake.hosts) and not (day == 3 and hour == 4)
            cells.append(HeatmapCell(day, hour, size if known else None, size // 3 if known else None, float(known)))
    return HeatmapAnswer(cells, meta)


def history(fake: FakeApi, period: str, meta: Meta) -> HistoryAnswer:
    """Days, weeks or months up to now, in UTC."""
    end = dt.datetime.fromtimestamp(meta.end / 1000, dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "month":
        starts = [end.replace(day=1, year=end.year - (end.month - 1 - back < 0), month=(end.month - 1 - back) % 12 + 1)
                  for back in reversed(range(12))]  # fmt: skip
    else:
        step = dt.timedelta(days=7 if period == "week" else 1)
        starts = [end - step * back for back in reversed(range(12 if period == "week" else 30))]
    points = []
    for number, start in enumerate(starts):
        size = None if not fake.hosts or number == 4 else int(8e9 * (1.3 + math.sin(number)))
        points.append(
            TimelinePoint(
                int(start.timestamp() * 1000), size, None if size is None else size // 3, 0.0 if size is None else 1.0
            )
        )
    times = [point.time for point in points]
    return HistoryAnswer(period, times, [TimelineSeries("all", points)], meta)


def compare(fake: FakeApi, by: str, meta: Meta) -> CompareAnswer:
    """One is new, one is gone, the others rose and fell by turns."""
    names = [name for name, *_ in (fake.apps if by == "app" else fake.domains)]
    changes = []
    for number, name in enumerate(names, 1):
        now, before = (30 - number) * 1_000_000_000, (30 - number) * (500_000_000 if number % 2 else 1_400_000_000)
        now, before = (now, 0) if number == 2 else (0, before) if number == 4 else (now, before)
        changes.append(Change(number, name, now, before, now - before))
    changes.sort(key=lambda one: -abs(one.change))
    total, before_total = sum(one.bytes for one in changes), sum(one.before_bytes for one in changes)
    return CompareAnswer(by, changes, len(changes), total, before_total, meta, meta)


def breakdown(fake: FakeApi, query: Any, line: list[TimelinePoint], bucket: int, meta: Meta) -> BreakdownAnswer:
    """Applications by the first host when there are two dimensions."""
    by = query.get("by", "app").split(",")
    limit, offset, top = (int(query.get(name, value)) for name, value in (("limit", 50), ("offset", 0), ("top", 6)))
    rows = []
    for number, (name, path, a, b, n) in enumerate(fake.apps, 1):
        values = [GroupValue(by[0], number, name, path if by[0] == "app" else "", "ada" if by[0] == "app" else "")]
        values += [GroupValue(one, 1, fake.hosts[0] if fake.hosts else "") for one in by[1:]]
        rows.append(BreakdownRow(values, int(a * 1e9), int(b * 1e9), n, n, n, now_ms() - number * 61_000))
    rows.sort(key=lambda row: -row.bytes_in - row.bytes_out)
    page = rows[offset : offset + limit]
    rest = [row for row in rows if row not in page]
    return BreakdownAnswer(
        by, page, len(rest), sum(row.bytes_in for row in rest), sum(row.bytes_out for row in rest),
        sum(row.bytes_in for row in rows), sum(row.bytes_out for row in rows), bucket,
        [BreakdownSeries(row.values, line) for row in page[:top]] + ([BreakdownSeries([], line)] if top else []), meta,
    )  # fmt: skip

"""An API for the tests of the pages: the real paths, parameters and Structs, figures made up but adding up.

Change ``FakeApi``'s fields to make it slow, broken, empty or hostile. Run it with `serve`.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import threading
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import uvicorn
from litestar import Litestar, Request, Response, delete, get, post
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.response import Stream

from netally.contracts import commands as contract
from netally.contracts.access import NewToken, TokenOrder, TokenRow, TokensAnswer
from netally.contracts.browser_sites import (
    BrowserJoin,
    BrowserSitesAnswer,
    DomainSiteAnswer,
    SiteRow,
    SiteShare,
)
from netally.contracts.command_answers import (
    CommandAnswer,
    CommandEventRow,
    CommandOrder,
    CommandRow,
    CommandsAnswer,
    ConfigAnswer,
    HostConfig,
    RetentionBody,
)
from netally.contracts.queries import (
    ApplicationHostsAnswer,
    ApplicationRow,
    ApplicationsAnswer,
    Bandwidth,
    BandwidthAnswer,
    BreakdownAnswer,
    BrowsersAnswer,
    CauseSum,
    CompletionOffer,
    CompletionsAnswer,
    ConservationAnswer,
    DomainRow,
    DomainsAnswer,
    DomainUser,
    FleetConservationAnswer,
    HeatmapAnswer,
    HostBandwidth,
    HostConservation,
    HostRow,
    HostsAnswer,
    LiveEvent,
    Login,
    LoginCode,
    Meta,
    Mover,
    Problem,
    SavedView,
    Session,
    SummaryAnswer,
    SummaryPeriod,
    TimelineAnswer,
    TimelinePoint,
    TimelineSeries,
    ViewsAnswer,
)
from tests import fake_details
from tests.services import free_port, wait_until

TOKEN = "an-admin-token-for-tests"
CODE = "a-login-code"
COOKIE = "netally_session=opened"

RANGES = {"15m": 900, "1h": 3600, "24h": 86400, "7d": 604800, "30d": 2592000, "90d": 7776000, "1y": 31536000}
BUCKETS = {900: 5, 3600: 10, 86400: 300, 604800: 1800, 2592000: 10800, 7776000: 43200, 31536000: 86400}

APPS = [
    ("restic", "/usr/bin/restic", 6.2, 208.4, 2), ("firefox", "/usr/lib/firefox/firefox", 148.7, 9.6, 1204),
    ("chrome", "/opt/google/chrome/chrome", 121.3, 11.9, 866), ("postgres", "/usr/bin/postgres", 41.5, 58.9, 3),
    ("containerd", "/usr/bin/containerd", 96.8, 2.1, 17), ("nginx", "/usr/sbin/nginx", 7.8, 61.2, 41),
    ("git", "/usr/bin/git", 33.4, 4.4, 9), ("zoom", "/opt/zoom/zoom", 18.6, 15.2, 12),
    ("apt", "/usr/bin/apt", 28.9, 0.4, 6), ("rsync", "/usr/bin/rsync", 12.4, 13.8, 4),
    ("curl", "/usr/bin/curl", 5.1, 0.2, 31), ("sshd", "/usr/sbin/sshd", 1.4, 2.2, 5),
]  # fmt: skip
DOMAINS = [
    ("backblazeb2.com", ["restic"], 5.8, 204.9), ("googlevideo.com", ["firefox", "chrome"], 118.4, 3.2),
    ("cloudflarestorage.com", ["containerd"], 88.6, 1.9), ("db-02.lan", ["postgres"], 24.7, 31.6),
    ("github.com", ["git", "firefox", "chrome", "curl"], 37.9, 6.8), ("akamaized.net", ["chrome"], 41.2, 1.1),
    ("zoom.us", ["zoom"], 17.9, 14.6), ("mozilla.net", ["firefox"], 27.3, 0.4),
    ("googleapis.com", ["chrome", "curl"], 19.8, 6.1), ("wikimedia.org", ["firefox"], 14.6, 0.2),
    ("packages.example.org", ["apt"], 14.2, 0.2),
]  # fmt: skip


EXPORTED = b"time,app,bytes_in\r\n2026-11-21T00:00:00Z,restic,12\r\n"

DAY = 86_400_000
LATEST = 1_795_305_600_000
DROPS = {
    "raw": {"rows": 555_120_344, "bytes": 22_200_000_000, "before": LATEST - 33 * DAY, "oldest": LATEST - 50 * DAY},
    "1m": {"rows": 0, "bytes": 0, "before": None, "oldest": None},
    "1h": {"rows": 0, "bytes": 0, "before": None, "oldest": None},
    "1d": {"rows": 0, "bytes": 0, "before": None, "oldest": None},
}
COSTS = [
    {"tier": "raw", "bytes_per_day": 1_304_000_000, "days": 30, "bytes": 39_120_000_000},
    {"tier": "1m", "bytes_per_day": 124_000_000, "days": 180, "bytes": 22_320_000_000},
    {"tier": "1h", "bytes_per_day": 7_900_000, "days": 1825, "bytes": 14_417_500_000},
    {"tier": "1d", "bytes_per_day": 700_000, "days": None, "bytes": 2_555_000_000},
]
RETENTION_CHANGE = {"changes": {"raw": {"before": 47, "after": 30}}, "costs": COSTS, "drops": DROPS, "version": 4}


def _host_change(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    return {"hosts": {"nas-01": {"before": before, "after": after, "version": 3, "acknowledged": True}}, "silent": []}


RESULTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "aggregate": (
        "succeeded", "64 buckets and 41207 rows written",
        {
            "tiers": {
                "1m": {"buckets": 60, "rows": 40960, "seconds": 1.92},
                "1h": {"buckets": 3, "rows": 212, "seconds": 0.31},
                "1d": {"buckets": 1, "rows": 35, "seconds": 0.08},
            },
            "buckets": 64, "rows": 41207,
        },
    ),
    "cleanup dry": (
        "succeeded", "555120344 rows (22.2 GB) would go",
        {"tiers": DROPS, "rows": 555_120_344, "bytes": 22_200_000_000},
    ),
    "cleanup": (
        "succeeded", "555120344 rows (22.2 GB) deleted",
        {"tiers": DROPS, "rows": 555_120_344, "bytes": 22_200_000_000},
    ),
    "purge dry": (
        "succeeded", "48210 rows of domain ads.example would go", {"relations": {"flow": 40_000, "flow_1h": 8_210},
        "rows": 48_210},
    ),
    "purge": (
        "succeeded", "48210 rows of domain ads.example deleted", {"relations": {"flow": 40_000, "flow_1h": 8_210},
        "rows": 48_210},
    ),
    "set-retention dry": ("succeeded", "would change raw 47 to 30", RETENTION_CHANGE),
    "set-retention": ("succeeded", "raw 47 to 30", RETENTION_CHANGE),
    "set-config dry": (
        "succeeded", "would change ledger_days 400 to 90", {"changes": {"ledger_days": {"before": 400, "after": 90}}},
    ),
    "set-config": ("succeeded", "ledger_days 400 to 90", {"changes": {"ledger_days": {"before": 400, "after": 90}}}),
    "save-view": ("succeeded", "view saved", {}),
    "delete-view": ("succeeded", "view deleted", {}),
    "set-log-level": (
        "succeeded", "1 instance of api log debug",
        {"changes": {"log_level": {"before": None, "after": "debug"}}, "instances": {"api-1": {}}},
    ),
    "refresh-cache": (
        "succeeded", "41207 entries dropped by 2 instances; no answer from lap-03",
        {
            "instances": [
                {"instance": "api-1", "service": "api", "dropped": {"domains": 207}},
                {"instance": "nas-01", "service": "capture", "dropped": {"names": 40_000, "processes": 1_000}},
            ],
            "silent": ["lap-03"], "dropped": 41_207,
        },
    ),
    "pause": ("succeeded", "1 host now paused", _host_change({"paused": False}, {"paused": True})),
    "resume": ("succeeded", "1 host now capturing", _host_change({"paused": True}, {"paused": False})),
    "set-interval": ("succeeded", "1 host now every 1 s", _host_change({"interval": 5}, {"interval": 1})),
    "set-naming-rules": (
        "succeeded", "1 host now name by the new rules",
        _host_change({"naming_rules": ""}, {"naming_rules": "name=a -> b"}),
    ),
    "export": (
        "succeeded", "29100000 rows, 51 bytes in netally-1h.csv",
        {
            "file": "netally-1h.csv", "rows": 29_100_000, "bytes": len(EXPORTED), "sha256": "9c41f0" * 10 + "7be2",
            "expires_at": 4_000_000_000_000, "manifest": {"tier": "1h"},
        },
    ),
}  # fmt: skip


class FakeApi(msgspec.Struct):
    """What the fake answers; change a field between requests."""

    hosts: list[str] = msgspec.field(default_factory=lambda: ["gw-berlin", "nas-01", "build-02", "lap-03"])
    silent: list[str] = msgspec.field(default_factory=list)
    paused: list[str] = msgspec.field(default_factory=list)
    apps: list[tuple[str, str, float, float, int]] = msgspec.field(default_factory=lambda: list(APPS))
    domains: list[tuple[str, list[str], float, float]] = msgspec.field(default_factory=lambda: list(DOMAINS))
    more_apps: int = 141
    measured_share: float = 1.0
    measured_seconds: int | None = None
    """How long ago the first agent began; null for ever."""
    gap: tuple[float, float] | None = (0.54, 0.575)
    late_seconds: int = 8
    had_before: bool = True
    """Whether the period before was measured."""
    causes: dict[str, float] = msgspec.field(
        default_factory=lambda: {
            "attributed": 93.65, "no_name": 1.41, "no_process": 2.12, "unknown": 0.9, "not_ip": 0.01, "forwarded": 0.62,
            "kernel": 1.23, "header_difference": 0.01, "lost_ring": 0.04, "lost_map": 0.0, "lost_spool": 0.01,
            "paused": 0.0,
        }
    )  # fmt: skip
    """Percent of the counters."""
    delay: float = 0.0
    broken: dict[str, int] = msgspec.field(default_factory=dict)
    """Path → status it answers."""
    seen: list[Request[Any, Any, Any]] = msgspec.field(default_factory=list)
    live_streams: int = 0
    level: float = 1.0
    """Multiplies the live rates."""
    ledger: list[CommandRow] = msgspec.field(default_factory=list)
    """Oldest first."""
    happened: dict[str, list[CommandEventRow]] = msgspec.field(default_factory=dict)
    """Events by command."""
    aggregator: bool = True
    """Whether commands are taken."""
    session: Session = Session("admin", None)
    """Who asks."""
    tokens: list[TokenRow] = msgspec.field(default_factory=list)
    refuses_orders: int = 0
    """Status that orders are answered with, instead of being taken."""
    holds: bool = False
    """Whether commands run until `advance` ends them."""
    results: dict[str, tuple[str, str, dict[str, Any]]] = msgspec.field(default_factory=lambda: dict(RESULTS))
    """State, message and result by name; `` dry`` after it for a preview."""
    retention: RetentionBody | None = msgspec.field(default_factory=lambda: RetentionBody(30, 180, 1825, None))
    lagging: list[str] = msgspec.field(default_factory=list)
    """Hosts that do not follow their settings yet."""
    views: list[SavedView] = msgspec.field(default_factory=list)

    def add(self, row: CommandRow) -> CommandRow:
        """Enter a command with the event it is in."""
        self.ledger.append(row)
        self.happened[row.id] = []
        self.tell(row.id, row.state, row.message, row.result)
        return row

    def tell(self, command_id: str, state: str, message: str, detail: dict[str, Any] | None = None) -> None:
        """An event of a command, which stands so from now on."""
        now = now_ms()
        index = next(index for index, row in enumerate(self.ledger) if row.id == command_id)
        row = self.ledger[index]
        final = state in contract.FINAL_STATES
        self.ledger[index] = msgspec.structs.replace(
            row,
            state=state,
            message=message,
            result=detail or {} if final else row.result,
            field=(detail or {}).get("field"),
            started_at=row.started_at or (now if state == "progress" else None),
            ended_at=row.ended_at or (now if final else None),
        )
        events = self.happened[command_id]
        events.append(CommandEventRow(len(events) + 1, now, "aggregator", state, message, detail or {}))

    def finish(self, command_id: str) -> None:
        """Let a command end as `results` say."""
        row = next(row for row in self.ledger if row.id == command_id)
        if row.name == "save-view":
            self.views.append(SavedView(row.id, row.arguments["name"], row.arguments["address"], "admin", now_ms()))
        if row.name == "delete-view":
            self.views = [view for view in self.views if view.id != row.arguments["view"]]
        state, message, result = self.results[f"{row.name} dry" if row.dry_run else row.name]
        self.tell(command_id, state, message, result)

    def order(self, order: CommandOrder) -> CommandRow:
        """As the aggregator takes it: checked as the contracts say, and run at once unless `holds`."""
        known = [row for row in self.ledger if order.idempotency_key and row.idempotency_key == order.idempotency_key]
        if known:
            return known[0]
        row = CommandRow(
            uuid.uuid4().hex, order.name, "aggregator", order.arguments, "admin", True, order.dry_run,
            order.idempotency_key, "accepted", "accepted", {}, None, now_ms(), None, None, order.deadline,
        )  # fmt: skip
        try:
            contract.check(
                contract.Command(row.id, row.name, row.arguments, dry_run=row.dry_run, issued_at=row.issued_at)
            )
        except contract.RefusedError as refused:
            refusal = msgspec.structs.replace(
                row, state="failed", message=str(refused), field=refused.field, ended_at=now_ms()
            )
            return self.add(refusal)
        if not self.aggregator:
            waits = "no aggregator has taken it yet; it runs when one is there"
            return self.add(msgspec.structs.replace(row, state="waiting", message=waits))
        self.add(row)
        self.tell(row.id, "progress", "running")
        if not self.holds:
            self.finish(row.id)
        return next(found for found in self.ledger if found.id == row.id)

    def meta(self, length: int, now: int, tier: str = "1m") -> Meta:
        reported = [name for name in self.hosts if name not in self.silent]
        return Meta(
            tier, now - length * 1000, now, len(self.hosts), len(reported), list(self.silent),
            now - self.late_seconds * 1000 if reported else None, self.measured_share if self.hosts else None, 38,
        )  # fmt: skip

    def rates(self, second: int) -> tuple[float | None, float | None]:
        if len(self.silent) == len(self.hosts):
            return None, None
        return (
            self.level * 1e6 * (11.2 + 2 * math.sin(second / 5) + math.sin(second * 1.7)),
            self.level * 1e6 * (4.2 + math.sin(second / 3) + 0.5 * math.sin(second * 2.3)),
        )

    def movers(self, second: int) -> list[Mover]:
        if not self.hosts:
            return []
        found = []
        for index, (name, users, bytes_in, bytes_out) in enumerate(self.domains):
            swing = 1 + 0.4 * math.sin(second / 4 + index)
            found.append(
                Mover(
                    self.hosts[index % len(self.hosts)], users[0], name if index != 7 else "", f"203.0.113.{index}",
                    int(bytes_in * swing * 5e5), int(bytes_out * swing * 5e5), bytes_in * swing * 8e3,
                    bytes_out * swing * 8e3, second * 1000,
                )
            )  # fmt: skip
        return sorted(found, key=lambda mover: -mover.rate_in - mover.rate_out)

    def bandwidths(self, second: int) -> list[HostBandwidth]:
        rate_in, rate_out = self.rates(second)
        count = max(len(self.hosts) - len(self.silent), 1)
        return [
            HostBandwidth(name, None, None, None)
            if name in self.silent or name in self.paused
            else HostBandwidth(name, (rate_in or 0) / count * (0.5 + index % 3 * 0.5), (rate_out or 0) / count, second)
            for index, name in enumerate(self.hosts)
        ]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def length_of(request: Request[Any, Any, Any]) -> int:
    query = request.query_params
    if "from" in query:
        from datetime import datetime

        return round((datetime.fromisoformat(query["to"]) - datetime.fromisoformat(query["from"])).total_seconds())
    return RANGES[query.get("range", "1h")]


def asked_name(request: Request[Any, Any, Any], field: str) -> str | None:
    """Name that a filter asks for, when that is all it asks."""
    found = re.fullmatch(rf'{field} = ("?)(.+)\1', request.query_params.get("filter", ""))
    return found[2] if found else None


def create_fake(fake: FakeApi) -> Litestar:
    """The fake as an application."""

    def opened(request: Request[Any, Any, Any]) -> bool:
        fake.seen.append(request)
        return COOKIE in request.headers.get("cookie", "") or request.headers.get("authorization") == f"Bearer {TOKEN}"

    def refuse(status: int, detail: str, parameter: str | None = None) -> Response[Any]:
        return Response(
            Problem("No", status, detail, parameter), status_code=status, media_type="application/problem+json"
        )

    async def guard(request: Request[Any, Any, Any]) -> Response[Any] | None:
        if fake.delay and request.url.path != "/api/health":
            await asyncio.sleep(fake.delay)
        anonymous = request.url.path == "/api/health" or (
            request.method == "POST" and request.url.path == "/api/session"
        )
        if not opened(request) and not anonymous:
            return refuse(401, "Log in.")
        if status := fake.broken.get(request.url.path):
            return refuse(status, "The database did not answer within 5 s.")
        if (at := request.query_params.get("filter", "").find("= =")) >= 0:
            wrong = Problem(
                "Bad Request", 400, f"a value is missing before '=' at column {at + 3}.", "filter", at + 2, at + 3
            )
            return Response(wrong, status_code=400, media_type="application/problem+json")
        return None

    @get("/api/health")
    async def health() -> dict[str, Any]:
        return {"ready": True, "parts": [], "version": "1"}

    @get("/api/stats/bandwidth")
    async def bandwidth() -> BandwidthAnswer:
        second = int(time.time())
        history = [fake.rates(at) for at in range(second - 60, second)]
        total = Bandwidth(*fake.rates(second))
        return BandwidthAnswer(
            5, total, fake.bandwidths(second), fake.movers(second), [each[0] for each in history],
            [each[1] for each in history], fake.meta(60, now_ms(), "live"),
        )  # fmt: skip

    @get("/api/stats/timeline")
    async def timeline(request: Request[Any, Any, Any], split: FromQuery[str] = "none") -> TimelineAnswer:
        now, length = now_ms(), length_of(request)
        bucket = next(step for longest, step in BUCKETS.items() if length <= longest)
        first = now // 1000 // bucket * bucket - length // bucket * bucket + bucket
        starts = list(range(first, now // 1000 + 1, bucket))
        bands = [*enumerate(fake.apps[:6], 1), (None, ("others", "", 60.0, 40.0, 0)), (0, ("", "", 33.9, 20.2, 0))]
        if split == "none":
            bands = [(None, ("all", "", 588.0, 424.0, 0))]

        def known(index: int, second: int) -> bool:
            share = index / max(len(starts), 1)
            began = fake.measured_seconds is None or second >= now / 1000 - fake.measured_seconds
            return bool(fake.hosts) and began and not (fake.gap and fake.gap[0] <= share < fake.gap[1])

        def point(index: int, second: int, size_in: float, size_out: float, seed: int) -> TimelinePoint:
            if not known(index, second):
                return TimelinePoint(second * 1000, None, None, 0.0)
            share = index / max(len(starts), 1)
            wave = max(0.05, 1 + 0.7 * math.sin(share * 9 + seed) + 0.25 * math.sin(share * 61 * (seed + 1)))
            if second + bucket > now / 1000:
                share_now = max(now / 1000 - second, 0.5) / bucket
                return TimelinePoint(
                    second * 1000,
                    int(size_in * wave * 2e4 * bucket * share_now),
                    int(size_out * wave * 2e4 * bucket * share_now),
                    share_now,
                )
            measured = 0.9 if 0.78 <= index / len(starts) < 0.85 else 1.0
            return TimelinePoint(
                second * 1000, int(size_in * wave * 2e4 * bucket), int(size_out * wave * 2e4 * bucket), measured
            )

        series = [
            TimelineSeries(name, [point(i, s, a, b, seed) for i, s in enumerate(starts)], ident)
            for seed, (ident, (name, _, a, b, _n)) in enumerate(bands)
        ] if fake.hosts else []  # fmt: skip
        if not fake.hosts and split == "none":
            series = [TimelineSeries("all", [TimelinePoint(s * 1000, None, None, 0.0) for s in starts])]
        return TimelineAnswer(bucket, series, fake.meta(length, now))

    @get("/api/applications")
    async def applications(
        request: Request[Any, Any, Any],
        limit: FromQuery[int] = 50,
        sort: FromQuery[str] = "bytes",
        offset: FromQuery[int] = 0,
    ) -> ApplicationsAnswer:
        now = now_ms()
        rows = [
            ApplicationRow(
                number,
                name,
                path,
                "ada" if number % 2 else "root",
                int(a * 1e9),
                int(b * 1e9),
                n * 7,
                n,
                1 + number % 3,
                now - number * 61_000,
            )
            for number, (name, path, a, b, n) in enumerate(fake.apps, 1)
        ]
        if fake.apps:
            rows.append(ApplicationRow(0, "", "", "", int(33.9e9), int(20.2e9), 40, 12, 4, now - 5000))
        order = {
            "bytes": lambda row: -row.bytes_in - row.bytes_out, "bytes_in": lambda row: -row.bytes_in,
            "bytes_out": lambda row: -row.bytes_out, "name": lambda row: row.name,
            "connections": lambda row: -row.connections, "last_used": lambda row: -row.last_used,
        }  # fmt: skip
        rows.sort(key=order[sort])
        more = fake.more_apps if fake.apps else 0
        if (name := asked_name(request, "app")) is not None:
            rows, more = [row for row in rows if row.name == name], 0
        shown = rows[offset : offset + limit]
        rest = [row for row in rows if row not in shown]
        rest_in = sum(row.bytes_in for row in rest) + more * 230_000_000
        rest_out = sum(row.bytes_out for row in rest) + more * 120_000_000
        return ApplicationsAnswer(
            shown, len(rest) + more, rest_in, rest_out, rest_in + sum(row.bytes_in for row in shown),
            rest_out + sum(row.bytes_out for row in shown), fake.meta(length_of(request), now),
        )  # fmt: skip

    @get("/api/domains")
    async def domains(
        request: Request[Any, Any, Any],
        limit: FromQuery[int] = 50,
        sort: FromQuery[str] = "bytes",
        offset: FromQuery[int] = 0,
        group: FromQuery[str] = "none",
    ) -> DomainsAnswer:
        now = now_ms()
        rows = [
            DomainRow(
                number, name, ["tls_sni", "dns"] if number % 2 else ["quic_sni"],
                [DomainUser(index, user, int(a * 1e9 / len(users))) for index, user in enumerate(users, 1)],
                int(a * 1e9), int(b * 1e9), number * 5, 1, now - number * 47_000,
            )
            for number, (name, users, a, b) in enumerate(fake.domains, 1)
        ]  # fmt: skip
        if sort == "name":
            rows.sort(key=lambda row: row.name)
        if fake.domains:
            rows.append(DomainRow(0, "", [], [], int(17.2e9), int(13.4e9), 20, 4, now - 9000))
        name = asked_name(request, "domain")
        rows = [row for row in rows if name in (None, row.name)]
        shown = rows[offset : offset + limit]
        rest = [row for row in rows if row not in shown]
        # As much as the applications have, so that the totals of both tables agree.
        all_apps = (await applications.fn(request)) if fake.domains and fake.apps and not name else None
        more = 2317 if all_apps else 0
        rest_in = sum(row.bytes_in for row in rest)
        rest_out = sum(row.bytes_out for row in rest)
        if all_apps:
            rest_in = all_apps.total_bytes_in - sum(row.bytes_in for row in shown)
            rest_out = all_apps.total_bytes_out - sum(row.bytes_out for row in shown)
        answer = DomainsAnswer(
            shown, len(rest) + more, rest_in, rest_out, rest_in + sum(row.bytes_in for row in shown),
            rest_out + sum(row.bytes_out for row in shown), fake.meta(length_of(request), now),
        )  # fmt: skip
        return fake_details.grouped(answer) if group == "registrable" else answer

    def missing(what: str) -> Response[Any]:
        return refuse(404, f"There is no {what}.")

    @get("/api/applications/{number:int}")
    async def application(request: Request[Any, Any, Any], number: FromPath[int]) -> Response[Any]:
        answer = fake_details.application(fake, number, fake.meta(length_of(request), now_ms()))
        return Response(answer) if answer else missing(f"application {number}")

    @get(["/api/applications/{number:int}/timeline", "/api/domains/{number:int}/timeline"])
    async def own_timeline(
        request: Request[Any, Any, Any], number: FromPath[int], split: FromQuery[str] = "none"
    ) -> TimelineAnswer:
        del number
        found: TimelineAnswer = await timeline.fn(request, split=split)
        return found

    @get("/api/applications/{number:int}/domains")
    async def own_domains(
        request: Request[Any, Any, Any], number: FromPath[int], limit: FromQuery[int] = 50
    ) -> DomainsAnswer:
        del number
        found: DomainsAnswer = await domains.fn(request, limit=limit)
        return found

    @get("/api/applications/{number:int}/hosts")
    async def own_hosts(request: Request[Any, Any, Any], number: FromPath[int]) -> ApplicationHostsAnswer:
        return fake_details.hosts_of(fake, number, fake.meta(length_of(request), now_ms()))

    @get("/api/domains/{number:int}")
    async def domain(request: Request[Any, Any, Any], number: FromPath[int]) -> Response[Any]:
        answer = fake_details.domain(fake, number, fake.meta(length_of(request), now_ms()))
        return Response(answer) if answer else missing(f"domain {number}")

    @get("/api/domains/{number:int}/browsers")
    async def browsers(request: Request[Any, Any, Any], number: FromPath[int]) -> BrowsersAnswer:
        return fake_details.browsers(fake, number, fake.meta(length_of(request), now_ms()))

    @get("/api/domains/{number:int}/site")
    async def domain_site(request: Request[Any, Any, Any], number: FromPath[int]) -> DomainSiteAnswer:
        third = [SiteShare(3, "cdn.example.net", 3_000_000, 40_000, third_party=True)]
        loaded = [SiteShare(4, "news.example.org", 900_000, 9_000, third_party=True)]
        meta = fake.meta(length_of(request), now_ms())
        return DomainSiteAnswer(number, "example.org", 95, 3_000_000, 40_000, third, loaded, 50_000, 700, meta)

    @get("/api/browsers/sites")
    async def browser_sites(request: Request[Any, Any, Any]) -> BrowserSitesAnswer:
        return BrowserSitesAnswer(
            browsers=[BrowserJoin("web-1", "Firefox", 300, 7_000_000, 90_000, 2_000_000, 10_000)],
            sites=[SiteRow("web-1", "Firefox", 4, "news.example.org", 300, 7_000_000, 90_000)],
            others_count=0,
            meta=fake.meta(length_of(request), now_ms()),
        )

    @get("/api/domains/{number:int}/applications")
    async def own_applications(
        request: Request[Any, Any, Any], number: FromPath[int], limit: FromQuery[int] = 50
    ) -> ApplicationsAnswer:
        del number
        found: ApplicationsAnswer = await applications.fn(request, limit=limit)
        return found

    @get("/api/hosts/{number:int}")
    async def host(request: Request[Any, Any, Any], number: FromPath[int]) -> Response[Any]:
        all_hosts: HostsAnswer = await hosts.fn(request)
        if not 1 <= number <= len(all_hosts.hosts):
            return missing(f"host {number}")
        return Response(fake_details.host(fake, all_hosts.hosts[number - 1], all_hosts.meta))

    @get("/api/hosts/{number:int}/conservation")
    async def own_conservation(request: Request[Any, Any, Any], number: FromPath[int]) -> ConservationAnswer:
        all_hosts: HostsAnswer = await hosts.fn(request)
        return fake_details.conservation(all_hosts.hosts[number - 1], all_hosts.meta)

    @get("/api/historical/heatmap")
    async def heatmap(request: Request[Any, Any, Any]) -> HeatmapAnswer:
        return fake_details.heatmap(fake, fake.meta(length_of(request), now_ms(), "1h"))

    @get("/api/historical/{name:str}")
    async def historical(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[Any]:
        meta = fake.meta(length_of(request), now_ms(), "1d")
        if name == "compare":
            return Response(fake_details.compare(fake, request.query_params.get("by", "app"), meta))
        periods = {"daily": "day", "weekly": "week", "monthly": "month"}
        return Response(fake_details.history(fake, periods[name], meta))

    @get("/api/stats/breakdown")
    async def breakdown(request: Request[Any, Any, Any]) -> BreakdownAnswer:
        line: TimelineAnswer = await timeline.fn(request)
        points = line.series[0].points if line.series else []
        return fake_details.breakdown(fake, request.query_params, points, line.bucket_seconds, line.meta)

    @get("/api/views")
    async def views() -> ViewsAnswer:
        return ViewsAnswer(sorted(fake.views, key=lambda view: view.name))

    @get("/api/filter/complete")
    async def complete(text: FromQuery[str] = "", cursor: FromQuery[int] = 0) -> CompletionsAnswer:
        """Fields after nothing or a space, names of applications after ``= ``."""
        before = text[:cursor]
        word = before.rpartition(" ")[2]
        start = cursor - len(word)
        kind, names, number = "field", ["app", "domain", "host"], None
        if before.rstrip().endswith("=") or before.endswith(f"= {word}"):
            kind, names, number = "value", [name for name, *_ in fake.apps], 1_500_000
        offers = [
            CompletionOffer(one, f"{one} ", kind, start, cursor, "", number) for one in names if one.startswith(word)
        ]
        return CompletionsAnswer(offers, None, "", None, None, None, None)

    @get("/api/hosts")
    async def hosts(request: Request[Any, Any, Any]) -> HostsAnswer:
        now = now_ms()

        def state_of(name: str) -> str:
            return "silent" if name in fake.silent else "paused" if name in fake.paused else "reporting"

        return HostsAnswer(
            [
                HostRow(
                    index + 1, name, "agent", state_of(name), "packets", "", "0.1.0", 5,
                    now - (8_600_000 if name in fake.silent else 4000), now - fake.late_seconds * 1000,
                    int(10e9 * (index + 1)), int(7e9), 0, 0, 3 if index == 1 else 0, ["eth0"],
                )
                for index, name in enumerate(fake.hosts)
            ],
            fake.meta(length_of(request), now),
        )  # fmt: skip

    @get("/api/stats/summary")
    async def summary(request: Request[Any, Any, Any]) -> SummaryAnswer:
        now, length = now_ms(), length_of(request) * 1000
        size_in, size_out = (588_400_000_000, 425_400_000_000) if fake.apps else (0, 0)
        share = fake.measured_share if fake.hosts else None
        return SummaryAnswer(
            [
                SummaryPeriod(
                    name, now - span, now, int(size_in * part), int(size_out * part), 9000, now - 2 * span, now - span,
                    int(size_in * part * 0.92), int(size_out * part * 1.31), 8000, share,
                    share if fake.had_before else None, "1h",
                )
                for name, span, part in (("today", DAY // 2, 0.6), ("week", 5 * DAY, 4.1), ("month", 20 * DAY, 17.0),
                    ("range", length, 1.0))
            ],
            fake.meta(length // 1000, now),
        )  # fmt: skip

    @get("/api/conservation")
    async def conservation(request: Request[Any, Any, Any]) -> FleetConservationAnswer:
        sizes = fake.causes if fake.hosts and fake.apps else {}
        causes = [CauseSum(name, int(size * 5.8e9), int(size * 4.2e9), 1, 1) for name, size in sizes.items()]
        total_in, total_out = sum(cause.bytes_in for cause in causes), sum(cause.bytes_out for cause in causes)
        hosts = [HostConservation(1, name, total_in, total_out, causes) for name in fake.hosts[:1]]
        return FleetConservationAnswer(hosts, total_in, total_out, causes, fake.meta(length_of(request), now_ms()))

    @get("/api/live")
    async def live() -> Stream:
        async def events() -> AsyncIterator[str]:
            fake.live_streams += 1
            try:
                yield "retry: 2000\n\n"
                while True:
                    second = int(time.time())
                    event = LiveEvent(
                        now_ms(), Bandwidth(*fake.rates(second)), fake.bandwidths(second), fake.movers(second)
                    )
                    yield f"id: {second}\nevent: live\ndata: {msgspec.json.encode(event).decode()}\n\n"
                    await asyncio.sleep(0.3)
            finally:
                fake.live_streams -= 1

        return Stream(events(), media_type="text/event-stream")

    @post("/api/session/codes", status_code=201)
    async def make_code() -> LoginCode:
        return LoginCode(CODE, now_ms() + 600_000)

    @get("/api/session")
    async def who() -> Session:
        return fake.session

    @get("/api/tokens")
    async def tokens() -> TokensAnswer:
        return TokensAnswer(fake.tokens)

    @post("/api/tokens", status_code=201)
    async def make_token(data: JSONBody[TokenOrder]) -> Response[Any]:
        if data.name == "taken":
            return refuse(400, "This name cannot be had.", "name")
        row = TokenRow(
            id=uuid.uuid4().hex[:16], name=data.name, role=data.role, hosts=data.hosts, state="active",
            created_at=now_ms(), created_by="admin", expires_at=data.expires_at, revoked_at=None, last_used=None,
        )  # fmt: skip
        fake.tokens.insert(0, row)
        return Response(NewToken(f"netally_{row.id}_{'s' * 43}", row, "c" * 32))

    @delete("/api/tokens/{token_id:str}", status_code=200)
    async def revoke_token(token_id: FromPath[str]) -> TokenRow:
        at = next(number for number, row in enumerate(fake.tokens) if row.id == token_id)
        fake.tokens[at] = msgspec.structs.replace(fake.tokens[at], state="revoked", revoked_at=now_ms())
        return fake.tokens[at]

    @post("/api/session", status_code=200)
    async def log_in(data: JSONBody[Login]) -> Response[Any]:
        if data.code != CODE:
            return refuse(401, "The code is not valid.")
        header = {"Set-Cookie": f"{COOKIE}; Path=/; HttpOnly; SameSite=Lax"}
        return Response(Session("admin", now_ms() + 1000), headers=header)

    @delete("/api/session", status_code=200)
    async def log_out() -> Response[Any]:
        return Response(None, headers={"Set-Cookie": "netally_session=; Path=/; Max-Age=0"})

    def found(command_id: str) -> CommandRow | None:
        return next((row for row in fake.ledger if row.id == command_id), None)

    @get("/api/config")
    async def config() -> ConfigAnswer:
        return ConfigAnswer(
            3, fake.retention, 400, 10.0, {"aggregator": None, "api": "info"},
            [
                HostConfig(
                    name, 3, 2 if name in fake.lagging else 3, name in fake.paused,
                    name in fake.paused and name not in fake.lagging, 5, 5, None, name not in fake.lagging,
                )
                for name in fake.hosts
            ],
        )  # fmt: skip

    @get("/api/commands")
    async def commands(request: Request[Any, Any, Any], limit: FromQuery[int] = 50) -> CommandsAnswer:
        query = request.query_params
        name, state, before = query.get("name"), query.get("state"), int(query.get("before", "0"))
        rows = [row for row in reversed(fake.ledger) if name in (None, row.name) and state in (None, row.state)][
            before:
        ]
        return CommandsAnswer(
            rows[:limit],
            str(before + limit) if len(rows) > limit else None,
            sum(row.state == "progress" for row in fake.ledger),
            sum(row.state in ("accepted", "waiting") for row in fake.ledger),
            sum(row.state in ("failed", "expired") for row in fake.ledger),
        )

    @post("/api/commands", status_code=200)
    async def order(data: JSONBody[CommandOrder]) -> Response[Any]:
        if fake.refuses_orders:
            return refuse(fake.refuses_orders, "The bus is away.")
        row = fake.order(data)
        if row.state == "failed" and row.started_at is None:
            problem = Problem(
                "Bad Request", 400, f"{row.message[:1].upper()}{row.message[1:]}.", row.field, command=row.id
            )
            return Response(problem, status_code=400, media_type="application/problem+json")
        return Response(row, status_code=200 if row.state in contract.FINAL_STATES else 202)

    @get("/api/commands/{command_id:str}")
    async def command(command_id: FromPath[str]) -> Response[Any]:
        row = found(command_id)
        if row is None:
            return refuse(404, "There is no command with this id, or the ledger has forgotten it.")
        return Response(CommandAnswer(row, fake.happened[command_id]))

    @delete("/api/commands/{command_id:str}", status_code=200)
    async def cancel(command_id: FromPath[str]) -> Response[Any]:
        row = found(command_id)
        if row is None:
            return refuse(404, "There is no command with this id, or the ledger has forgotten it.")
        if row.state not in contract.FINAL_STATES:
            fake.tell(command_id, "cancelled", "stopped by admin")
        return Response(found(command_id))

    @get("/api/commands/{command_id:str}/events")
    async def command_events(request: Request[Any, Any, Any], command_id: FromPath[str]) -> Stream:
        after = int(request.headers.get("last-event-id", "0"))

        async def events() -> AsyncIterator[str]:
            seen = after
            fake.live_streams += 1
            try:
                yield "retry: 2000\n\n"
                while True:
                    for event in fake.happened[command_id][seen:]:
                        seen = event.id
                        yield f"id: {event.id}\nevent: command\ndata: {msgspec.json.encode(event).decode()}\n\n"
                        if event.state in contract.FINAL_STATES:
                            return
                    await asyncio.sleep(0.05)
            finally:
                fake.live_streams -= 1

        return Stream(events(), media_type="text/event-stream")

    @get("/api/exports/{command_id:str}")
    async def download(command_id: FromPath[str]) -> Response[Any]:
        row = found(command_id)
        if row is None:
            return refuse(404, "There is no export with this id.")
        headers = {"Content-Disposition": f'attachment; filename="{row.result["file"]}"'}
        return Response(EXPORTED, media_type="text/csv", headers=headers)

    @get("/api/exports/{command_id:str}/manifest")
    async def manifest(command_id: FromPath[str]) -> Response[Any]:
        row = found(command_id)
        return refuse(404, "There is no export with this id.") if row is None else Response(row.result["manifest"])

    @get("/api/echo")
    async def echo(request: Request[Any, Any, Any]) -> dict[str, Any]:
        return {"headers": dict(request.headers), "query": request.scope["query_string"].decode()}

    @post("/api/echo", status_code=200)
    async def echo_body(request: Request[Any, Any, Any]) -> dict[str, Any]:
        return {"size": len(await request.body())}

    return Litestar(
        [
            health, bandwidth, timeline, summary, conservation, applications, domains, hosts, live, make_code,
            log_in, log_out, echo, echo_body, application, own_timeline, own_domains, own_hosts, domain, browsers,
            own_applications, domain_site, browser_sites,
            host, own_conservation, heatmap, historical, breakdown, views, complete, config,
            commands, order, command, cancel, command_events, download, manifest, who, tokens, make_token, revoke_token,
        ],
        before_request=guard,
        openapi_config=None,
        logging_config=None,
        request_max_body_size=None,
    )  # fmt: skip


@contextlib.contextmanager
def serve(app: Any, port: int = 0) -> Iterator[str]:
    """Run an ASGI application on a port of 127.0.0.1 in a thread; yields its base URL."""
    port = port or free_port()
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
        proxy_headers=False,
        http="httptools",
        # uvloop's loops of other tests in this process are cleared up wherever the collector runs.
        loop="asyncio",
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)

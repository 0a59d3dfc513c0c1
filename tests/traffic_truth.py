"""Six weeks of traffic, and what every answer about it must be: counted in Python from all rows ever stored."""

from __future__ import annotations

import ipaddress
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import asyncpg
import msgspec
from hypothesis import strategies as st

from netally.contracts.codes import Role, Scope
from netally.store import retention
from netally.store.filters.syntax import parse
from netally.store.port_classes import port_class
from netally.store.retention import Ages
from netally.store.rollups import exclusive, refresh_outstanding
from netally.store.tiers import DAY, HOUR, MINUTE, SECOND, floor
from tests.filter_trees import matches
from tests.history_model import CoverageRow, FlowRow, History, TallyRow
from tests.timescale.fixtures import ZONE

NOW = int(datetime(2026, 11, 22, 10, 30, tzinfo=UTC).timestamp()) * SECOND
AGES = Ages(raw=7, minutes=14, hours=40)
HALF = {"raw": 0, "1m": MINUTE // 2, "1h": HOUR // 2, "1d": DAY // 2}

HOSTS = {1: "web-1", 2: "Web-2", 3: "db-1", 4: "capture.pcap"}
REPLAY = 4
APPS = {
    0: ("", "", "", "", ""),
    1: ("firefox", "/usr/lib/firefox/firefox", "ada", "", ""),
    2: ("Socket Process", "/usr/lib/firefox/firefox", "bob", "", ""),
    3: ("chrome", "/opt/google/chrome/chrome", "ada", "", ""),
    4: ("curl", "/usr/bin/curl", "ada", "", ""),
    5: ("nginx", "/usr/sbin/nginx", "www", "nginx.service", ""),
    6: ("curl", "/usr/bin/curl", "bob", "", "0123456789ab"),
}
DOMAINS = {
    0: "",
    1: "example.org",
    2: "a.example.org",
    3: "b.a.example.org",
    4: "codeload.github.com",
    5: "api.github.com",
    6: "x.example.co.uk",
    7: "example.co.uk",
    8: "localhost",
    9: "me.github.io",
}
REGISTRABLE = {
    0: "",
    1: "example.org",
    2: "example.org",
    3: "example.org",
    4: "github.com",
    5: "github.com",
    6: "example.co.uk",
    7: "example.co.uk",
    8: "localhost",
    9: "me.github.io",
}
BROWSERS = {1: "Firefox", 2: "Firefox", 3: "Chrome"}
REMOTES = ("203.0.113.7", "10.1.2.3", "2001:db8::1", "198.51.100.9")

Row = dict[str, Any]


class Condition(NamedTuple):
    """Part of a filter, and what it does beyond leaving rows out."""

    text: str
    hosts: tuple[str, ...] | None = None
    """In lower case, of a condition that names hosts."""
    scopes: tuple[int, ...] = ()
    servers_only: bool = False


CONDITIONS = (
    *(Condition(text) for text in ("app = firefox", "app ~ c*", "app != curl", "browser = firefox", "browser = none")),
    *(Condition(text) for text in ("domain under example.org", "domain = none", "not domain = a.example.org")),
    *(Condition(text) for text in ("protocol = udp", "port = 443", "port in 22, 53", "role != server", "user = ada")),
    *(Condition(text) for text in ("bytes > 50kB", "bytes_in < 40kB", "unit = nginx.service", "host ~ web*")),
    *(Condition(text) for text in ("remote in 10.0.0.0/8", "domain_source = dns", "(port = 22 or app = curl)")),
    Condition("role = server", servers_only=True),
    Condition("scope = loopback", scopes=(3,)),
    Condition("scope in internet, private", scopes=(1, 2)),
    Condition("host = WEB-1", ("web-1",)),
    Condition("host in db-1, web-2", ("db-1", "web-2")),
)


class Query(NamedTuple):
    start: int
    end: int
    hosts: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()
    zone: str | None = None

    @property
    def filter(self) -> str:
        return " and ".join(condition.text for condition in self.conditions)

    def parameters(self) -> dict[str, Any]:
        found: dict[str, Any] = {"from": self.start, "to": self.end, "host": list(self.hosts)}
        if self.conditions:
            found["filter"] = self.filter
        return found | ({"tz": self.zone} if self.zone else {})


LENGTHS = (7 * MINUTE, HOUR, 2 * HOUR, 3 * HOUR, 26 * HOUR, 3 * DAY, 9 * DAY, 30 * DAY, 44 * DAY)


def queries(*, longest: int = 44 * DAY, ago: int = 44 * DAY) -> st.SearchStrategy[Query]:
    """Ranges of every length and age, with and without hosts, filters and zones."""
    return st.builds(
        lambda back, length, *rest: Query(NOW - back - length, NOW - back, *rest),
        st.just(0) | st.integers(0, ago),
        st.sampled_from([length for length in LENGTHS if length <= longest]),
        st.sampled_from(((), (), (), ("web-1",), ("web-1", "Web-2"), ("capture.pcap",))),
        st.lists(st.sampled_from(CONDITIONS), max_size=2, unique_by=lambda one: one.text.split()[0]).map(tuple),
        st.sampled_from((None, None, "UTC", "America/New_York", "Asia/Kolkata", "Pacific/Apia")),
    )


def _flows(chance: random.Random) -> Iterator[FlowRow]:
    for _ in range(1_500):
        # Most of it lately, so that short ranges have something to tell.
        time = NOW - int(44 * DAY * chance.random() ** 3)
        host = chance.randint(1, 4)
        domain = int(len(DOMAINS) * chance.random() ** 1.5)
        yield FlowRow(
            time - time % (5 * SECOND),
            host_id=host,
            app_id=chance.randrange(len(APPS)),
            domain_id=domain,
            site_id=chance.choice((0, 1, domain)),
            scope=int(Scope.REPLAY) if host == REPLAY else chance.choice((0, 1, 1, 1, 2, 3, 4, 4)),
            protocol=chance.choice((6, 17, 1)),
            server_port=chance.choice((0, 22, 53, 443, 48_000, 8080)),
            role=int(chance.choice((Role.UNKNOWN, Role.CLIENT, Role.SERVER))),
            remote=ipaddress.ip_address(chance.choice(REMOTES)).packed,
            bytes_in=chance.randrange(100_000),
            bytes_out=chance.randrange(10_000),
            packets_in=chance.randrange(100),
            packets_out=chance.randrange(100),
            connections=chance.randrange(3),
            domain_source=chance.choice((2, 5)) if domain else 0,
            process_source=chance.choice((1, 2)),
        )


def make_history() -> History:
    chance = random.Random(8)
    history = History(ZONE)
    history.flows = list(_flows(chance))
    reported = {(row.time, row.host_id) for row in history.flows}
    history.coverage = [CoverageRow(*key, measured_ms=chance.choice((0, 2_000, 5_000))) for key in sorted(reported)]
    history.tally = [
        TallyRow(time, host, chance.choice(("eth0", "wlan0")), cause, bytes_in=chance.randrange(-50, 5_000))
        for time, host in sorted(reported)[::4]
        for cause in chance.sample(range(1, 12), 3)
    ]
    return history


async def fill(pool: asyncpg.Pool, backend: str) -> None:
    """Everything stored in every tier, and what is too old dropped from the finer ones."""
    history = make_history()
    await pool.copy_records_to_table(
        "host",
        records=[(n, name, "replay" if n == REPLAY else "agent") for n, name in HOSTS.items()],
        columns=["id", "name", "kind"],
    )
    await pool.copy_records_to_table(
        "app",
        records=[(number, *app) for number, app in APPS.items() if number],
        columns=["id", "name", "executable", "username", "unit", "container"],
    )
    await pool.copy_records_to_table(
        "domain", records=[(number, name) for number, name in DOMAINS.items() if number], columns=["id", "name"]
    )
    await pool.copy_records_to_table(
        "ledger",
        records=[(number, "0" * 32, 1, NOW, NOW) for number in HOSTS],
        columns=["host_id", "epoch", "low_water", "complete_until", "updated_at"],
    )
    await History(ZONE).write(pool, backend, history.flows, history.coverage, history.tally)
    async with exclusive(pool, wait=True) as connection:
        assert connection is not None
        await refresh_outstanding(connection, NOW, ZONE)
        await retention.apply(connection, AGES, NOW, ZONE)


class Truth:
    """Every tier's rows with the names put in, as `matches` wants them."""

    def __init__(self) -> None:
        self.history = make_history()
        self.tiers = {tier: list(self._rows(tier)) for tier in ("raw", "1m", "1h", "1d")}

    def _rows(self, tier: str) -> Iterator[Row]:
        groups: dict[tuple[Any, ...], Row] = {}
        for number, flow in enumerate(self.history.flows):
            bucket = flow.time if tier == "raw" else floor(flow.time, tier, ZONE)
            port = flow.server_port if tier == "raw" else port_class(flow.server_port)
            key = (flow.host_id, flow.app_id, flow.domain_id, flow.site_id, flow.scope, flow.role, flow.protocol, port)
            row = groups.get((bucket, *key, number if tier == "raw" else -1))
            if row is None:
                row = groups[(bucket, *key, number if tier == "raw" else -1)] = _named(flow, bucket, port)
            else:
                for name in ("bytes_in", "bytes_out", "packets_in", "packets_out", "connections"):
                    row[name] += getattr(flow, name)
                row["last_used"] = max(row["last_used"], flow.time)
            row["bytes"] = row["bytes_in"] + row["bytes_out"]
            row["packets"] = row["packets_in"] + row["packets_out"]
        yield from groups.values()

    def counted(self, meta: Row, query: Query, tier: str | None = None) -> list[Row]:
        """Rows of the answer's tier that it is about."""
        tier = tier or meta["tier"]
        half = 0 if meta["days_exact"] else HALF[tier]
        return [
            row
            for row in self.tiers[tier]
            if meta["start"] <= row["bucket"] + half < meta["end"] and self.counts(row, query)
        ]

    def counts(self, row: Row, query: Query) -> bool:
        """By the rules of the design: scopes, peers, hosts, then the filter."""
        named = next((one.hosts for one in query.conditions if one.hosts is not None), None)
        names = [
            name
            for name in HOSTS.values()
            if (not query.hosts or name in query.hosts) and (named is None or name.lower() in named)
        ]
        restricted = bool(query.hosts) or named is not None
        scopes = {0, 1, 2, 4} | {scope for one in query.conditions for scope in one.scopes}
        if restricted and HOSTS[REPLAY] in names:
            scopes.add(int(Scope.REPLAY))
        if row["scope"] not in scopes or (restricted and row["host"] not in names):
            return False
        one_side = not (restricted and len(names) == 1) and not any(one.servers_only for one in query.conditions)
        if one_side and row["scope"] == Scope.PEER and row["role"] == Role.SERVER:
            return False
        return matches(parse(query.filter), row)


def _named(flow: FlowRow, bucket: int, port: int) -> Row:
    name, executable, user, unit, container = APPS[flow.app_id]
    return {
        **msgspec.structs.asdict(flow),
        "bucket": bucket,
        "port": port,
        "last_used": flow.time,
        "host": HOSTS[flow.host_id],
        "app": name,
        "executable": executable,
        "user": user,
        "unit": unit,
        "container": container,
        "app_name": name,
        "app_executable": executable,
        "domain": DOMAINS[flow.domain_id],
        "site": DOMAINS[flow.site_id],
        "remote": ipaddress.ip_address(flow.remote),
    }


def sums(rows: Iterable[Row], key: Callable[[Row], Any]) -> dict[Any, tuple[int, int]]:
    """Bytes in and out of each key."""
    found: dict[Any, list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        found[key(row)][0] += row["bytes_in"]
        found[key(row)][1] += row["bytes_out"]
    return {name: (values[0], values[1]) for name, values in found.items()}


def total(rows: Sequence[Row]) -> tuple[int, int]:
    return sum(row["bytes_in"] for row in rows), sum(row["bytes_out"] for row in rows)


def local_period(moment: int, period: str, zone: ZoneInfo) -> str:
    """A word for the day, week or month in which a moment lies."""
    local = datetime.fromtimestamp(moment / 1000, zone)
    if period == "week":
        return "-".join(map(str, local.isocalendar()[:2]))
    return local.strftime("%Y-%m" if period == "month" else "%Y-%m-%d")

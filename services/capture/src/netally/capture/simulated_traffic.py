"""Traffic of hosts that do not exist, from a seed: batches, states and live samples as agents make them. Pure.

The same seed, host and interval always give the same traffic, whatever was asked before, so that it can go on where it
was left. All domains are below ``.example`` (RFC 2606), all remote addresses are for documentation (RFC 5737, 3849).
"""

from __future__ import annotations

import ipaddress
import math
import random
import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from netally.capture.live import MOVERS
from netally.contracts.agent import AgentReported, InterfaceState, LiveFlow, LiveSample
from netally.contracts.codes import Cause, DomainSource, Mode, ProcessSource, Role, Scope
from netally.contracts.flow import BATCH_VERSION, App, Coverage, FlowRecord, FlowsObserved, TallyRow

BLOCK: Final = 10
"""Hosts that share a network; its first is the NAS that the desktops copy to."""
_ROLES: Final = ("nas", "desktop", "server", "desktop", "laptop", "server", "desktop", "laptop", "server", "desktop")
_LINK_HEADER: Final = 14
_PACKET: Final = 1_200
"""Bytes of a packet, about."""
_LONGEST_INTERVAL_MS: Final = 60_000
_VERSION: Final = "0.1.0"


class Use(NamedTuple):
    """What a program does on the network."""

    app: App
    share: float
    """Of the rows of its host."""
    rate: float
    """Bytes a second that come in while it is used; a row's are spread widely around it."""
    out: float
    """Bytes out for each byte in."""
    domains: Sequence[str]
    """The first is used most (Zipf). Empty: no name is found."""
    port: int = 443
    protocol: int = 6
    scope: Scope = Scope.INTERNET
    role: Role = Role.CLIENT
    source: DomainSource = DomainSource.TLS_SNI
    always: bool = False
    """At night too."""


class Breaks(NamedTuple):
    """In each window of time a host stops for a while, with some chance."""

    window_ms: int
    length_ms: int
    chance: float

    def holds(self, mark: int, time: int) -> bool:
        """Whether the host of this mark stops at this time."""
        number, into = divmod(time, self.window_ms)
        draw = zlib.crc32(b"%d/%d/%d" % (mark, number, self.window_ms)) / 2**32
        if draw >= self.chance:
            return False
        begin = int((self.window_ms - self.length_ms) * (draw / self.chance))
        return begin <= into < begin + self.length_ms


class Rhythm(NamedTuple):
    """When hosts are paused, switched off, and cut off from the bus."""

    paused: Breaks
    away: Breaks
    late: Breaks


MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
MINUTES: Final = Rhythm(
    Breaks(3 * MINUTE, 20_000, 0.03), Breaks(5 * MINUTE, 45_000, 0.03), Breaks(2 * MINUTE, 15_000, 0.05)
)
"""For some minutes of a large fleet."""
MONTHS: Final = Rhythm(Breaks(40 * DAY, 2 * HOUR, 0.15), Breaks(40 * DAY, 3 * DAY, 0.15), Breaks(DAY, MINUTE, 0.0))
"""For a year of a small one."""


class SimulatedHost(NamedTuple):
    number: int
    name: str
    kind: str
    address: str
    mark: int
    """Of its seed: what it draws differs from that of every other host."""
    uses: Sequence[Use]
    weights: Sequence[float]
    rows: int
    """Of an interval in full swing."""
    user: str


class Interval(NamedTuple):
    start: int
    """Epoch milliseconds."""
    length_ms: int
    """Longer than a minute: history in large steps, see `batch`."""


def _names(first: str, rest: str, count: int) -> tuple[str, ...]:
    """``count`` names, the first ones well known, the rest numbered."""
    known = tuple(first.split())
    return known + tuple(rest.format(n) for n in range(1, count - len(known) + 1))


_WEB: Final = _names(
    "www.tube.example cdn.tube.example www.news-daily.example img.news-daily.example www.wiki.example"
    " maps.atlas.example www.shop.example static.shop.example forum.garden.example app.board.example"
    " www.weather.example docs.office.example api.office.example play.radio.example git.forge.example",
    "www.site-{0}.example",
    150,
)
_MAIL: Final = ("imap.post.example", "smtp.post.example")
_UPDATES: Final = ("mirror.linux.example", "security.linux.example")
_PUBLIC: Final = ("www.garden-club.example", "api.garden-club.example", "files.garden-club.example")


def _app(name: str, executable: str = "", user: str = "", unit: str = "") -> App:
    return App(name, executable or f"/usr/bin/{name}", user, unit)


def _background() -> list[Use]:
    dns = _app("systemd-resolved", "/usr/lib/systemd/systemd-resolved", "systemd-resolve", "systemd-resolved.service")
    clock = _app("chronyd", "/usr/sbin/chronyd", "_chrony", "chrony.service")
    apt = _app("apt", "/usr/lib/apt/methods/http", "_apt")
    none = DomainSource.NONE
    return [
        Use(dns, 0.06, 60, 0.6, (), 53, 17, Scope.PRIVATE, source=none, always=True),
        Use(clock, 0.02, 8, 1.0, (), 123, 17, source=none, always=True),
        Use(apt, 0.03, 30_000, 0.02, _UPDATES, 80, source=DomainSource.HTTP, always=True),
        Use(App(""), 0.03, 900, 0.5, ("www.tracker.example", "cdn.tube.example"), source=DomainSource.DNS),
        Use(_app("avahi-daemon"), 0.01, 20, 1.0, (), 5353, 17, Scope.PRIVATE, source=none, always=True),
    ]


def _desktop(user: str, browser: str) -> list[Use]:
    browsers = {
        "firefox": _app("firefox", "/usr/lib/firefox/firefox", user),
        "chrome": _app("chrome", "/opt/google/chrome/chrome", user),
        "chromium": _app("chromium", "/usr/lib/chromium/chromium", user),
        "brave": _app("brave", "/opt/brave.com/brave/brave", user),
    }
    main = browsers.pop(browser)
    other = browsers["firefox" if browser != "firefox" else "chromium"]
    quic = DomainSource.QUIC_SNI
    return [
        Use(main, 0.38, 30_000, 0.06, _WEB),
        Use(main, 0.10, 180_000, 0.02, _WEB[:3], protocol=17, source=quic),
        Use(other, 0.06, 20_000, 0.07, _WEB[3:60]),
        Use(_app("thunderbird", "/usr/lib/thunderbird/thunderbird", user), 0.06, 2_500, 0.3, _MAIL, 993, always=True),
        Use(_app("radio-player", user=user), 0.05, 40_000, 0.02, ("play.radio.example", "cdn.radio.example")),
        Use(_app("meet", "/opt/meet/meet", user), 0.04, 150_000, 0.8, ("media.meet.example",), 3478, 17, source=quic),
        Use(_app("code", "/usr/share/code/code", user), 0.04, 4_000, 0.4, ("git.forge.example", "api.forge.example")),
        Use(_app("ssh", user=user), 0.03, 1_500, 0.8, (), 22, scope=Scope.PRIVATE, source=DomainSource.NONE),
        Use(_app("postgres"), 0.02, 3_000, 1.0, (), 5432, scope=Scope.LOOPBACK, source=DomainSource.NONE),
        *_background(),
    ]


def _server(_: str, __: str) -> list[Use]:
    nginx = _app("nginx", "/usr/sbin/nginx", "www-data", "nginx.service")
    database = _app("postgres", "/usr/lib/postgresql/17/bin/postgres", "postgres", "postgresql.service")
    restic = _app("restic", user="root", unit="backup.service")
    return [
        Use(nginx, 0.50, 9_000, 9.0, _PUBLIC, role=Role.SERVER, always=True),
        Use(database, 0.10, 12_000, 2.5, (), 5432, scope=Scope.PRIVATE, role=Role.SERVER, source=DomainSource.NONE),
        Use(database, 0.04, 20_000, 1.0, (), 5432, scope=Scope.LOOPBACK, source=DomainSource.NONE, always=True),
        Use(restic, 0.04, 3_000, 30.0, ("eu.vault.example",), always=True),
        Use(_app("certbot"), 0.01, 2_000, 0.3, ("acme.trust.example",), always=True),
        Use(_app("containerd"), 0.03, 60_000, 0.02, ("registry.images.example", "cdn.images.example"), always=True),
        Use(_app("sshd", "/usr/sbin/sshd", "root", "ssh.service"), 0.04, 500, 2.0, (), 22, role=Role.SERVER,
            source=DomainSource.NONE),
        *_background(),
    ]  # fmt: skip


def _nas(_: str, __: str) -> list[Use]:
    media = _app("jellyfin", "/usr/bin/jellyfin", "jellyfin", "jellyfin.service")
    rclone = _app("rclone", user="root", unit="offsite.service")
    return [
        Use(media, 0.25, 900, 90.0, (), 8096, scope=Scope.PRIVATE, role=Role.SERVER, source=DomainSource.NONE),
        Use(rclone, 0.12, 2_000, 40.0, ("eu.vault.example", "us.vault.example"), always=True),
        Use(_app("syncthing", user="nas"), 0.20, 6_000, 1.2, ("relay.sync.example", "disco.sync.example"), 22_067,
            source=DomainSource.DNS, always=True),
        *_background(),
    ]  # fmt: skip


_MAKERS: Final = {"desktop": _desktop, "laptop": _desktop, "server": _server, "nas": _nas}
_ROWS: Final = {"desktop": 22, "laptop": 16, "server": 26, "nas": 10}
_USERS: Final = ("ada", "ben", "clara", "dilan", "eva", "finn", "greta", "hugo")
_BROWSERS: Final = ("firefox", "chrome", "firefox", "chromium", "brave")
_COPIES: Final = _app("gvfsd-smb", "/usr/libexec/gvfsd-smb")
_SHARES: Final = _app("smbd", "/usr/sbin/smbd", "root", "smbd.service")


def make_fleet(seed: int, hosts: int, prefix: str = "") -> list[SimulatedHost]:
    """Hosts by number from 0: of each ten one NAS, three servers, the rest desktops and laptops."""
    return [_host(seed, number, max(2, len(str(hosts))), prefix) for number in range(hosts)]


def _host(seed: int, number: int, digits: int, prefix: str) -> SimulatedHost:
    kind = _ROLES[number % BLOCK]
    mark = zlib.crc32(f"{seed}/{number}".encode())
    user = _USERS[mark % len(_USERS)]
    uses = _MAKERS[kind](user, _BROWSERS[mark // 8 % len(_BROWSERS)])
    block, place = divmod(number, BLOCK)
    # A network of its own for each ten: 10.64.0.0/10 holds more than 100,000 hosts.
    address = ipaddress.IPv4Address(int(ipaddress.IPv4Address("10.64.0.0")) + block * 16 + place + 1)
    name = f"{prefix}{kind}-{number:0{digits}d}"
    return SimulatedHost(number, name, kind, str(address), mark, uses, [use.share for use in uses], _ROWS[kind], user)


def activity(host: SimulatedHost, time: int, zone: ZoneInfo) -> float:
    """How much is going on, 0 to 1: servers by day and night, desktops while people are there, less at weekends."""
    local = datetime.fromtimestamp(time / 1000, zone)
    hour = local.hour + local.minute / 60
    if host.kind in ("desktop", "laptop"):
        day = max(0.0, math.sin(math.pi * (hour - 7) / 12)) if 7 <= hour < 19 else 0.0
        evening = 0.7 * math.exp(-(((hour - 21) / 1.6) ** 2))
        working = local.weekday() < 5
        return min(1.0, 0.04 + day * (0.9 if working else 0.35) + evening * (0.6 if working else 1.0))
    return 0.35 + 0.45 * (0.5 + 0.5 * math.sin(math.pi * (hour - 8) / 12)) * (1.0 if local.weekday() < 5 else 0.7)


@lru_cache(4_096)
def _remote(domain: str, number: int) -> bytes:
    """An address of a name, or of somebody without one."""
    mark = zlib.crc32(f"{domain}/{number}".encode())
    if mark % 5 == 0:
        return ipaddress.IPv6Address(f"2001:db8::{mark >> 16 & 0xFFFF:x}:{mark & 0xFFFF:x}").packed
    network = ("192.0.2.", "198.51.100.", "203.0.113.")[mark // 5 % 3]
    return ipaddress.IPv4Address(f"{network}{mark // 15 % 254 + 1}").packed


_LOOPBACK: Final = ipaddress.IPv4Address("127.0.0.1").packed


class _Table:
    """Names of a batch and their indexes; 0 is unknown."""

    def __init__(self) -> None:
        self.apps: dict[App, int] = {App(""): 0}
        self.domains: dict[str, int] = {"": 0}

    def record(self, use: Use, domain: str, remote: bytes, bytes_in: int, bytes_out: int, mode: Mode) -> FlowRecord:
        bytes_in, bytes_out = max(40, bytes_in), max(40, bytes_out)
        packets_in, packets_out = 1 + bytes_in // _PACKET, 1 + bytes_out // _PACKET
        found = ProcessSource.EBPF if mode is Mode.EBPF else ProcessSource.SOCK_DIAG
        return FlowRecord(
            app=self.apps.setdefault(use.app, len(self.apps)),
            domain=self.domains.setdefault(domain, len(self.domains)),
            site=0,
            scope=int(use.scope),
            protocol=use.protocol,
            server_port=use.port,
            role=int(use.role),
            remote=remote,
            bytes_in=bytes_in,
            bytes_out=bytes_out,
            packets_in=packets_in + packets_out // 2,
            packets_out=packets_out + packets_in // 2,
            connections=1 + bytes_in // 400_000,
            domain_source=int(use.source) if domain else 0,
            process_source=int(found) if use.app.name else 0,
            retrans=bytes_out // 1_000 if mode is Mode.EBPF and use.protocol == 6 else None,
        )


def mode_of(host: SimulatedHost) -> Mode:
    """Most hosts see by programs in the kernel, every seventh by packets."""
    return Mode.PACKETS if host.number % 7 == 6 else Mode.EBPF


def batch(
    host: SimulatedHost,
    fleet: Sequence[SimulatedHost],
    interval: Interval,
    rhythm: Rhythm,
    zone: ZoneInfo,
    *,
    epoch: str,
    sequence: int,
    rows: float = 1.0,
) -> FlowsObserved | None:
    """What the host's agent sends of an interval; None while it is switched off. ``rows`` makes fewer (or more).

    Agents send at least one batch a minute. History of months is too much of that: an ``interval`` that is longer
    becomes one batch with its sums, that says it was cut after all this time and measured all of it. Its rows stand at
    its beginning, so that the hour tier and coarser ones are right, and the minutes within it are not known.
    """
    start, length = interval
    if rhythm.away.holds(host.mark, start):
        return None
    coarse = length > _LONGEST_INTERVAL_MS
    table = _Table()
    paused = rhythm.paused.holds(host.mark ^ 1, start)
    mode = mode_of(host)
    records = _records(host, fleet, interval, rhythm, zone, table, mode, rows)
    tally = _tally(records)
    if paused:
        tally = [
            TallyRow(
                "eth0",
                int(Cause.PAUSED),
                sum(row.bytes_in for row in tally),
                sum(row.bytes_out for row in tally),
                sum(row.packets_in for row in tally),
                sum(row.packets_out for row in tally),
            )
        ]
        records, table = [], _Table()
    return FlowsObserved(
        version=BATCH_VERSION,
        host=host.name,
        epoch=epoch,
        sequence=sequence,
        start=start,
        interval=min(length, _LONGEST_INTERVAL_MS) // 1000,
        apps=list(table.apps),
        domains=list(table.domains),
        records=records,
        coverage=Coverage(int(mode), 0 if paused else length, paused=paused, cut_ms=length if coarse else 0),
        tally=tally,
    )


def _records(
    host: SimulatedHost,
    fleet: Sequence[SimulatedHost],
    interval: Interval,
    rhythm: Rhythm,
    zone: ZoneInfo,
    table: _Table,
    mode: Mode,
    rows: float,
) -> list[FlowRecord]:
    start, length = interval
    chance = random.Random(host.mark << 44 | start // 1000)  # noqa: S311  (nobody has to be surprised)
    busy = activity(host, start + length // 2, zone)
    count = max(1, round(host.rows * rows * busy * (0.6 + 0.8 * chance.random())))
    # A row of the few stands for several.
    seconds = length / 1000 * host.rows * (0.05 + busy) / count
    sums: dict[tuple[App, str, bytes, int, int], tuple[Use, int, int]] = {}
    for use in chance.choices(host.uses, host.weights, k=count):
        domain = use.domains[int(len(use.domains) ** chance.random()) - 1] if use.domains else ""
        strength = math.exp(chance.gauss(-1.0, 1.1)) * (1.0 if not use.always else 0.5 + 0.5 / (0.3 + busy))
        into = int(use.rate * seconds * 0.06 * strength)
        remote = _LOOPBACK if use.scope is Scope.LOOPBACK else _place(host, fleet, use, domain, chance)
        key = (use.app, domain, remote, use.port, use.protocol)
        _, before_in, before_out = sums.get(key, (use, 0, 0))
        sums[key] = (use, before_in + into, before_out + int(into * use.out))
    records = [
        table.record(use, domain, remote, into, out, mode)
        for (_, domain, remote, _, _), (use, into, out) in sums.items()
    ]
    return records + _copies(host, fleet, interval, rhythm, zone, table, mode)


def _place(host: SimulatedHost, fleet: Sequence[SimulatedHost], use: Use, domain: str, chance: random.Random) -> bytes:
    if use.scope is not Scope.PRIVATE:
        return _remote(domain or str(use.port), chance.randrange(3))
    # The router, a printer, a telephone: private, and no agent's.
    base = int(ipaddress.IPv4Address(host.address)) - host.number % BLOCK - 1
    return ipaddress.IPv4Address(base + BLOCK + 1 + use.port % 4).packed


def _copies(
    host: SimulatedHost,
    fleet: Sequence[SimulatedHost],
    interval: Interval,
    rhythm: Rhythm,
    zone: ZoneInfo,
    table: _Table,
    mode: Mode,
) -> list[FlowRecord]:
    """Flows between the desktops of a network and its NAS: the same numbers from both ends. Agents call them private,
    for they know their own addresses only.
    """
    first = host.number // BLOCK * BLOCK
    block = fleet[first : first + BLOCK]
    if host.kind == "nas":
        pairs = [(one, host) for one in block if one.kind in ("desktop", "laptop")]
    elif host.kind in ("desktop", "laptop") and block[0].kind == "nas":
        pairs = [(host, block[0])]
    else:
        return []
    records = []
    for client, server in pairs:
        chance = random.Random((client.mark ^ 5) << 44 | interval.start // 1000)  # noqa: S311
        if chance.random() > 0.3 or any(rhythm.away.holds(end.mark, interval.start) for end in (client, server)):
            continue
        sent = int(25_000 * interval.length_ms / 1000 * activity(client, interval.start, zone) * chance.random())
        got = int(sent * 0.4 * chance.random())
        if host is client:
            use = Use(_COPIES, 0, 0, 0, (), 445, scope=Scope.PRIVATE, source=DomainSource.DNS)
            records.append(table.record(use, server.name, ipaddress.ip_address(server.address).packed, got, sent, mode))
        else:
            use = Use(_SHARES, 0, 0, 0, (), 445, scope=Scope.PRIVATE, role=Role.SERVER, source=DomainSource.NONE)
            records.append(table.record(use, "", ipaddress.ip_address(client.address).packed, sent, got, mode))
    return records


def _tally(records: Sequence[FlowRecord]) -> list[TallyRow]:
    """Rows whose sum is what the interface would have counted: frames with link headers, and some that are not IP."""
    sums: dict[Cause, list[int]] = {}
    packets_in = packets_out = 0
    for record in records:
        if record.scope == Scope.LOOPBACK:
            continue
        cause = (
            (Cause.ATTRIBUTED if record.domain else Cause.NO_NAME)
            if record.app
            else (Cause.NO_PROCESS if record.domain else Cause.UNKNOWN)
        )
        amounts = sums.setdefault(cause, [0, 0, 0, 0])
        for column, value in enumerate((record.bytes_in, record.bytes_out, record.packets_in, record.packets_out)):
            amounts[column] += value
        packets_in += record.packets_in
        packets_out += record.packets_out
    sums[Cause.NOT_IP] = [46 * (1 + packets_in // 500), 28 * (1 + packets_out // 900), 1 + packets_in // 500, 1]
    sums[Cause.HEADER_DIFFERENCE] = [_LINK_HEADER * packets_in, _LINK_HEADER * packets_out, 0, 0]
    return [TallyRow("eth0", int(cause), *amounts) for cause, amounts in sorted(sums.items())]


def report(
    host: SimulatedHost, rhythm: Rhythm, *, time: int, started_at: int, epoch: str, sequence: int, interval: int
) -> AgentReported:
    """What the host's agent says of itself."""
    mode = mode_of(host)
    return AgentReported(
        host=host.name,
        time=time,
        version=_VERSION,
        started_at=started_at,
        mode=mode.label,
        mode_reason="" if mode is Mode.EBPF else "this kernel has no BTF, which programs in the kernel need",
        interval=interval,
        paused=rhythm.paused.holds(host.mark ^ 1, time - time % (interval * 1000)),
        interfaces=[InterfaceState("eth0", [host.address], True, 1_000)],
        epoch=epoch,
        sequence=sequence,
        spool_batches=0,
        spool_bytes=0,
    )


@lru_cache(16_384)
def _text(address: bytes) -> str:
    return str(ipaddress.ip_address(address))


def live_sample(made: FlowsObserved, second: int) -> LiveSample:
    """The ``second``-th second (from 0) of an interval, as its part of the batch that will be sent at its end: the
    samples of an interval sum to its batch but for the loopback traffic and rounding.
    """
    weights = random.Random(made.start + zlib.crc32(made.host.encode())).choices(  # noqa: S311
        (0.4, 0.8, 1.0, 1.4), k=made.interval
    )
    share = weights[second] / sum(weights)
    apps, domains = made.apps, made.domains
    totals = [0, 0, 0, 0]
    flows = []
    for record in made.records:
        if record.scope == Scope.LOOPBACK:
            continue
        amounts = [record.bytes_in, record.bytes_out, record.packets_in, record.packets_out]
        parts = [round(amount * share) for amount in amounts]
        totals = [total + part for total, part in zip(totals, parts, strict=True)]
        remote = _text(record.remote)
        flows.append(LiveFlow(apps[record.app].name, domains[record.domain], remote, parts[0], parts[1]))
    flows.sort(key=lambda flow: -flow.bytes_in - flow.bytes_out)
    bytes_in, bytes_out, packets_in, packets_out = totals
    return LiveSample(
        made.host,
        made.start + (second + 1) * 1000,
        1_000,
        bytes_in,
        bytes_out,
        packets_in,
        packets_out,
        flows[:MOVERS],
    )


_STEPS: Final = ((HOUR, 8 * DAY), (10 * MINUTE, 26 * HOUR), (MINUTE, 65 * MINUTE), (5_000, 0))
"""Length of an interval, and how long before the end these stop."""


def history(begin: int, end: int) -> list[Interval]:
    """Intervals from ``begin`` to ``end`` without a hole: hours, then ten minutes for the last week (pages draw half
    hours), minutes for the last day, and 5 s for the last hour.
    """
    found = []
    time = begin + -begin % 5_000
    while time + 5_000 <= end:
        for length, until in _STEPS:
            if time % length == 0 and time + length <= end - until:
                found.append(Interval(time, length))
                time += length
                break
        else:
            found.append(Interval(time, 5_000))
            time += 5_000
    return found


def sums(batches: Sequence[FlowsObserved], into: Mapping[str, list[int]]) -> None:
    """Add the bytes in and out of batches to their hosts', as the pages count them: without loopback."""
    for one in batches:
        for record in one.records:
            if record.scope != Scope.LOOPBACK:
                into[one.host][0] += record.bytes_in
                into[one.host][1] += record.bytes_out

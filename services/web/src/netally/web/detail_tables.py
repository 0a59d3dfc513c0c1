"""Tables on the page of one application, domain or host: shares of its traffic, how names were found, its counters."""

from __future__ import annotations

from collections.abc import Sequence
from zoneinfo import ZoneInfo

import msgspec

from netally.contracts.domain_display import display_name
from netally.contracts.queries import (
    ApplicationHostsAnswer,
    BrowsersAnswer,
    ConservationAnswer,
    DomainsAnswer,
    HostAnswer,
    HostsAnswer,
    InterfaceConservation,
    SettingsState,
    SourceShare,
)
from netally.web.conservation import CAUSES
from netally.web.figures import NBSP, UNKNOWN, Unit, amount, amount_unit, count, in_unit, moment, percent, shares
from netally.web.tables import SOURCES, Item, Table, stored_name, table_of

ROWS = 10


def hosts_of_application(answer: ApplicationHostsAnswer, zone: ZoneInfo, now: int) -> Table:
    """The hosts that ran an application, largest first."""
    items = [
        Item(
            host.name,
            host.bytes_in,
            host.bytes_out,
            connections=count(host.connections),
            last_used=moment(host.last_used, zone, now, seconds=True),
            href=f"/hosts/{host.id}",
        )
        for host in answer.hosts
    ]
    total = (answer.total_bytes_in, answer.total_bytes_out)
    return table_of(items[:ROWS], [], "", total, len(items))


def hosts_with_traffic(answer: HostsAnswer) -> Table:
    """The hosts of an answer that moved something, largest first."""
    used = sorted(
        (host for host in answer.hosts if host.bytes_in or host.bytes_out),
        key=lambda host: (-host.bytes_in - host.bytes_out, host.name),
    )
    items = [Item(host.name, host.bytes_in, host.bytes_out, href=f"/hosts/{host.id}") for host in used]
    total = (sum(host.bytes_in for host in used), sum(host.bytes_out for host in used))
    return table_of(items[:ROWS], [], "", total, len(items))


def browsers_table(answer: BrowsersAnswer, zone: ZoneInfo, now: int) -> Table:
    """Each browser with its programs inside where there is more than one, and what no browser moved."""
    items = []
    for number, browser in enumerate(answer.browsers):
        inside = [
            Item(
                f"{app.name}{f' · {app.user}' if app.user else ''}",
                app.bytes_in,
                app.bytes_out,
                last_used=moment(app.last_used, zone, now, seconds=True),
                href=f"/applications/{app.id}",
            )
            for app in browser.applications
        ]
        items.append(
            Item(
                browser.name,
                browser.bytes_in,
                browser.bytes_out,
                last_used=moment(browser.last_used, zone, now, seconds=True),
                href=inside[0].href if len(inside) == 1 else "",
                mark=f"c{number + 1}" if number < 6 else "c0",
                inside=inside if len(inside) > 1 else [],
            )
        )
    others = [(answer.others_bytes_in, answer.others_bytes_out)]
    total = (answer.total_bytes_in, answer.total_bytes_out)
    return table_of(items, others if any(others[0]) else [], "no browser", total, len(items))


def names_beside(answer: DomainsAnswer, name: str, zone: ZoneInfo, now: int) -> Table | None:
    """The names that one owner registered, ``name`` among them; null when it is alone."""
    group = next((row for row in answer.domains if row.name), None)
    if group is None or group.subdomains_count < 2:
        return None
    items = [
        Item(
            display_name(one.name),
            one.bytes_in,
            one.bytes_out,
            stored=stored_name(one.name),
            last_used=moment(one.last_used, zone, now, seconds=True),
            href="" if one.name == name else f"/domains/{one.id}",
            note="this page" if one.name == name else "",
        )
        for one in group.subdomains[: ROWS + 5]
    ]
    return table_of(items, [], "", (group.bytes_in, group.bytes_out), group.subdomains_count)


class Found(msgspec.Struct, frozen=True):
    """How much was found in one way."""

    name: str
    mark: str
    amount: str
    share: str
    evidence: str
    wrong_when: str
    width: float
    x: float
    """Percent of the bar."""


class FoundTable(msgspec.Struct, frozen=True):
    unit: Unit
    rows: list[Found]
    total: str
    since: str
    """From when on it was looked up, where that is not the whole range."""


NAME_EVIDENCE = {
    "extension": ("Browser extension", "c2", "the tab said so", "never"),
    "tls_sni": ("TLS SNI", "c5", "ClientHello on the wire", "the name is the outer one (ECH)"),
    "quic_sni": ("QUIC SNI", "c8", "Initial packet decoded", "the name is the outer one (ECH)"),
    "http": ("HTTP Host", "c4", "request on the wire", "a proxy was asked"),
    "dns": ("DNS", "c3", "answer seen on this host before", "two names share an address"),
    "dns_query": ("DNS query", "c1", "the question itself", "never"),
    "ech_outer": ("ECH, outer name", "c7", "ClientHello, encrypted inside", "always: the inner name is hidden"),
    "none": ("no name", "bare", "nothing told the name", ""),
}
PROCESS_EVIDENCE = {
    "ebpf": ("eBPF", "c3", "the kernel named the socket's process", "never"),
    "sock_diag": ("Socket tables", "c5", "the kernel's list of sockets", "the process ended at once"),
    "proc": ("/proc", "c2", "files of the process", "the process ended at once"),
    "none": ("no process", "bare", "nothing told the process", ""),
}


def found_table(
    rows: Sequence[SourceShare],
    since: int | None,
    start: int,
    evidence: dict[str, tuple[str, str, str, str]],
    zone: ZoneInfo,
    now: int,
) -> FoundTable | None:
    """How names or processes were found; null when that is not kept of the range."""
    if since is None or not rows:
        return None
    total = sum(row.bytes for row in rows)
    unit = amount_unit([total])
    found, x = [], 0.0
    for row, share in zip(rows, shares([row.bytes for row in rows]), strict=True):
        name, mark, how, wrong = evidence.get(row.source, (SOURCES.get(row.source, row.source), "c0", "", ""))
        width = row.bytes / (total or 1) * 100
        found.append(Found(name, mark, in_unit(row.bytes, unit), share, how, wrong, round(width, 2), round(x, 2)))
        x += width
    late = since > start
    return FoundTable(unit, found, in_unit(total, unit), moment(since, zone, now) if late else "")


class SettingRow(msgspec.Struct, frozen=True):
    name: str
    desired: str
    actual: str
    follows: bool


def setting_rows(settings: SettingsState, interval: int | None) -> list[SettingRow]:
    """What a host shall do beside what it says it does."""

    def every(seconds: int | None) -> str:
        return f"every {seconds}{NBSP}s" if seconds is not None else "as the host was started"

    def capture(paused: bool | None) -> str:
        return UNKNOWN if paused is None else "paused" if paused else "capturing"

    if settings.desired_version is None:
        asked = "the bus did not tell"
        return [
            SettingRow("Capture", asked, capture(settings.actual_paused), True),
            SettingRow("Interval", asked, every(settings.actual_interval or interval), True),
        ]
    return [
        SettingRow(
            "Capture",
            capture(settings.desired_paused),
            capture(settings.actual_paused),
            settings.desired_paused == settings.actual_paused,
        ),
        SettingRow(
            "Interval",
            every(settings.desired_interval),
            every(settings.actual_interval),
            settings.desired_interval in (None, settings.actual_interval),
        ),
        SettingRow(
            "Version",
            count(settings.desired_version),
            UNKNOWN if settings.actual_version is None else count(settings.actual_version),
            settings.actual_version is not None and settings.actual_version >= settings.desired_version,
        ),
    ]


class CauseRow(msgspec.Struct, frozen=True):
    """A cause, and its bytes on each interface."""

    name: str
    about: str
    lost: bool
    cells: list[str]
    total_in: str
    total_out: str
    share: str


class Counters(msgspec.Struct, frozen=True):
    """Where the bytes of each interface's counter went: a column an interface, a row a cause."""

    unit: Unit
    interfaces: list[str]
    rows: list[CauseRow]
    sums: list[str]
    total_in: str
    total_out: str


def counters(answer: ConservationAnswer) -> Counters:
    """Largest causes first, those with nothing in them left out. A column is in + out of an interface; totals are of
    all of them but loopback.
    """
    interfaces = sorted(answer.interfaces, key=lambda one: (-one.counter_in - one.counter_out, one.interface))
    total = answer.total_in + answer.total_out
    unit = amount_unit([one.counter_in + one.counter_out for one in interfaces] + [total])

    def on(interface: InterfaceConservation, cause: str) -> int:
        return sum(one.bytes_in + one.bytes_out for one in interface.causes if one.cause == cause)

    rows = []
    for cause in sorted(answer.causes, key=lambda one: -one.bytes_in - one.bytes_out):
        cells = [on(one, cause.cause) for one in interfaces]
        if not any(cells) and not cause.bytes_in and not cause.bytes_out:
            continue
        rows.append(
            CauseRow(
                cause.cause.replace("_", " "),
                CAUSES.get(cause.cause, ("", ""))[1],
                cause.cause.startswith("lost"),
                [in_unit(cell, unit) for cell in cells],
                in_unit(cause.bytes_in, unit),
                in_unit(cause.bytes_out, unit),
                percent((cause.bytes_in + cause.bytes_out) / total).removesuffix(f"{NBSP}%") if total else UNKNOWN,
            )
        )
    return Counters(
        unit,
        [one.interface for one in interfaces],
        rows,
        [in_unit(one.counter_in + one.counter_out, unit) for one in interfaces],
        in_unit(answer.total_in, unit),
        in_unit(answer.total_out, unit),
    )


class InterfaceLine(msgspec.Struct, frozen=True):
    name: str
    addresses: str
    captured: bool
    speed: str


def interface_lines(answer: HostAnswer) -> list[InterfaceLine]:
    """Captured ones first."""
    return [
        InterfaceLine(
            one.name,
            ", ".join(one.addresses) or UNKNOWN,
            one.captured,
            f"{count(one.speed_mbit)}{NBSP}Mbit/s" if one.speed_mbit else UNKNOWN,
        )
        for one in sorted(answer.interfaces, key=lambda one: (not one.captured, one.name))
    ]


def waiting_words(answer: HostAnswer) -> str:
    """What of a host's measurements has not arrived: ``nothing`` or ``12 batches, 3.1 MB``."""
    if not answer.host.spool_batches:
        return "nothing"
    batches = answer.host.spool_batches
    return f"{count(batches)} batch{'es' if batches != 1 else ''}, {amount(answer.spool_bytes)}"

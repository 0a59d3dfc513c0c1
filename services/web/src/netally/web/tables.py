"""Rows of the tables: one unit a column, bars scaled to the largest row, shares that add up to 100.0."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import msgspec

from netally.contracts.domain_display import display_name
from netally.contracts.queries import (
    ApplicationsAnswer,
    DomainRow,
    DomainsAnswer,
    DomainUser,
    HostBandwidth,
    HostRow,
    Meta,
)
from netally.web.figures import (
    NBSP,
    Unit,
    amount_unit,
    bound,
    count,
    duration,
    in_unit,
    moment,
    percent,
    rate_unit,
    shares,
)

CLOCK_TOLERANCE_MS = 5_000
"""What a clock may be off before it is worth a word: the aggregator warns beyond it, too."""

SOURCES = {
    "extension": "browser",
    "tls_sni": "TLS",
    "quic_sni": "QUIC",
    "http": "HTTP",
    "dns": "DNS",
    "dns_query": "DNS query",
    "ech_outer": "ECH",
}
"""How a name was found, in words."""


class Row(msgspec.Struct, frozen=True):
    """A row of a table of applications or domains."""

    name: str
    rest: bool
    """An aggregate: no bar, soft."""
    stored: str
    """The form in which a domain is stored and asked for, where it is not the one that people read; else empty."""
    note: str
    """Second line at narrow widths and title of the first cell: executable, or who used a domain."""
    tags: list[str]
    bar_in: float
    bar_out: float
    bytes_in: str
    bytes_out: str
    share: str
    related: str
    """Domains of an application; applications of a domain."""
    hosts: str
    connections: str
    last_used: str
    href: str = ""
    """Path of its own page; empty where there is none."""
    level: str = ""
    """CSS class of a row inside another: ``l1``."""
    mark: str = ""
    """CSS class of its colour."""


class Table(msgspec.Struct, frozen=True):
    unit: Unit
    rows: list[Row]
    total_in: str
    total_out: str
    names: int
    """How many named things there are in the range, shown or not."""


class Item(msgspec.Struct):
    """A row before the column's unit is known. ``inside`` are rows that are part of it."""

    name: str
    bytes_in: int
    bytes_out: int
    rest: bool = False
    note: str = ""
    tags: list[str] = msgspec.field(default_factory=list)
    related: str = ""
    hosts: str = ""
    connections: str = ""
    last_used: str = ""
    stored: str = ""
    href: str = ""
    mark: str = ""
    inside: list[Item] = msgspec.field(default_factory=list)


def applications_table(answer: ApplicationsAnswer, zone: ZoneInfo, now: int, *, shown: slice) -> Table:
    """The applications at ``shown`` of the answer's named ones, the others, traffic with no known process."""
    named = [
        Item(
            row.name,
            row.bytes_in,
            row.bytes_out,
            note=row.executable,
            tags=[row.user] if row.user else [],
            related="" if row.domains is None else count(row.domains),
            hosts=count(row.hosts),
            connections=count(row.connections),
            last_used=moment(row.last_used, zone, now, seconds=True),
            href=f"/applications/{row.id}",
        )
        for row in answer.applications
        if row.id and row.name
    ]
    unnamed = [(row.bytes_in, row.bytes_out) for row in answer.applications if not (row.id and row.name)]
    total = (answer.total_bytes_in, answer.total_bytes_out)
    return table_of(named[shown], unnamed, "no process", total, len(named) + answer.others_count)


def domains_table(answer: DomainsAnswer, zone: ZoneInfo, now: int, *, shown: slice) -> Table:
    """The domains at ``shown`` with the applications that used them, the others, traffic with no known name."""
    named = [
        Item(
            display_name(row.name),
            row.bytes_in,
            row.bytes_out,
            stored=stored_name(row.name),
            note=users_words(row.applications),
            related=users_words(row.applications),
            tags=[SOURCES.get(source, source) for source in row.sources],
            hosts=count(row.hosts),
            connections=count(row.connections),
            last_used=moment(row.last_used, zone, now, seconds=True),
            href=f"/domains/{row.id}",
        )
        for row in answer.domains
        if row.id and row.name
    ]
    unnamed = [(row.bytes_in, row.bytes_out) for row in answer.domains if not (row.id and row.name)]
    total = (answer.total_bytes_in, answer.total_bytes_out)
    return table_of(named[shown], unnamed, "no name", total, len(named) + answer.others_count)


def users_words(users: Sequence[DomainUser], *, most: int = 2) -> str:
    """``Firefox, curl + 2``: a browser by its name, whatever its program is called; a process that is not known is
    called so.
    """
    names = list(dict.fromkeys(user.browser or user.name or "no process" for user in users))
    more = f" +{NBSP}{len(names) - most}" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def domain_tree(answer: DomainsAnswer, zone: ZoneInfo, now: int, *, inner: int = 4) -> Table:
    """The registrable domains of an answer, each with its largest ``inner`` domains below it and the sum of the rest.
    What holds one domain only is that domain.
    """
    named = [_branch(row, zone, now, inner) for row in answer.domains if row.name]
    unnamed = [(row.bytes_in, row.bytes_out) for row in answer.domains if not row.name]
    total = (answer.total_bytes_in, answer.total_bytes_out)
    return table_of(named, unnamed, "no name", total, len(named) + answer.others_count)


def _branch(row: DomainRow, zone: ZoneInfo, now: int, inner: int) -> Item:
    users = users_words(row.applications)
    item = Item(
        display_name(row.name),
        row.bytes_in,
        row.bytes_out,
        note=users,
        related=users,
        tags=[SOURCES.get(source, source) for source in row.sources],
        hosts=count(row.hosts),
        connections=count(row.connections),
        last_used=moment(row.last_used, zone, now, seconds=True),
        stored=stored_name(row.name),
        href=under(row.name),
    )
    if row.subdomains_count <= 1:
        if row.subdomains:
            item.name = display_name(row.subdomains[0].name)
            item.stored = stored_name(row.subdomains[0].name)
        item.href = f"/domains/{row.id}"
        return item
    shown = row.subdomains[:inner]
    item.inside = [
        Item(
            "itself" if one.name == row.name else display_name(one.name.removesuffix(f".{row.name}")),
            one.bytes_in,
            one.bytes_out,
            last_used=moment(one.last_used, zone, now, seconds=True),
            href=f"/domains/{one.id}",
        )
        for one in shown
    ]
    rest = row.subdomains_count - len(shown)
    if rest:
        item.inside.append(
            Item(
                f"{count(rest)} more",
                row.bytes_in - sum(one.bytes_in for one in shown),
                row.bytes_out - sum(one.bytes_out for one in shown),
                rest=True,
                href=under(row.name),
            )
        )
    return item


def stored_name(name: str) -> str:
    """The form in which a domain is stored and asked for, where it is not the one that people read; else empty."""
    return name if display_name(name) != name else ""


def under(name: str) -> str:
    """Where a registrable domain is shown with all that is below it."""
    condition = f"domain under {quoted(name)}"
    return f"/domains?{urlencode({'view': 'flat', 'filter': condition})}"


def quoted(name: str) -> str:
    """A name as a value of the filter language."""
    plain = name and all(char.isalnum() or char in "._-:/@+" for char in name)
    if plain and name.lower() not in ("and", "or", "not", "in", "under", "none"):
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def table_of(
    named: Sequence[Item],
    unnamed: Sequence[tuple[int, int]],
    unnamed_words: str,
    total: tuple[int, int],
    names: int,
) -> Table:
    """Rows that add up to ``total``: what is neither named here nor unnamed is the others. ``names`` is how many
    named things there are in all.
    """
    items = list(named)
    unnamed_in, unnamed_out = sum(pair[0] for pair in unnamed), sum(pair[1] for pair in unnamed)
    others = names - len(named)
    if others > 0:
        rest_in = total[0] - unnamed_in - sum(item.bytes_in for item in named)
        rest_out = total[1] - unnamed_out - sum(item.bytes_out for item in named)
        items.append(Item(f"{count(others)} other{'s' if others > 1 else ''}", rest_in, rest_out, rest=True))
    if unnamed:
        items.append(Item(unnamed_words, unnamed_in, unnamed_out, rest=True))
    total_in, total_out = sum(item.bytes_in for item in items), sum(item.bytes_out for item in items)
    unit = amount_unit([total_in, total_out])
    largest = max((item.bytes_in + item.bytes_out for item in items if not item.rest), default=0) or 1
    parts = shares([item.bytes_in + item.bytes_out for item in items])
    whole = (total_in + total_out) or 1
    rows = []
    for item, share in zip(items, parts, strict=True):
        rows.append(_row(item, unit, largest, share))
        rows += [
            _row(each, unit, largest, _share((each.bytes_in + each.bytes_out) / whole), "l1") for each in item.inside
        ]
    return Table(unit, rows, in_unit(total_in, unit), in_unit(total_out, unit), names)


def _share(share: float) -> str:
    return "<0.1" if 0 < share < 0.0005 else f"{share * 100:.1f}"


def _row(item: Item, unit: Unit, largest: int, share: str, level: str = "") -> Row:
    return Row(
        item.name,
        item.rest,
        item.stored,
        item.note,
        item.tags,
        0.0 if item.rest else round(item.bytes_in / largest * 100, 1),
        0.0 if item.rest else round(item.bytes_out / largest * 100, 1),
        in_unit(item.bytes_in, unit),
        in_unit(item.bytes_out, unit),
        share,
        item.related,
        item.hosts,
        item.connections,
        item.last_used,
        item.href,
        level,
        item.mark,
    )


class HostCell(msgspec.Struct, frozen=True):
    """A host in the strip of the overview and a row of the list of hosts."""

    name: str
    state: str
    """CSS class of the mark; empty for one that reports."""
    words: str
    """Its state, in a word."""
    line: str
    """What it moves now, or since when it does not."""
    bar_in: float
    bar_out: float
    mode: str
    mode_reason: str
    complete_until: str
    version: str
    interfaces: str
    bytes_in: str
    bytes_out: str
    lost: str
    """What did not arrive, in words; empty when nothing is missing."""
    href: str = ""


class HostList(msgspec.Struct, frozen=True):
    cells: list[HostCell]
    states: list[tuple[str, str]]
    """(mark, ``21 reporting``) of each state that occurs."""
    rates: Unit
    amounts: Unit


STATES = {"reporting": "", "paused": "paused", "silent": "silent", "never": "silent"}
WORST_FIRST = ("silent", "never", "paused", "reporting")


def host_list(
    hosts: Sequence[HostRow], live: Sequence[HostBandwidth], zone: ZoneInfo, now: int, *, ordered: bool = False
) -> HostList:
    """Hosts by name, exceptions first; as they come when they are ``ordered`` already."""
    rates_by_host = {host.host: host for host in live}
    rates = rate_unit(value for host in live for value in (host.bytes_in, host.bytes_out))
    amounts = amount_unit(value for host in hosts for value in (host.bytes_in, host.bytes_out))
    largest = max((value for host in live for value in (host.bytes_in, host.bytes_out) if value), default=1.0)
    cells = []
    for host in hosts if ordered else sorted(hosts, key=lambda host: (_rank(host.state), host.name)):
        now_at = rates_by_host.get(host.name)
        rate_in = now_at.bytes_in if now_at else None
        rate_out = now_at.bytes_out if now_at else None
        if host.state == "silent":
            line = f"silent since {moment(host.reported_at, zone, now)}"
        elif host.state == "never":
            line = "has never reported"
        elif host.state == "paused":
            line = "paused"
        elif rate_in is None and rate_out is None:
            line = "no live figures"
        else:
            line = f"{in_unit(rate_in, rates)} in · {in_unit(rate_out, rates)} out"
        cells.append(
            HostCell(
                host.name,
                STATES.get(host.state, "silent"),
                "never reported" if host.state == "never" else host.state,
                line,
                round((rate_in or 0) / largest * 100, 1),
                round((rate_out or 0) / largest * 100, 1),
                host.mode,
                host.mode_reason,
                moment(host.complete_until, zone, now, seconds=True),
                host.version,
                ", ".join(host.interfaces),
                in_unit(host.bytes_in, amounts),
                in_unit(host.bytes_out, amounts),
                lost_words(host),
                f"/hosts/{host.id}",
            )
        )
    present = [state for state in reversed(WORST_FIRST) if any(host.state == state for host in hosts)]
    words = {"never": "never reported"}
    states = [
        (STATES[state], f"{sum(host.state == state for host in hosts)} {words.get(state, state)}") for state in present
    ]
    return HostList(cells, states, rates, amounts)


def _rank(state: str) -> int:
    return WORST_FIRST.index(state) if state in WORST_FIRST else 0


def lost_words(host: HostRow) -> str:
    """``2 batches lost, 1 packet dropped, clock 90 s ahead``; empty when nothing is missing or wrong."""
    refused = sum(one.rows for one in host.refused if one.reason != "future")
    counts = ((host.lost_batches, "batch", "es", "lost"), (host.ring_drops, "packet", "s", "dropped"))
    waiting = ((refused, "row", "s", "refused"), (host.spool_batches, "batch", "es", "waiting"))
    words = [
        f"{count(number)} {noun}{plural if number != 1 else ''} {fate}"
        for number, noun, plural, fate in (*counts, *waiting)
        if number
    ]
    offset = host.clock_offset_ms or 0
    if abs(offset) > CLOCK_TOLERANCE_MS:
        words.append(f"clock {duration(abs(offset) / 1000)} {'ahead' if offset > 0 else 'behind'}")
    return ", ".join(words)


class Coverage(msgspec.Struct, frozen=True):
    """The line under the title, and what it makes of the totals."""

    tier: str
    complete_until: str
    reporting: str
    measured: str
    read_in: str
    bound: str
    missing: list[str]
    """Hosts that are silent."""
    stale: str
    """How old the figures are, in words; empty when they are fresh."""


TIERS = {"raw": "raw", "1m": "1 min", "1h": "1 h", "1d": "1 d", "live": "live"}
STALE_MS = 30_000


def coverage(meta: Meta, zone: ZoneInfo, now: int, *, moving: bool) -> Coverage:
    """Coverage of an answer. Only figures of a moving range can be stale."""
    hosts = (
        f"{count(meta.hosts_reported)} of {count(meta.hosts_expected)} host{'s' if meta.hosts_expected != 1 else ''}"
    )
    age = 0 if meta.complete_until is None else now - meta.complete_until
    stale = ""
    if moving and age > STALE_MS and meta.complete_until is not None:
        stale = f"Figures of {moment(meta.complete_until, zone, now, seconds=True)}, {duration(age / 1000)} old."
    return Coverage(
        tier=TIERS.get(meta.tier, meta.tier),
        complete_until=moment(meta.complete_until, zone, now, seconds=True),
        reporting=hosts,
        measured=percent(meta.measured_share),
        read_in=f"{count(meta.read_ms)}{NBSP}ms",
        bound=bound(meta.measured_share),
        missing=meta.hosts_missing,
        stale=stale,
    )

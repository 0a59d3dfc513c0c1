"""Traffic grouped by one or two dimensions: as a chart, a table and CSV."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Sequence
from zoneinfo import ZoneInfo

import msgspec

from netally.contracts.domain_display import display_name
from netally.contracts.queries import BreakdownAnswer, BreakdownRow, GroupValue, TimelineAnswer, TimelineSeries
from netally.web.figures import Unit, amount_unit, count, in_unit, iso, moment, shares
from netally.web.filter_box import joined
from netally.web.tables import quoted, stored_name

DIMENSIONS = {
    "app": "Application",
    "domain": "Domain",
    "host": "Host",
    "site": "Site",
    "protocol": "Protocol",
    "port": "Port",
    "scope": "Scope",
    "role": "Role",
}
_UNNAMED = {"app": "no process", "domain": "no name", "host": "no host", "site": "no site", "port": "none of its own"}
_PAGES = {"app": "/applications/", "domain": "/domains/", "host": "/hosts/"}
_QUOTED = ("app", "domain", "host", "site")


class GroupCell(msgspec.Struct, frozen=True):
    """A value of a dimension in a row."""

    name: str
    note: str
    href: str
    """Path of its own page; empty where there is none."""


class GroupRow(msgspec.Struct, frozen=True):
    cells: list[GroupCell]
    rest: bool
    bar_in: float
    bar_out: float
    bytes_in: str
    bytes_out: str
    share: str
    packets: str
    connections: str
    last_used: str
    only: str
    """Filter of just this group, within the page's; empty for a rest."""
    without: str
    """Filter of everything but this group."""


class Groups(msgspec.Struct, frozen=True):
    unit: Unit
    rows: list[GroupRow]
    names: int
    total_in: str
    total_out: str


def name_of(value: GroupValue) -> str:
    name = value.name if value.id or value.by not in _UNNAMED else ""
    name = display_name(name) if value.by in ("domain", "site") else name
    return name or _UNNAMED.get(value.by, "unknown")


def condition(value: GroupValue) -> str:
    """The filter that holds for this value alone."""
    if value.by == "port":
        return f"port = {value.id}"
    if value.by in _QUOTED:
        return f"{value.by} = {quoted(value.name) if value.name else 'none'}"
    return f"{value.by} = {value.name}"


def groups(answer: BreakdownAnswer, within: str, zone: ZoneInfo, now: int) -> Groups:
    """Rows of a page of an answer that add up to its totals; ``within`` is the page's filter."""
    unit = amount_unit([answer.total_bytes_in, answer.total_bytes_out])
    largest = max((row.bytes_in + row.bytes_out for row in answer.rows), default=0) or 1
    others = (answer.others_bytes_in, answer.others_bytes_out)
    parts = [row.bytes_in + row.bytes_out for row in answer.rows] + ([sum(others)] if answer.others_count else [])
    shown = shares(parts)
    told = _told_apart([value for row in answer.rows for value in row.values])
    rows = [
        _row(row, share, unit, largest, within, told, zone, now) for row, share in zip(answer.rows, shown, strict=False)
    ]
    if answer.others_count:
        words = f"{count(answer.others_count)} other{'s' if answer.others_count > 1 else ''}"
        cells = [GroupCell(words, "", ""), *(GroupCell("", "", "") for _ in answer.by[1:])]
        size_in, size_out = (in_unit(value, unit) for value in others)
        rows.append(GroupRow(cells, True, 0.0, 0.0, size_in, size_out, shown[-1], "", "", "", "", ""))
    return Groups(
        unit,
        rows,
        len(answer.rows) + answer.others_count,
        in_unit(answer.total_bytes_in, unit),
        in_unit(answer.total_bytes_out, unit),
    )


def _told_apart(values: Sequence[GroupValue]) -> dict[GroupValue, str]:
    """Of applications that share a name: the program where programs differ, the user where users do."""
    programs, users = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    for value in values:
        if value.by == "app":
            programs[value.name].add(value.executable)
            users[value.name].add(value.user)
    return {
        value: ", ".join(
            part
            for part, differs in ((value.executable, programs[value.name]), (value.user, users[value.name]))
            if part and len(differs) > 1
        )
        for value in values
        if value.by == "app"
    }


def _row(
    row: BreakdownRow,
    share: str,
    unit: Unit,
    largest: int,
    within: str,
    told: dict[GroupValue, str],
    zone: ZoneInfo,
    now: int,
) -> GroupRow:
    """``told`` says which one it is, of values that share their name."""
    own = " and ".join(condition(value) for value in row.values)
    cells = [
        GroupCell(
            name_of(value),
            stored_name(value.name) if value.by == "domain" else told.get(value, ""),
            f"{_PAGES[value.by]}{value.id}" if value.id and value.by in _PAGES else "",
        )
        for value in row.values
    ]
    return GroupRow(
        cells,
        False,
        round(row.bytes_in / largest * 100, 1),
        round(row.bytes_out / largest * 100, 1),
        in_unit(row.bytes_in, unit),
        in_unit(row.bytes_out, unit),
        share,
        count(row.packets_in + row.packets_out),
        count(row.connections),
        moment(row.last_used, zone, now, seconds=True),
        joined(within, own),
        joined(within, f"not ({own})"),
    )


def group_timeline(answer: BreakdownAnswer) -> TimelineAnswer:
    """The series of an answer as bands of a timeline: the largest groups, then all else."""
    series = []
    for number, one in enumerate(answer.series, 1):
        if not one.values:
            series.append(TimelineSeries("others", one.points))
            continue
        unknown = len(one.values) == 1 and not one.values[0].id and one.values[0].by in _UNNAMED
        name = " · ".join(name_of(value) for value in one.values)
        series.append(TimelineSeries(name, one.points, -number if unknown else number))
    return TimelineAnswer(answer.bucket_seconds, series, answer.meta)


SUMS = ("bytes_in", "bytes_out", "packets_in", "packets_out", "connections")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_text(by: list[str], rows: Iterable[BreakdownRow], zone: ZoneInfo) -> str:
    """RFC 4180 with a header; amounts in bytes, times in ISO 8601. A spreadsheet takes no name for a formula."""
    out = io.StringIO()
    writer = csv.writer(out)
    heads = [column for name in by for column in ((name, "executable", "user") if name == "app" else (name,))]
    writer.writerow([*heads, *SUMS, "last_used"])
    for row in rows:
        names = []
        for value in row.values:
            names.append(_neutral(value.name if value.id or value.by not in _QUOTED else ""))
            if value.by == "app":
                names += [_neutral(value.executable), _neutral(value.user)]
        writer.writerow([*names, *(getattr(row, name) for name in SUMS), iso(row.last_used, zone)])
    return out.getvalue()


def _neutral(name: str) -> str:
    return f"'{name}" if name.startswith(_FORMULA) else name

from __future__ import annotations

import csv
import io
from zoneinfo import ZoneInfo

from netally.contracts.queries import (
    BreakdownAnswer,
    BreakdownRow,
    BreakdownSeries,
    GroupValue,
    Meta,
    TimelinePoint,
)
from netally.web.explore_view import condition, csv_text, group_timeline, groups

BERLIN = ZoneInfo("Europe/Berlin")
NOW = 1_795_305_600_000
META = Meta("1h", NOW - 86_400_000, NOW, 1, 1, [], NOW, 1.0, 3)
POINTS = [TimelinePoint(NOW - 3_600_000, 5, 5, 1.0)]


def app(number: int, name: str, path: str = "/usr/bin/x") -> GroupValue:
    return GroupValue("app", number, name, path if number else "", "ada" if number else "")


def row(*values: GroupValue, size: int = 1000) -> BreakdownRow:
    return BreakdownRow(list(values), size, size // 2, 7, 8, 3, NOW - 61_000)


def answer(*rows: BreakdownRow, others: int = 0) -> BreakdownAnswer:
    sums = sum(one.bytes_in for one in rows), sum(one.bytes_out for one in rows)
    series = [*(BreakdownSeries(one.values, POINTS) for one in rows), BreakdownSeries([], POINTS)]
    by = [value.by for value in rows[0].values]
    return BreakdownAnswer(by, list(rows), others, others * 10, 0, sums[0] + others * 10, sums[1], 3600, series, META)


HOST = GroupValue("host", 4, "nas 01")


def test_each_row_leads_to_just_itself_and_to_all_but_itself() -> None:
    table = groups(answer(row(app(2, "curl"), HOST)), "port = 443 or port = 80", BERLIN, NOW)
    (found,) = table.rows
    assert found.only == '(port = 443 or port = 80) and app = curl and host = "nas 01"'
    assert found.without == '(port = 443 or port = 80) and not (app = curl and host = "nas 01")'
    assert [cell.href for cell in found.cells] == ["/applications/2", "/hosts/4"]


def test_what_is_not_known_has_words_and_a_filter() -> None:
    table = groups(answer(row(app(0, ""))), "", BERLIN, NOW)
    assert (table.rows[0].cells[0].name, table.rows[0].cells[0].href, table.rows[0].only) == (
        "no process",
        "",
        "app = none",
    )
    assert condition(GroupValue("port", 0, "0")) == "port = 0"
    assert condition(GroupValue("protocol", 6, "tcp")) == "protocol = tcp"


def test_rows_and_others_make_the_total() -> None:
    table = groups(answer(row(app(1, "a"), size=900), row(app(2, "b"), size=100), others=50), "", BERLIN, NOW)
    assert [one.share for one in table.rows] == ["67.5", "7.5", "25.0"]
    assert (table.rows[2].cells[0].name, table.rows[2].rest, table.names) == ("50 others", True, 52)
    assert table.total_in == "1.5"


def test_programs_of_one_name_say_which_they_are() -> None:
    rows = groups(
        answer(row(app(1, "sh", "/bin/sh")), row(app(2, "sh", "/opt/sh")), row(app(3, "vi"))), "", BERLIN, NOW
    ).rows
    assert [one.cells[0].note for one in rows] == ["/bin/sh", "/opt/sh", ""]


def test_bands_of_the_chart_are_the_first_groups_and_all_else() -> None:
    line = group_timeline(answer(row(app(2, "curl"), HOST), row(app(0, ""), HOST)))
    assert [one.name for one in line.series] == ["curl · nas 01", "no process · nas 01", "others"]
    assert [one.id for one in line.series] == [1, 2, None]


def test_csv_has_bytes_names_and_no_formulas() -> None:
    rows = [row(app(2, "=cmd|' /C calc'!A0"), HOST), row(app(0, ""), HOST)]
    found = list(csv.DictReader(io.StringIO(csv_text(["app", "host"], rows, BERLIN))))
    assert found[0] == {
        "app": "'=cmd|' /C calc'!A0", "executable": "/usr/bin/x", "user": "ada", "host": "nas 01", "bytes_in": "1000",
        "bytes_out": "500", "packets_in": "7", "packets_out": "8", "connections": "3",
        "last_used": "2026-11-22T00:58:59+01:00",
    }  # fmt: skip
    assert (found[1]["app"], found[1]["executable"]) == ("", "")


def test_what_differs_tells_programs_of_one_name_apart() -> None:
    ada, ben = app(2, "firefox"), GroupValue("app", 3, "firefox", "/usr/bin/x", "ben")
    table = groups(answer(row(ada), row(ben, size=900), row(app(4, "curl"), size=800)), "", BERLIN, NOW)
    assert [found.cells[0].note for found in table.rows] == ["ada", "ben", ""]

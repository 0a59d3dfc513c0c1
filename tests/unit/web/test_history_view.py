from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
import pytest

from netally.contracts.queries import (
    Change,
    CompareAnswer,
    HeatmapAnswer,
    HeatmapCell,
    HistoryAnswer,
    Meta,
    TimelinePoint,
    TimelineSeries,
)
from netally.web.history_view import comparison, heat, hours_of_week, period_words, periods, signed

BERLIN = ZoneInfo("Europe/Berlin")
HOUR, DAY = 3_600_000, 86_400_000


def at(text: str, zone: ZoneInfo = BERLIN) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


def meta(start: int, end: int) -> Meta:
    return Meta("1h", start, end, 1, 1, [], end, 1.0, 3)


MONDAY = at("2026-11-02T00:00")


def test_a_clock_that_is_turned_back_has_an_hour_twice() -> None:
    counts = hours_of_week(at("2026-10-19T00:00"), at("2026-11-02T00:00"), BERLIN)
    assert counts[7, 2] == 3  # Sunday 25 October 2026
    assert counts[7, 3] == counts[1, 0] == 2
    assert sum(counts.values()) == 14 * 24 + 1


def test_hours_of_a_zone_with_half_hours() -> None:
    kolkata = ZoneInfo("Asia/Kolkata")
    counts = hours_of_week(at("2026-11-02T00:00", kolkata), at("2026-11-09T00:00", kolkata), kolkata)
    assert set(counts.values()) == {1.0}
    assert len(counts) == 168


def test_heat_is_the_mean_of_what_was_measured() -> None:
    cells = [
        HeatmapCell(day, hour, 0, 0, 1.0)
        for day in range(1, 8)
        for hour in range(24)
        if (day, hour) not in ((1, 9), (2, 9), (3, 9))
    ]
    # 12 GB in two Mondays; 6 GB in half of the time; never measured.
    cells += [
        HeatmapCell(1, 9, 8 * 10**9, 4 * 10**9, 1.0),
        HeatmapCell(2, 9, 6 * 10**9, 0, 0.5),
        HeatmapCell(3, 9, None, None, 0.0),
    ]
    found = heat(HeatmapAnswer(cells, meta(MONDAY, MONDAY + 14 * DAY)), BERLIN, MONDAY + 30 * DAY)
    assert [found.rows[day].cells[9].figure for day in range(3)] == ["6.0", "6.0", "–"]
    assert [found.rows[day].cells[9].mark for day in range(3)] == ["h6", "h6", "gap"]
    assert found.rows[0].cells[8].mark == "h1"
    assert found.summary.startswith("Highest Mon\u00a009:00–10:00 with 6.0\u00a0GB, lowest")
    assert (found.legend[0], found.legend[-1]) == (("h1", "under 1.0"), ("h6", "5.0 and more"))


def months(sizes: list[int | None], end: str = "2026-12-01T00:00") -> HistoryAnswer:
    first = 11 - len(sizes) + 1
    starts = [at(f"2026-{first + number:02}-01T00:00") for number in range(len(sizes))]
    points = [
        TimelinePoint(start, size, None if size is None else size // 2, 0.0 if size is None else 1.0)
        for start, size in zip(starts, sizes, strict=True)
    ]
    return HistoryAnswer("month", starts, [TimelineSeries("all", points)], meta(starts[0], at(end)))


def test_months_as_bars_with_the_year_before() -> None:
    now = at("2026-11-20T12:00")
    found = periods(months([4 * 10**12, None, 8 * 10**12, 2 * 10**12]), months([10**12, 2 * 10**12]), BERLIN, now)
    assert [bar.mark for bar in found.bars] == ["whole", "gap", "whole", "part"]
    assert found.bars[2].height_in == pytest.approx(2 * found.bars[0].height_in, abs=0.2)
    assert found.bars[2].height_in == pytest.approx(2 * found.bars[2].height_out, abs=0.2)
    assert len(found.outlines) == 2
    rows = [(row.name, row.bytes_in, row.before, row.change, row.coverage) for row in found.rows]
    assert rows == [
        ("Aug\u00a02026", "4.0", "–", "–", "whole"),
        ("Sep\u00a02026", "–", "–", "–", "not measured"),
        ("Oct\u00a02026", "8.0", "1.5", "+700\u00a0%", "whole"),
        ("Nov\u00a02026", "2.0", "3.0", "–", "not over yet"),
    ]
    assert found.summary == "Highest month: Oct\u00a02026 with 12.0\u00a0TB. 1 month not measured."
    assert (found.total_in, found.total_out) == ("14.0", "7.0")


def test_bars_stay_inside_whichever_way_is_larger() -> None:
    for out in (0, 1, 50):
        points = [TimelinePoint(MONDAY + n * DAY, 10**9 * (n + 1), 10**9 * out * n, 1.0) for n in range(5)]
        starts = [point.time for point in points]
        answer = HistoryAnswer("day", starts, [TimelineSeries("all", points)], meta(MONDAY, MONDAY + 5 * DAY))
        found = periods(answer, None, BERLIN, MONDAY + 9 * DAY)
        assert all(bar.height_in <= found.axis + 0.1 for bar in found.bars)
        assert all(bar.height_out <= 220 - found.axis + 0.1 for bar in found.bars)
        assert all(0 <= y <= 220 for y, _ in found.scale)


def test_nothing_measured_is_said() -> None:
    found = periods(months([None, None]), None, BERLIN, at("2026-12-20T12:00"))
    assert (found.summary, found.total_in) == ("No month of this range was measured.", "–")


def test_periods_in_words() -> None:
    assert period_words("day", MONDAY, BERLIN) == "Mon\u00a02\u00a0Nov\u00a02026"
    assert period_words("week", MONDAY, BERLIN) == "2\u00a0Nov – 8\u00a0Nov\u00a02026"


GB = 10**9


def compared(*changes: tuple[int, str, int, int], by: str = "app") -> CompareAnswer:
    rows = [Change(number, name, now * GB, before * GB, (now - before) * GB) for number, name, now, before in changes]
    total, before = sum(row.bytes for row in rows), sum(row.before_bytes for row in rows)
    return CompareAnswer(by, rows, len(rows), total, before, meta(0, 1), meta(0, 1))


def test_changes_in_words() -> None:
    answer = compared(
        (1, "restic", 120, 40), (2, "teams", 70, 0), (3, "zoom", 20, 80), (4, "gone", 0, 50), (5, "nginx", 60, 40),
        (6, "apt", 400, 30), (0, "", 3, 3),
    )  # fmt: skip
    inner = {1: compared((9, "backblazeb2.com", 115, 40), by="domain"), 5: compared((8, "a", 35, 23), by="domain")}
    found = comparison(answer, inner)
    assert found is not None
    words = {one.name: one.words for one in found.sentences}
    assert words["restic"] == (
        "3.0 times as much, from 40.0\u00a0GB to 120.0\u00a0GB. Mostly backblazeb2.com, 94\u00a0% of it."
    )
    assert words["teams"] == "New: nothing in the range before, 70.0\u00a0GB now."
    assert words["zoom"] == "Fell to 25\u00a0%, from 80.0\u00a0GB to 20.0\u00a0GB."
    assert words["gone"] == "Gone: 50.0\u00a0GB in the range before, nothing now."
    assert words["nginx"].startswith("Grew by 50\u00a0%")
    assert words["apt"].startswith("More than 13 times as much")
    assert [one.figure for one in found.sentences[:3]] == ["+80.0", "+70.0", "−60.0"]
    assert (found.new, found.gone, found.total_change) == (1, 1, "+430.0\u00a0GB")
    assert [row.percent for row in found.rows[:4]] == ["+200\u00a0%", "new", "−75\u00a0%", "gone"]


def test_bars_of_changes_grow_from_the_middle() -> None:
    found = comparison(compared((1, "a", 30, 10), (2, "b", 5, 15)), {})
    assert found is not None
    rows = found.rows
    assert [(row.x, row.width) for row in rows] == [(50, 50.0), (25.0, 25.0)]


def test_rows_and_the_rest_make_the_total() -> None:
    answer = compared(*((number, f"app{number}", 10 + number, 9) for number in range(1, 31)))
    found = comparison(answer, {})
    assert found is not None
    assert found.rows[-1].name == "18 others"
    assert sum(float(row.after) for row in found.rows) == pytest.approx(float(found.total.after), abs=1)


@pytest.mark.parametrize(("value", "words"), [(0, "±0\u00a0B"), (2 * GB, "+2.0\u00a0GB"), (-5 * GB, "−5.0\u00a0GB")])
def test_signs(value: int, words: str) -> None:
    assert signed(value) == words


def test_what_was_not_measured_is_not_compared() -> None:
    answer = compared((1, "restic", 120, 0))
    for share in (None, 0.0):
        unmeasured = msgspec.structs.replace(answer.before_meta, measured_share=share)
        assert comparison(msgspec.structs.replace(answer, before_meta=unmeasured), {}) is None

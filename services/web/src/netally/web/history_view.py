"""The past in pictures and words: hours of the week, days, weeks and months, two ranges compared.

In: answers of ``/api/historical``. Out: what the templates draw. An hour or a day that was not measured is a gap, never
zero; one that is not over is said to be so, and nothing is projected.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from zoneinfo import ZoneInfo

import msgspec

from netally.contracts.domain_display import display_name
from netally.contracts.queries import Change, CompareAnswer, HeatmapAnswer, HistoryAnswer, TimelinePoint
from netally.web.charts import nice_ceiling
from netally.web.figures import (
    DAYS,
    MONTHS,
    NBSP,
    UNKNOWN,
    Unit,
    amount,
    amount_unit,
    change,
    clock,
    count,
    day,
    group,
    in_unit,
    local,
    whole_percent,
)

HOUR = 3_600_000
LEVELS = 6
HEIGHT = 220
"""Height of the bars' drawing."""


class HeatCell(msgspec.Struct, frozen=True):
    """An hour of the week."""

    mark: str
    """CSS class: ``h1`` … ``h6``, or ``gap``."""
    figure: str
    words: str
    """The same in words, for those who do not see the table's heads."""


class HeatRow(msgspec.Struct, frozen=True):
    day: str
    cells: list[HeatCell]


class Heat(msgspec.Struct, frozen=True):
    """A usual week: mean amount of each hour of it."""

    unit: Unit
    rows: list[HeatRow]
    legend: list[tuple[str, str]]
    """(mark, words) of each level."""
    summary: str


def heat(answer: HeatmapAnswer, zone: ZoneInfo, now: int) -> Heat:
    """Means over the hours that were measured: an hour counts by the share of it that was."""
    counts = hours_of_week(answer.meta.start, min(answer.meta.end, now), zone)
    means: dict[tuple[int, int], float | None] = {}
    for cell in answer.cells:
        key = (cell.day, cell.hour)
        measured = counts.get(key, 0.0) * cell.measured
        known = cell.bytes_in is not None and cell.bytes_out is not None and measured > 0
        means[key] = ((cell.bytes_in or 0) + (cell.bytes_out or 0)) / measured if known else None
    known_means = {key: value for key, value in means.items() if value is not None}
    largest = max(known_means.values(), default=0.0)
    unit = amount_unit([largest])
    # A cell has room for three digits.
    if largest / unit.size >= 10:
        unit = msgspec.structs.replace(unit, decimals=0)
    step = nice_ceiling(largest / unit.size / LEVELS) * unit.size
    rows = []
    for weekday in range(1, 8):
        cells = []
        for hour in range(24):
            value = means.get((weekday, hour))
            level = 0 if value is None else min(int(value / step) + 1, LEVELS)
            when = f"{DAYS[weekday - 1]}{NBSP}{_hour(hour)}"
            words = "not measured" if value is None else f"{in_unit(value, unit)}{NBSP}{unit.symbol}"
            cells.append(HeatCell(f"h{level}" if level else "gap", in_unit(value, unit), f"{when}, {words}"))
        rows.append(HeatRow(DAYS[weekday - 1], cells))
    bounds = [in_unit(step * number, unit) for number in range(LEVELS)]
    legend = [("h1", f"under {bounds[1]}")]
    legend += [(f"h{level + 1}", f"{bounds[level]}–{bounds[level + 1]}") for level in range(1, LEVELS - 1)]
    legend.append((f"h{LEVELS}", f"{bounds[LEVELS - 1]} and more"))
    return Heat(unit, rows, legend, _heat_summary(known_means, unit))


def hours_of_week(start: int, end: int, zone: ZoneInfo) -> dict[tuple[int, int], float]:
    """How often each hour of the week, (day from 1, hour), lies in a range; parts of an hour are parts."""
    found: dict[tuple[int, int], float] = {}
    at = start
    while at < end:
        until = min((at // HOUR + 1) * HOUR, end)
        time = local(at, zone)
        if time.minute:  # a zone with half hours
            until = min(at + (60 - time.minute) * 60_000, end)
        key = (time.isoweekday(), time.hour)
        found[key] = found.get(key, 0.0) + (until - at) / HOUR
        at = until
    return found


def _hour(hour: int) -> str:
    return clock(dt.datetime(2000, 1, 1, hour, tzinfo=dt.UTC))


def _heat_summary(means: dict[tuple[int, int], float], unit: Unit) -> str:
    if not means:
        return "No hour of this range was measured."
    high, low = max(means, key=lambda key: means[key]), min(means, key=lambda key: means[key])

    def hour(key: tuple[int, int]) -> str:
        return f"{DAYS[key[0] - 1]}{NBSP}{_hour(key[1])}–{_hour((key[1] + 1) % 24)}"

    def size(key: tuple[int, int]) -> str:
        return f"{in_unit(means[key], unit)}{NBSP}{unit.symbol}"

    return (
        f"Highest {hour(high)} with {size(high)}, lowest {hour(low)} with {size(low)}. "
        "An hour counts only as far as it was measured."
    )


class Bar(msgspec.Struct, frozen=True):
    """A day, week or month; positions in percent of the width, heights in pixels."""

    x: float
    width: float
    height_in: float
    height_out: float
    mark: str
    """``whole``, ``part`` (not over yet, or not wholly measured) or ``gap``."""


class Tick(msgspec.Struct, frozen=True):
    x: float
    words: str


class PeriodRow(msgspec.Struct, frozen=True):
    """A row of the table beside the bars."""

    name: str
    bytes_in: str
    bytes_out: str
    total: str
    before: str
    change: str
    coverage: str
    href: str
    """Query of a range that is this period."""


class Periods(msgspec.Struct, frozen=True):
    """Days, weeks or months as bars, in above and out below."""

    unit: Unit
    bars: list[Bar]
    outlines: list[Bar]
    """The same a year before, where there is something."""
    axis: float
    scale: list[tuple[float, str]]
    ticks: list[Tick]
    rows: list[PeriodRow]
    total_in: str
    total_out: str
    summary: str
    partial: bool


def periods(answer: HistoryAnswer, before: HistoryAnswer | None, zone: ZoneInfo, now: int) -> Periods:
    """Bars of an answer; ``before`` is the same of a year before, period by period from the last one back."""
    points = answer.series[0].points if answer.series else []
    starts = answer.starts
    ends = [*starts[1:], answer.meta.end]
    earlier = _aligned(before, len(points))
    every = [value for point in (*points, *(point for point in earlier if point)) for value in _both(point)]
    unit = amount_unit(every)
    top_in = nice_ceiling(max((point.bytes_in or 0 for point in (*points, *earlier) if point), default=0) / unit.size)
    top_out = nice_ceiling(max((point.bytes_out or 0 for point in (*points, *earlier) if point), default=0) / unit.size)
    share = top_in / (top_in + top_out) if any(every) else 0.5
    # The axis leaves the smaller way a quarter at least.
    axis = round(HEIGHT * min(max(share, 0.25), 0.75), 1)
    per_pixel = max(top_in * unit.size / axis, top_out * unit.size / (HEIGHT - axis)) or 1.0
    width = 100 / max(len(points), 1)
    bars, outlines, rows = [], [], []
    for number, point in enumerate(points):
        over = ends[number] <= now
        mark = "gap" if point.bytes_in is None else "whole" if over and point.measured >= 0.99 else "part"
        x, size = number * width, width * 0.7
        bars.append(_bar(point, x + width * 0.15, size, per_pixel, mark))
        known_before = earlier[number]
        if known_before is not None and known_before.bytes_in is not None:
            outlines.append(_bar(known_before, x + width * 0.05, size, per_pixel, "before"))
        rows.append(_row(answer.period, point, known_before, starts[number], ends[number], unit, zone, now))
    step = max(1, -(-len(points) // 8))
    ticks = [
        Tick(round((number + 0.5) * width, 2), _tick(answer.period, starts[number], zone))
        for number in range(len(points))
        if (len(points) - 1 - number) % step == 0
    ]
    known = [point for point in points if point.bytes_in is not None]
    return Periods(
        unit=unit,
        bars=bars,
        outlines=outlines,
        axis=axis,
        scale=_scale(axis, per_pixel, unit, max(top_in, top_out)),
        ticks=ticks,
        rows=rows,
        total_in=in_unit(sum(point.bytes_in or 0 for point in known), unit) if known else UNKNOWN,
        total_out=in_unit(sum(point.bytes_out or 0 for point in known), unit) if known else UNKNOWN,
        summary=_periods_summary(answer.period, points, starts, zone),
        partial=any(bar.mark == "part" for bar in bars),
    )


def _both(point: TimelinePoint) -> tuple[int, int]:
    return point.bytes_in or 0, point.bytes_out or 0


def _aligned(before: HistoryAnswer | None, length: int) -> list[TimelinePoint | None]:
    points = before.series[0].points if before and before.series else []
    padded: list[TimelinePoint | None] = [None] * max(length - len(points), 0)
    return [*padded, *points[max(len(points) - length, 0) :]]


def _bar(point: TimelinePoint, x: float, width: float, per_pixel: float, mark: str) -> Bar:
    if point.bytes_in is None:
        return Bar(round(x, 3), round(width, 3), 0.0, 0.0, mark)
    heights = [round(value / per_pixel, 1) for value in _both(point)]
    return Bar(round(x, 3), round(width, 3), heights[0], heights[1], mark)


def _scale(axis: float, per_pixel: float, unit: Unit, top: float) -> list[tuple[float, str]]:
    """(y, words) of grid lines at round figures, the same above and below the axis."""
    step = nice_ceiling(top / 4)
    lines = [(axis, "0")]
    number = 1
    while True:
        height = number * step * unit.size / per_pixel
        words = f"{number * step:g}"
        lines += [(round(y, 1), words) for y in (axis - height, axis + height) if -0.5 <= y <= HEIGHT + 0.5]
        if height > max(axis, HEIGHT - axis):
            return lines
        number += 1


def period_words(period: str, start: int, zone: ZoneInfo) -> str:
    """``Thu 19 Nov 2026``, ``16 Nov – 22 Nov 2026``, ``Nov 2026``."""
    time = local(start, zone)
    if period == "month":
        return f"{MONTHS[time.month - 1]}{NBSP}{time.year}"
    if period == "day":
        return f"{DAYS[time.weekday()]}{NBSP}{day(time, year=True)}"
    return f"{day(time, year=False)} – {day(time + dt.timedelta(days=6), year=True)}"


def _tick(period: str, start: int, zone: ZoneInfo) -> str:
    time = local(start, zone)
    if period == "month":
        return f"{MONTHS[time.month - 1]} {time.year}" if time.month == 1 else MONTHS[time.month - 1]
    return day(time, year=False)


def _row(
    period: str,
    point: TimelinePoint,
    before: TimelinePoint | None,
    start: int,
    end: int,
    unit: Unit,
    zone: ZoneInfo,
    now: int,
) -> PeriodRow:
    known = point.bytes_in is not None
    was = sum(_both(before)) if before is not None and before.bytes_in is not None else None
    total = sum(_both(point)) if known else None
    coverage = "not measured" if not known else "whole" if point.measured >= 0.99 else ""
    if end > now:
        coverage = "not over yet"
    elif not coverage:
        coverage = f"{whole_percent(point.measured)} of host-time"
    comparable = total is not None and was is not None and end <= now
    return PeriodRow(
        period_words(period, start, zone),
        in_unit(point.bytes_in, unit),
        in_unit(point.bytes_out, unit),
        in_unit(total, unit),
        in_unit(was, unit),
        _percent(total or 0, was or 0) if comparable else UNKNOWN,
        coverage,
        f"from={_utc(start)}&to={_utc(end)}",
    )


def _utc(ms: int) -> str:
    return f"{dt.datetime.fromtimestamp(ms / 1000, dt.UTC):%Y-%m-%dT%H:%M}Z"


def _periods_summary(period: str, points: Sequence[TimelinePoint], starts: Sequence[int], zone: ZoneInfo) -> str:
    known = [
        (sum(_both(point)), start) for point, start in zip(points, starts, strict=True) if point.bytes_in is not None
    ]
    if not known:
        return f"No {period} of this range was measured."
    most, at = max(known)
    gaps = len(points) - len(known)
    words = f"Highest {period}: {period_words(period, at, zone)} with {amount(most)}."
    if gaps:
        words += f" {count(gaps)} {period}{'s' if gaps > 1 else ''} not measured."
    return words


class ChangeRow(msgspec.Struct, frozen=True):
    """What changed, and by how much. The bar grows to the right or left of the middle."""

    name: str
    href: str
    rest: bool
    x: float
    width: float
    """Percent of the column."""
    change: str
    before: str
    after: str
    percent: str
    """``+159 %``, ``new`` or ``gone``."""
    strong: bool


class Sentence(msgspec.Struct, frozen=True):
    """A change in words."""

    figure: str
    unit: str
    name: str
    href: str
    words: str


class Comparison(msgspec.Struct, frozen=True):
    unit: Unit
    rows: list[ChangeRow]
    sentences: list[Sentence]
    explained: str
    total_after: str
    total_before: str
    total_change: str
    total_percent: str
    total: ChangeRow
    new: int
    gone: int
    all_known: bool
    """Whether every name was looked at for ``new`` and ``gone``."""


PATHS = {"app": "/applications/", "domain": "/domains/", "host": "/hosts/"}
UNNAMED = {"app": "no process", "domain": "no name", "host": "no host"}
ROWS = 12
SENTENCES = 6


def comparison(answer: CompareAnswer, inner: dict[int, CompareAnswer]) -> Comparison | None:
    """Rows and words of an answer; null when a range was not measured, for then nothing can be compared. ``inner``
    has, for some of its ids, the same comparison within that id, by which a sentence says where the change is.
    """
    if not answer.meta.measured_share or not answer.before_meta.measured_share:
        return None
    shown = answer.changes[:ROWS]
    rest_after = answer.total_bytes - sum(one.bytes for one in shown)
    rest_before = answer.before_total_bytes - sum(one.before_bytes for one in shown)
    # A digit more than other columns have: the changes are parts of the totals.
    most = max(answer.total_bytes, answer.before_total_bytes)
    unit = amount_unit([most / 10])
    if most / unit.size >= 1000:
        unit = msgspec.structs.replace(unit, decimals=0)
    largest = max((abs(one.change) for one in shown), default=0) or 1

    def name(one: Change) -> str:
        return _shown(one, answer.by)

    def link(one: Change) -> str:
        return f"{PATHS[answer.by]}{one.id}" if one.id else ""

    rows = [_change_row(name(one), link(one), one.bytes, one.before_bytes, unit, largest) for one in shown]
    others = answer.count - len(shown)
    if others > 0:
        rows.append(
            _change_row(f"{count(others)} other{'s' if others > 1 else ''}", "", rest_after, rest_before, unit, 0)
        )
    # Smaller than a hundredth of all is noise, not a change worth a sentence.
    least = max(answer.total_bytes, answer.before_total_bytes) / 100
    told = [one for one in shown[:SENTENCES] if abs(one.change) >= least]
    sentences = []
    for one in told:
        size = amount_unit([one.change])
        figure = f"{'+' if one.change > 0 else ''}{in_unit(one.change, size)}"
        where = inner.get(one.id)
        sentences.append(
            Sentence(figure, size.symbol, name(one), link(one), f"{_fate(one)}{_where(one, where) if where else ''}")
        )
    difference = answer.total_bytes - answer.before_total_bytes
    total = _change_row("Total", "", answer.total_bytes, answer.before_total_bytes, unit, 0)
    part = sum(one.change for one in told)
    return Comparison(
        unit,
        rows,
        sentences,
        f"together {signed(part)} of {signed(difference)}" if told else "",
        amount(answer.total_bytes),
        amount(answer.before_total_bytes),
        signed(difference),
        _percent(answer.total_bytes, answer.before_total_bytes),
        total,
        sum(one.before_bytes == 0 and one.bytes > 0 for one in answer.changes),
        sum(one.bytes == 0 and one.before_bytes > 0 for one in answer.changes),
        len(answer.changes) >= answer.count,
    )


def _shown(one: Change, by: str) -> str:
    return (display_name(one.name) if by == "domain" else one.name) or UNNAMED[by]


def signed(value: int) -> str:
    """``+2.8 TB``, ``−318.0 MB``, ``±0 B``."""
    if value == 0:
        return f"±0{NBSP}B"
    return f"{'+' if value > 0 else '−'}{amount(abs(value))}"


def _percent(after: int, before: int) -> str:
    return "gone" if before and not after else change(after, before)


def _change_row(name: str, href: str, after: int, before: int, unit: Unit, largest: int) -> ChangeRow:
    by = after - before
    half = abs(by) / largest * 50 if largest else 0.0
    percent = _percent(after, before)
    figure = in_unit(by, unit) if abs(by) / unit.size >= 10**-unit.decimals / 2 else group(0, unit.decimals)
    if by < 0 and figure.strip("0.") == "":
        figure = "0"
    return ChangeRow(
        name,
        href,
        not href,
        round(50 - half if by < 0 else 50, 2),
        round(half, 2),
        f"+{figure}" if by > 0 else figure,
        in_unit(before, unit),
        in_unit(after, unit),
        percent,
        before > 0 and abs(by) / before >= 0.5,
    )


def _fate(one: Change) -> str:
    """What became of it, in a sentence."""
    if one.before_bytes == 0:
        return f"New: nothing in the range before, {amount(one.bytes)} now."
    if one.bytes == 0:
        return f"Gone: {amount(one.before_bytes)} in the range before, nothing now."
    times = one.bytes / one.before_bytes
    from_to = f"from {amount(one.before_bytes)} to {amount(one.bytes)}"
    if times >= 10:
        return f"More than {int(times):,} times as much, {from_to}.".replace(",", "\u2009")
    if times >= 1.95:
        return f"{times:.1f} times as much, {from_to}."
    if times <= 0.52:
        return f"Fell to {whole_percent(times)}, {from_to}."
    return f"{'Grew' if one.change > 0 else 'Fell'} by {whole_percent(abs(times - 1))}, {from_to}."


def _where(one: Change, inner: CompareAnswer) -> str:
    """Where most of a change is, when one part has more than half of it."""
    largest = next((each for each in inner.changes if each.change * one.change > 0), None)
    if largest is None or abs(largest.change) * 2 < abs(one.change):
        return f" Spread over {count(inner.count)} {_many(inner.by)}." if inner.count > 3 else ""
    name = _shown(largest, inner.by)
    share = min(abs(largest.change) / abs(one.change), 1.0)
    if share >= 0.95:
        return f" Nearly all of it is {name}."
    return f" Mostly {name}, {whole_percent(share)} of it."


def _many(by: str) -> str:
    return {"app": "applications", "domain": "domains", "host": "hosts"}[by]

"""Drawings made on the server: sparklines, the timeline, and the data its script draws it from again.

Steps, never curves; null is a gap, never zero. Coordinates are numbers; the templates make the SVG.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from netally.contracts.queries import TimelineAnswer, TimelinePoint
from netally.web.figures import DAYS, NBSP, STYLE, Unit, clock, day, in_unit, local, moment, rate, rate_unit, span

HEIGHT = 300
"""Height of the timeline's drawing; the axis lies in its middle."""

BANDS = 6
"""Named bands at most; the colours c1 to c6 in stacking order."""

Values = Sequence[float | None]


def step_path(values: Values, height: float, largest: float, *, base: float, sign: int) -> str:
    """SVG path of filled steps, each one unit wide, from ``base`` up (sign −1) or down (+1). Nulls are left open."""
    parts: list[str] = []
    for first, length in runs([value is not None for value in values]):
        path = f"M{first} {base:g}"
        for x in range(first, first + length):
            reach = min((values[x] or 0.0) / largest, 1.0) * height if largest > 0 else 0.0
            path += f"V{base + sign * round(reach, 1):g}H{x + 1}"
        parts.append(f"{path}V{base:g}z")
    return "".join(parts)


def runs(flags: Sequence[bool]) -> list[tuple[int, int]]:
    """(first index, length) of each run of true."""
    found: list[tuple[int, int]] = []
    for index, flag in enumerate(flags):
        if not flag:
            continue
        if found and sum(found[-1]) == index:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((index, 1))
    return found


class Spark(msgspec.Struct, frozen=True):
    """The last seconds of one direction."""

    path: str
    words: str
    """``60 s: 57 to 114 Mbit/s``."""
    gaps: list[tuple[int, int]]
    """(first second, length) of what was not measured."""
    steps: int


def spark(values: Values, *, height: int = 40) -> Spark:
    """Spark of rates in bytes/s, oldest first, scaled to their own largest."""
    known = [value for value in values if value is not None]
    if known:
        unit = rate_unit(known)
        low, high = in_unit(min(known), unit), in_unit(max(known), unit)
        words = f"{len(values)}{NBSP}s: {low} to {high}{NBSP}{unit.symbol}"
    else:
        words = f"{len(values)}{NBSP}s: not measured"
    path = step_path(values, height - 1, max(known, default=0), base=height, sign=-1)
    return Spark(path, words, runs([value is None for value in values]), max(len(values), 1))


class Band(msgspec.Struct, frozen=True):
    """One band of the stack, in and out."""

    name: str
    mark: str
    """CSS class that paints it: ``c1`` … ``c6``, ``c0`` for the rest, ``bare`` for no process."""
    path_in: str
    path_out: str
    """The stack from the axis up to and with this band; painted from the last band to the first."""
    mean_in: str
    mean_out: str
    """Mean over what was measured, a bare number in the chart's unit."""


class Tick(msgspec.Struct, frozen=True):
    x: float
    """Percent of the width."""
    words: str
    strong: bool


class Gap(msgspec.Struct, frozen=True):
    x: float
    width: float
    """Percent of the width."""
    words: list[str]


class Peak(msgspec.Struct, frozen=True):
    """The highest step of a direction."""

    rate: str
    time: str


class FigureRow(msgspec.Struct, frozen=True):
    """A row of the table that says the same as the chart."""

    time: str
    bytes_in: int | None
    bytes_out: int | None
    coverage: str


class Timeline(msgspec.Struct, frozen=True):
    """What the timeline's template needs."""

    bucket_seconds: int
    unit: Unit
    bands: list[Band]
    """From the axis outward."""
    total_in: str
    total_out: str
    steps: int
    scale: list[tuple[float, str]]
    """(y, label) of the grid lines."""
    gaps: list[Gap]
    ticks: list[Tick]
    coverage: list[tuple[float, float, str]]
    """(x, width, kind) of the coverage lane, percent; kind is ``all``, ``some`` or ``none``."""
    until: float | None
    """Percent of the width up to which every host has delivered; null when that is all of it."""
    until_words: str
    peak_in: Peak | None
    peak_out: Peak | None
    summary: str
    rows: list[FigureRow]
    rows_words: str
    data: dict[str, Any]
    """For the script: times in epoch seconds, rates in ``unit``."""


class _Stack(msgspec.Struct):
    """A band's rates in bytes/s."""

    name: str
    mark: str
    rates_in: list[float | None]
    rates_out: list[float | None]


def timeline(answer: TimelineAnswer, zone: ZoneInfo, now: int, *, split: str = "") -> Timeline:
    """The drawing of an answer. ``split`` names what its series are: ``app``, ``domain``, ``host``, or nothing."""
    width = answer.bucket_seconds
    points = _summed([series.points for series in answer.series])
    # The bucket that is being filled counts by what of it was measured: over its whole length it would show a fall
    # that is not there.
    open_from = now - width * 1000
    lengths = [max(point.measured * width, 1.0) if point.time > open_from else float(width) for point in points]
    total_in = [_rate(point.bytes_in, length) for point, length in zip(points, lengths, strict=True)]
    total_out = [_rate(point.bytes_out, length) for point, length in zip(points, lengths, strict=True)]
    unit = rate_unit([*total_in, *total_out])
    top = nice_ceiling(max((value / unit.size for value in [*total_in, *total_out] if value is not None), default=0))
    stacks = _stacks(answer, lengths, split)

    start = points[0].time if points else answer.meta.start
    end = points[-1].time + width * 1000 if points else answer.meta.end

    def percent(time: int) -> float:
        return round((time - start) / max(end - start, 1) * 100, 3)

    until = answer.meta.complete_until
    # What comes after the last complete interval is on its way: late, not unmeasured.
    late_from = len(points)
    while until is not None and late_from and points[late_from - 1].bytes_in is None:
        if points[late_from - 1].time < until - width * 1000:
            break
        late_from -= 1
    told = points[:late_from]
    gaps = [
        (points[first].time, points[first + length - 1].time + width * 1000)
        for first, length in runs([point.bytes_in is None for point in told])
    ]
    ticks = tick_times(start, end, zone)
    gap_words = [["Not measured", span(a, b, zone, now), _why(told, a, b)] for a, b in gaps]
    # Worth a mark only where data is still missing: not within a gap, and not in the bucket that is being filled.
    late = until is not None and start <= until < end - width * 1000 and not any(a <= until <= b for a, b in gaps)
    cut = until if late else None
    cut_words = f"complete until {moment(until, zone, now, seconds=width < 60)}"
    whole = sum(point.time <= open_from for point in points)
    peak_in, peak_out = (_peak(points[:whole], rates[:whole], zone, now) for rates in (total_in, total_out))
    step = _row_step(len(points), width)
    half = HEIGHT / 2
    return Timeline(
        bucket_seconds=width,
        unit=unit,
        bands=_drawn(stacks, unit, top),
        total_in=in_unit(_mean(total_in), unit),
        total_out=in_unit(_mean(total_out), unit),
        steps=max(len(points), 1),
        scale=[(half - part * half, f"{abs(part) * top:g}") for part in (1.0, 0.5, 0.0, -0.5, -1.0)],
        gaps=[
            Gap(percent(a), round(percent(b) - percent(a), 3), words)
            for (a, b), words in zip(gaps, gap_words, strict=True)
        ],
        ticks=[Tick(percent(time), words, strong) for time, words, strong in ticks],
        coverage=[(percent(a), round(percent(b) - percent(a), 3), kind) for a, b, kind in _coverage(told, width)],
        until=None if cut is None else percent(cut),
        until_words=cut_words,
        peak_in=peak_in,
        peak_out=peak_out,
        summary=_summary(peak_in, peak_out, gap_words),
        rows=_figure_rows(points, step, width, zone, now),
        rows_words=_every(step * width),
        data={
            "unit": unit.symbol,
            "decimals": unit.decimals,
            "zone": zone.key,
            "locale": "en-US" if STYLE.get().dates == "month" else "en-GB",
            "marks": [STYLE.get().thousands, STYLE.get().point],
            "bucket": width,
            "top": top,
            "end": end // 1000,
            "ticks": [[time // 1000, words] for time, words, _ in ticks],
            "times": [point.time // 1000 for point in points],
            "known": [int(point.bytes_in is not None) for point in points],
            "bands": [
                {
                    "mark": stack.mark,
                    "in": [_short(value, unit) for value in stack.rates_in],
                    "out": [_short(value, unit) for value in stack.rates_out],
                }
                for stack in stacks
            ],
            "coverage": [[a // 1000, b // 1000, kind] for a, b, kind in _coverage(told, width)],
            "gaps": [[a // 1000, b // 1000, words] for (a, b), words in zip(gaps, gap_words, strict=True)],
            "until": None if cut is None else [cut // 1000, cut_words],
        },
    )


def _why(points: Sequence[TimelinePoint], start: int, end: int) -> str:
    """The reason of a gap, as far as it is known."""
    within = [point.paused for point in points if start <= point.time < end]
    if all(within):
        return "paused"
    return "paused or no report" if any(within) else "no host reported"


def nice_ceiling(value: float) -> float:
    """The smallest round number that is not below ``value`` and has a round half; 1 for nothing."""
    if value <= 0:
        return 1.0
    power = 1.0
    while power * 10 <= value:
        power *= 10
    while power > value:
        power /= 10
    return next(power * step for step in (1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10) if power * step >= value)


def _summed(series: Sequence[Sequence[TimelinePoint]]) -> list[TimelinePoint]:
    """The points of all series together."""
    if len(series) == 1:
        return list(series[0])
    return [
        TimelinePoint(
            column[0].time,
            _sum([point.bytes_in for point in column]),
            _sum([point.bytes_out for point in column]),
            max(point.measured for point in column),
            any(point.paused for point in column),
        )
        for column in zip(*series, strict=True)
    ]


def _sum(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _stacks(answer: TimelineAnswer, lengths: Sequence[float], split: str) -> list[_Stack]:
    """Bands from the axis outward: named ones, then the rest, then what has no name."""
    unnamed = {"app": "no process", "domain": "no name"}.get(split, "unknown")
    named: list[_Stack] = []
    last: list[_Stack] = []
    for series in answer.series:
        rates_in = [_rate(point.bytes_in, length) for point, length in zip(series.points, lengths, strict=True)]
        rates_out = [_rate(point.bytes_out, length) for point, length in zip(series.points, lengths, strict=True)]
        if not split or (series.name == "all" and len(answer.series) == 1 and series.id is None):
            named.append(_Stack("all traffic", "flat", rates_in, rates_out))
        elif not series.name or series.id == 0:
            last.append(_Stack(unnamed, "bare", rates_in, rates_out))
        elif series.id is None:
            last.insert(0, _Stack("others", "c0", rates_in, rates_out))
        else:
            named.append(_Stack(series.name, f"c{len(named) % BANDS + 1}", rates_in, rates_out))
    return [*named, *last]


def _drawn(stacks: Sequence[_Stack], unit: Unit, top: float) -> list[Band]:
    half = HEIGHT / 2
    bands = []
    under_in: list[float | None] = []
    under_out: list[float | None] = []
    for stack in stacks:
        under_in = _above(under_in, stack.rates_in)
        under_out = _above(under_out, stack.rates_out)
        bands.append(
            Band(
                stack.name,
                stack.mark,
                step_path(under_in, half, top * unit.size, base=half, sign=-1),
                step_path(under_out, half, top * unit.size, base=half, sign=1),
                in_unit(_mean(stack.rates_in), unit),
                in_unit(_mean(stack.rates_out), unit),
            )
        )
    return bands


def _above(under: Values, values: Values) -> list[float | None]:
    if not under:
        return list(values)
    return [
        None if low is None and value is None else (low or 0.0) + (value or 0.0)
        for low, value in zip(under, values, strict=True)
    ]


def _rate(amount: int | None, seconds: float) -> float | None:
    return None if amount is None else amount / seconds


def _short(value: float | None, unit: Unit) -> float | None:
    # Four digits are more than a chart can show, and keep the page of a year small.
    return None if value is None else float(f"{value / unit.size:.4g}")


def _mean(rates: Values) -> float | None:
    known = [value for value in rates if value is not None]
    return sum(known) / len(known) if known else None


def _peak(points: Sequence[TimelinePoint], rates: Values, zone: ZoneInfo, now: int) -> Peak | None:
    known = [(value, point.time) for point, value in zip(points, rates, strict=True) if value]
    if not known:
        return None
    value, time = max(known)
    return Peak(rate(value), moment(time, zone, now))


def _summary(peak_in: Peak | None, peak_out: Peak | None, gaps: Sequence[Sequence[str]]) -> str:
    peaks = [
        f"{word} peaks at {peak.rate} at {peak.time}" for word, peak in (("in", peak_in), ("out", peak_out)) if peak
    ]
    words = ", ".join(peaks) or "no traffic in this range"
    missing = f" Not measured: {', '.join(gap[1] for gap in gaps[:3])}" if gaps else ""
    more = f" and {len(gaps) - 3} more" if len(gaps) > 3 else ""
    return f"{words[0].upper()}{words[1:]}.{missing}{more}{'.' if gaps else ''}"


def _coverage(points: Sequence[TimelinePoint], width: int) -> list[tuple[int, int, str]]:
    """(start, end, kind): all hosts measured, some, none."""
    kinds = ["none" if point.measured <= 0 else "all" if point.measured >= 0.99 else "some" for point in points]
    return [
        (points[first].time, points[first + length - 1].time + width * 1000, kind)
        for kind in ("all", "some", "none")
        for first, length in runs([each == kind for each in kinds])
    ]


_TICK_STEPS = (10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 1209600)
_MONTH = 2678400


def tick_times(start: int, end: int, zone: ZoneInfo) -> list[tuple[int, str, bool]]:
    """(time, label, strong) of round local times, at most eight; a new day stands out. None so near to an end of the
    axis that its label would be cut off.
    """
    step = next((step for step in _TICK_STEPS if (end - start) / 1000 / step <= 7), _MONTH)
    # Walked in local time, so that ticks stay at round hours whatever the offset is.
    offset = round((local(start, zone).utcoffset() or dt.timedelta()).total_seconds())
    time = -(-(start / 1000 + offset) // step) * step - offset
    ticks = []
    while time * 1000 < end:
        at = local(round(time * 1000), zone)
        midnight = at.hour == 0 and at.minute == 0
        if step > 604800:
            words = day(at, year=False)
        elif step >= 86400 or midnight:
            words = f"{DAYS[at.weekday()]} {at.day}"
        else:
            words = clock(at, seconds=step < 60)
        if 0.02 < (time * 1000 - start) / (end - start) < 0.95:
            ticks.append((round(time * 1000), words, midnight and step < 86400))
        time += step
    return ticks


_ROW_STEPS = (10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 2592000)


def _row_step(points: int, width: int) -> int:
    """How many buckets make a row of the table beside the chart: a round time, at most fifteen rows."""
    round_steps = [step // width for step in _ROW_STEPS if step % width == 0]
    return next((step for step in round_steps if points / step <= 15), max(1, -(-points // 12)))


def _figure_rows(points: Sequence[TimelinePoint], step: int, width: int, zone: ZoneInfo, now: int) -> list[FigureRow]:
    rows = []
    for first in range(0, len(points), step):
        chunk = points[first : first + step]
        measured = sum(point.measured for point in chunk) / len(chunk)
        if measured <= 0:
            coverage = f"not measured: {_why(chunk, chunk[0].time, chunk[-1].time + 1)}"
        elif measured >= 0.99:
            coverage = "all hosts"
        else:
            coverage = (
                f"{measured * 100:.0f}{NBSP}% of host-time{', paused' if any(point.paused for point in chunk) else ''}"
            )
        rows.append(
            FigureRow(
                span(chunk[0].time, chunk[-1].time + width * 1000, zone, now),
                _sum([point.bytes_in for point in chunk]),
                _sum([point.bytes_out for point in chunk]),
                coverage,
            )
        )
    return rows


def _every(seconds: int) -> str:
    for length, word in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= length and seconds % length == 0:
            number = seconds // length
            return f"every {word}" if number == 1 else f"every {number} {word}s"
    return f"every {seconds} seconds"

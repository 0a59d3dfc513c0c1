"""The history page: a usual week, days, weeks and months, and two ranges compared."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any

from litestar import Response, get
from litestar.response import Redirect

from netally.contracts.queries import CompareAnswer, HeatmapAnswer, HistoryAnswer, Meta
from netally.web.api_client import ApiProblem
from netally.web.asked import Asked, asked_by
from netally.web.figures import group, local, moment, percent, span
from netally.web.filter_box import joined
from netally.web.history_view import SENTENCES, comparison, heat, periods
from netally.web.ranged_page import drawn, settle
from netally.web.ranges import DAY, PRESETS, Range, RangeError, query_of, read_range, write_time
from netally.web.tables import coverage, quoted
from netally.web.visits import AnyRequest

DEFAULT = "30d"
LEAST = 7 * DAY
"""A shorter range that moves holds less than a week, of which there is nothing usual."""
LONGEST_INNER = 92 * DAY
PERIODS = {"day": "Days", "week": "Weeks", "month": "Months"}
PATHS = {"day": "daily", "week": "weekly", "month": "monthly"}
AGAINST = {
    "before": ("the range just before", 0),
    "week": ("a week earlier", 7 * DAY),
    "weeks": ("four weeks earlier", 28 * DAY),
    "year": ("a year earlier", 364 * DAY),
}
"""Key in the URL → words, and how far the range is moved back; 0 is by its own length. 364 days keep the weekdays."""
BY = {"app": "Application", "domain": "Domain", "host": "Host"}
INNER = {"app": "domain", "domain": "app", "host": "app"}
OWN = {"period": "", "against": "before", "by": "app", "b_from": "", "b_to": "", "b_tz": ""}


@get("/history", include_in_schema=False)
async def history_page(request: AnyRequest) -> Response[Any]:
    shown = asked_by(request, OWN, default=DEFAULT)
    preset = shown.shown.preset
    if preset and PRESETS[preset][0] < LEAST:
        # The menu keeps the range of the page before, and a usual week cannot be made of hours.
        kept = {**shown.kept, "range": DEFAULT}
        return Redirect(f"/history?{query_of(Range(0, 0, DEFAULT), **{k: v for k, v in kept.items() if k != 'range'})}")
    period, other, by = _period(shown), before_range(shown), shown.own.get("by", "app")
    by = by if by in BY else "app"
    api, asked = shown.visit.api, shown
    fault: dict[str, Any] = {}

    def reads(asked: Asked) -> Awaitable[tuple[Any, Any, Any, Any]]:
        return asyncio.gather(
            _week(asked),
            settle(asked.read(f"/api/historical/{PATHS[period]}", HistoryAnswer)),
            settle(_year_before(asked, period)),
            settle(_compare(asked, other, by)),
        )

    try:
        week, now_, before, compared = await api.together(reads(shown))
    except ApiProblem as problem:
        fault = {"box": shown.refused(problem), "status": problem.status}
        asked = shown.unfiltered()
        week, now_, before, compared = await api.together(reads(asked))
    zone, now = asked.visit.zone, asked.visit.now
    inner = await api.together(_inner(asked, other, by, compared)) if isinstance(compared, CompareAnswer) else {}
    meta = next(answer.meta for answer in (week, now_, compared) if not isinstance(answer, ApiProblem))
    return shown.page(
        "history.html.j2",
        "History",
        meta,
        **fault,
        heat=drawn(week, HeatmapAnswer, lambda answer: heat(answer, zone, now)),
        weeks=_weeks(week),
        heat_since=_later(asked, week),
        period=period,
        period_steps=[(shown.here(period=key), words, key == period) for key, words in PERIODS.items()],
        periods=drawn(
            now_,
            HistoryAnswer,
            lambda answer: periods(answer, before if isinstance(before, HistoryAnswer) else None, zone, now),
        ),
        compared=drawn(compared, CompareAnswer, lambda answer: comparison(answer, inner)),
        sides=_sides(asked, compared),
        hardly=_hardly_measured(compared),
        by=by,
        by_words=BY,
        against=asked.own.get("against", "before"),
        against_words={key: words for key, (words, _) in AGAINST.items()},
        other_from=f"{local(other.start, zone):%Y-%m-%dT%H:%M}",
        other_to=f"{local(other.end, zone):%Y-%m-%dT%H:%M}",
        other_own=bool(asked.own.get("b_from")),
    )


async def _week(asked: Asked) -> HeatmapAnswer | ApiProblem:
    """The heatmap, or why there is none. Raises what is wrong with the filter."""
    answer: HeatmapAnswer | ApiProblem = await settle(asked.read("/api/historical/heatmap", HeatmapAnswer))
    if isinstance(answer, ApiProblem) and answer.parameter == "filter":
        raise answer
    return answer


def _period(asked: Asked) -> str:
    wanted = asked.own.get("period", "")
    if wanted in PERIODS:
        return wanted
    return "day" if asked.shown.length <= 45 * DAY else "week" if asked.shown.length <= 200 * DAY else "month"


async def _year_before(asked: Asked, period: str) -> HistoryAnswer | None:
    """Months of the year before; days and weeks do not fall on the same days then."""
    if period != "month":
        return None
    start, end = asked.shown.start, asked.shown.end
    year = 365 * DAY
    return await asked.read(
        "/api/historical/monthly",
        HistoryAnswer,
        **{"range": "", "from": write_time(start - year), "to": write_time(end - year)},
    )


def before_range(asked: Asked) -> Range:
    """The range to compare with: one of its own from the URL, else the shown one moved back."""
    own: Mapping[str, str] = asked.own
    if own.get("b_from") or own.get("b_to"):
        query = {"from": own.get("b_from", ""), "to": own.get("b_to", ""), "tz": own.get("b_tz", "")}
        try:
            return read_range(query, asked.visit.zone, asked.visit.now)
        except RangeError as fault:
            raise RangeError(f"The range to compare with cannot be used: {fault}") from None
    _, back = AGAINST.get(own.get("against", ""), AGAINST["before"])
    back = back or asked.shown.length
    return Range(max(asked.shown.start - back, 0), max(asked.shown.end - back, 1), None)


async def _compare(asked: Asked, other: Range, by: str, **more: str | int) -> CompareAnswer:
    return await asked.read(
        "/api/historical/compare",
        CompareAnswer,
        **{
            "by": by,
            "before_from": write_time(other.start),
            "before_to": write_time(other.end),
            "limit": 1000,
            **more,
        },
    )


async def _inner(asked: Asked, other: Range, by: str, answer: CompareAnswer) -> dict[int, CompareAnswer]:
    """The same comparison within the largest changes, which says where each of them is. Of a long range that would take
    longer than the rest of the page.
    """
    if asked.shown.length > LONGEST_INNER:
        return {}
    largest = [one for one in answer.changes[:SENTENCES] if one.id and one.name][:4]

    async def within(name: str) -> CompareAnswer | ApiProblem:
        narrowed = joined(asked.filter, f"{by} = {quoted(name)}")
        found: CompareAnswer | ApiProblem = await settle(_compare(asked, other, INNER[by], filter=narrowed, limit=3))
        return found

    found = await asyncio.gather(*(within(one.name) for one in largest))
    return {one.id: inner for one, inner in zip(largest, found, strict=True) if isinstance(inner, CompareAnswer)}


def _weeks(week: HeatmapAnswer | ApiProblem) -> str:
    """``mean of 4.3 weeks``, and how much of them was measured where that is not all."""
    if isinstance(week, ApiProblem):
        return ""
    words = f"mean of {group((week.meta.end - week.meta.start) / (7 * DAY), 1)} weeks"
    share = week.meta.measured_share
    return words if share is None or share >= 0.99 else f"{words}, {percent(share)} of it measured"


def _later(asked: Asked, week: HeatmapAnswer | ApiProblem) -> str:
    """From when on the hours of the week are known, where that is not the whole range."""
    if isinstance(week, ApiProblem) or week.meta.start <= asked.shown.start:
        return ""
    return moment(week.meta.start, asked.visit.zone, asked.visit.now)


LITTLE = 0.1
"""Of a range measured, below which a comparison with it tells nothing about traffic."""


def _hardly_measured(answer: CompareAnswer | ApiProblem) -> tuple[str, str] | None:
    """(letter, share measured) of the range that hardly was, if one was at all."""
    if isinstance(answer, ApiProblem):
        return None
    shares = {letter: meta.measured_share or 0.0 for letter, meta in (("A", answer.meta), ("B", answer.before_meta))}
    letter = min(shares, key=lambda each: shares[each])
    return (letter, percent(shares[letter])) if 0 < shares[letter] < LITTLE else None


def _sides(asked: Asked, answer: CompareAnswer | ApiProblem) -> list[tuple[str, str, str, str]]:
    """(letter, range, share measured, mark of a lower bound) of both ranges, as they were really read."""
    if isinstance(answer, ApiProblem):
        return []

    def side(letter: str, meta: Meta) -> tuple[str, str, str, str]:
        found = coverage(meta, asked.visit.zone, asked.visit.now, moving=False)
        words = span(meta.start, meta.end, asked.visit.zone, asked.visit.now)
        return letter, words, percent(meta.measured_share), found.bound

    return [side("A", answer.meta), side("B", answer.before_meta)]

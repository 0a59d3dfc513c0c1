"""``/_components``: every component in all its states, for who works on the pages. Only with the setting `development`.

The figures are made up here and nowhere else.
"""

from __future__ import annotations

import math

from litestar import Response, get
from litestar.exceptions import NotFoundException

from netally.contracts.codes import Cause
from netally.contracts.queries import CauseSum, Meta, SourceShare, TimelineAnswer, TimelinePoint, TimelineSeries
from netally.web.api_client import ApiProblem
from netally.web.charts import Timeline, spark, timeline
from netally.web.conservation import conservation
from netally.web.detail_tables import NAME_EVIDENCE, found_table
from netally.web.filter_box import refused_box
from netally.web.ranged_page import SORTINGS, Part, range_context
from netally.web.ranges import DAY, MINUTE, Range
from netally.web.rendering import times
from netally.web.tables import Item, coverage, table_of
from netally.web.visits import AnyRequest, Visit, visit_of

STEPS = 96
BUCKET = 900
APPS = ("restic", "firefox", "chrome", "postgres", "containerd", "nginx")


@get("/_components", include_in_schema=False)
async def components(request: AnyRequest) -> Response[str]:
    if not request.app.state.development:
        raise NotFoundException
    visit = visit_of(request)
    now = visit.now - visit.now % (BUCKET * 1000)
    shown = Range(now - STEPS * BUCKET * 1000, now, "24h")
    waves = [5e6 * (1.3 + math.sin(second / 5)) for second in range(60)]
    return visit.page(
        "components.html.j2",
        "Components",
        **range_context(visit, shown),
        **times(visit.zone, visit.now),
        coverages=[(words, coverage(meta, visit.zone, visit.now, moving=True)) for words, meta in _metas(visit.now)],
        charts=_charts(visit, now),
        sparks=[
            spark(waves),
            spark([None if 20 <= at < 35 else wave for at, wave in enumerate(waves)]),
            spark([None] * 60),
        ],
        counted=conservation(_causes(0.05)),
        lossless=conservation(_causes(0.0)),
        problem_part=Part("The database did not answer within 5 s."),
        table=_table(),
        wrong_filter=refused_box("app = and", ApiProblem(400, "A value is missing at column 7.", start=6, end=9)),
        found=found_table(_sources(), visit.now - 7_200_000, now - DAY, NAME_EVIDENCE, visit.zone, visit.now),
        sort=SORTINGS["bytes"],
    )


def _meta(now: int, *, hosts: int = 5, missing: int = 0, share: float | None = 1.0, late: int = 5_000) -> Meta:
    names = [f"host-{number:02}" for number in range(1, missing + 1)]
    start = now - STEPS * BUCKET * 1000
    until = None if share is None else now - late
    return Meta("1m", start, now, hosts, hosts - missing, names, until, share, 38)


def _metas(now: int) -> list[tuple[str, Meta]]:
    return [
        ("all hosts", _meta(now)),
        ("2 of 5 hosts", _meta(now, missing=3, share=0.4)),
        ("many missing", _meta(now, hosts=60, missing=40, share=0.3)),
        ("stale", _meta(now, late=15 * MINUTE)),
        ("not measured", _meta(now, share=None)),
    ]


def _charts(visit: Visit, now: int) -> list[tuple[str, str, Timeline]]:
    """Id, words and drawing of the timeline in each state."""

    def answer(names: tuple[str, ...], scale: float, late: int = 5_000) -> TimelineAnswer:
        start = now - STEPS * BUCKET * 1000
        series = []
        for place, name in enumerate(names):
            points = []
            for step in range(STEPS):
                at, size = (
                    start + step * BUCKET * 1000,
                    scale * (1.2 + math.sin(step / 9 + place)) * BUCKET / (place + 1),
                )
                gap = 30 <= step < 36 or 60 <= step < 64
                if gap or at > now - late:
                    points.append(TimelinePoint(at, None, None, 0.0, paused=60 <= step < 64))
                else:
                    points.append(TimelinePoint(at, int(size), int(size / 3), 0.6 if 70 <= step < 80 else 1.0))
            series.append(TimelineSeries(name, points, None if name in ("all", "others") else place + 1))
        return TimelineAnswer(BUCKET, series, _meta(now, late=late))

    states = [
        ("stacked", "Traffic by application", answer((*APPS, "others"), 2e6), "app"),
        ("flat", "All traffic", answer(("all",), 2e6), ""),
        ("late", "Late data", answer(("all",), 2e6, 6 * BUCKET * 1000), ""),
        ("silence", "A real zero", answer(("all",), 0.0), ""),
    ]
    return [(key, words, timeline(found, visit.zone, visit.now, split=split)) for key, words, found, split in states]


def _causes(lost: float) -> list[CauseSum]:
    sizes = {
        "attributed": 93.65 - lost,
        "no_process": 2.1,
        "no_name": 1.4,
        "unknown": 0.9,
        "kernel": 1.2,
        "forwarded": 0.6,
    }
    sizes |= {"paused": 0.15, "lost_ring": lost}
    return [CauseSum(name, int(sizes.get(name, 0.0) * 1e10), 0, 0, 0) for name in Cause.labels().values()]


def _sources() -> list[SourceShare]:
    """Every way in which a name is found."""
    return [SourceShare(source, int(8e9 / (place + 1))) for place, source in enumerate(NAME_EVIDENCE)]


def _table() -> object:
    named = [
        Item(name, int(9e9 / (place + 1)), int(4e9 / (place + 2)), note=f"/usr/bin/{name}", related=str(place + 1))
        for place, name in enumerate(APPS)
    ]
    rest = (int(3e9), int(1e9))
    total = tuple(
        sum(sizes) for sizes in zip(*((item.bytes_in, item.bytes_out) for item in named), rest, rest, strict=True)
    )
    return table_of(named, [rest], "no process", (total[0], total[1]), len(named) + 12)

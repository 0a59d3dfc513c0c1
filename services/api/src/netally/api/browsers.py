"""``GET /api/browsers``: applications that are browsers, each browser's programs and users together."""

from __future__ import annotations

from typing import Any

from litestar import get
from litestar.di import NamedDependency

from netally.api import ranges
from netally.api.problems import QUERY_PROBLEMS
from netally.api.reading import Asking, Reading, read_table
from netally.contracts.browsers import browser_of
from netally.contracts.queries import ApplicationShare, BrowserRow, BrowsersAnswer


@get("/api/browsers", summary="Browsers by traffic", responses=QUERY_PROBLEMS)
async def browsers(asked: NamedDependency[Asking]) -> BrowsersAnswer:
    """Every known browser that had traffic in the range; other applications are summed in `others`."""
    async with read_table(asked) as (reading, span):
        return await browsers_of_domain(reading, span, None)


async def browsers_of_domain(reading: Reading, span: ranges.TimeRange, domain: int | None) -> BrowsersAnswer:
    """Of one domain, or of all."""
    domains = None if domain is None else [domain]
    counted = reading.counted(span, domains=domains, totals_suffice=True, sums_suffice=True)
    sums = {row["id"]: row for row in await reading.rows("sums_by", counted, dimension="app")}
    groups: dict[str, list[Any]] = {}
    for app in await reading.rows("apps", ids=list(sums)):
        if name := browser_of(app["name"], app["executable"]):
            groups.setdefault(name, []).append(app)
    names = list(groups)
    members = [(app["id"], number) for number, name in enumerate(names) for app in groups[name]]
    counts = {
        row["number"]: (row["hosts"], row["domains"])
        for row in await reading.rows(
            "app_groups",
            reading.counted(span, apps=[app for app, _ in members], domains=domains, sums_suffice=True),
            ids=[app for app, _ in members],
            numbers=[number for _, number in members],
        )
    }
    total_in, total_out = (sum(row[key] for row in sums.values()) for key in ("bytes_in", "bytes_out"))
    rows = [_row(name, groups[name], sums, counts[number], total_in + total_out) for number, name in enumerate(names)]
    return BrowsersAnswer(
        browsers=sorted(rows, key=lambda row: (-row.bytes_in - row.bytes_out, row.name)),
        others_bytes_in=total_in - sum(row.bytes_in for row in rows),
        others_bytes_out=total_out - sum(row.bytes_out for row in rows),
        total_bytes_in=total_in,
        total_bytes_out=total_out,
        meta=await reading.meta(span),
    )


def _row(name: str, apps: list[Any], sums: dict[int, Any], counts: tuple[int, int], total: int) -> BrowserRow:
    shares = [
        ApplicationShare(
            id=app["id"],
            name=app["name"],
            executable=app["executable"],
            user=app["username"],
            bytes_in=sums[app["id"]]["bytes_in"],
            bytes_out=sums[app["id"]]["bytes_out"],
            last_used=sums[app["id"]]["last_used"],
        )
        for app in apps
    ]
    bytes_in, bytes_out = sum(share.bytes_in for share in shares), sum(share.bytes_out for share in shares)
    return BrowserRow(
        name=name,
        bytes_in=bytes_in,
        bytes_out=bytes_out,
        share=(bytes_in + bytes_out) / total if total else 0.0,
        connections=sum(sums[app["id"]]["connections"] for app in apps),
        hosts=counts[0],
        domains=counts[1],
        last_used=max(share.last_used for share in shares),
        applications=sorted(shares, key=lambda share: (-share.bytes_in - share.bytes_out, share.id)),
    )

"""Tables of applications and of domains, for all endpoints that answer with one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from netally.api import ranges
from netally.api.reading import Reading, page_of, sums_of
from netally.contracts.browsers import browser_of
from netally.contracts.codes import DomainSource
from netally.contracts.queries import (
    ApplicationRow,
    ApplicationsAnswer,
    DomainRow,
    DomainsAnswer,
    DomainUser,
    Subdomain,
)
from netally.store.registrable import registrable_domain

MOST_SUBDOMAINS: Final = 50
_SOURCES: Final = DomainSource.labels()


async def read_applications(
    reading: Reading,
    span: ranges.TimeRange,
    limit: int,
    offset: int,
    sort: str,
    *,
    domain: int | None = None,
    count_domains: bool = True,
) -> ApplicationsAnswer:
    domains = None if domain is None else [domain]
    counted = reading.counted(span, domains=domains, totals_suffice=True, sums_suffice=True)
    rows = await reading.rows("applications", counted, sort=sort, limit=limit, offset=offset)
    page = page_of(rows)
    numbers: dict[int, int] = {}
    if count_domains and page:
        of_page = reading.counted(span, apps=[row["id"] for row in page], domains=domains, sums_suffice=True)
        numbers = {row["app_id"]: row["domains"] for row in await reading.rows("app_domains", of_page)}
    found = [_row(row, numbers.get(row["id"], 0) if count_domains else None) for row in page]
    return ApplicationsAnswer(applications=found, **sums_of(rows), meta=await reading.meta(span))


def _row(row: Any, domains: int | None) -> ApplicationRow:
    return ApplicationRow(
        id=row["id"],
        name=row["name"],
        executable=row["executable"],
        user=row["username"],
        bytes_in=row["bytes_in"],
        bytes_out=row["bytes_out"],
        connections=row["connections"],
        domains=domains,
        hosts=row["hosts"],
        last_used=row["last_used"],
        browser=browser_of(row["name"], row["executable"]) or "",
    )


async def read_sums(
    reading: Reading, span: ranges.TimeRange, *, apps: list[int] | None = None, domains: list[int] | None = None
) -> dict[str, Any]:
    """Bytes, connections and last use of everything together."""
    counted = reading.counted(span, apps=apps, domains=domains, totals_suffice=True, sums_suffice=True)
    rows: Sequence[Any] = await reading.rows("sums_by", counted, dimension="none")
    keys = ("bytes_in", "bytes_out", "connections", "last_used")
    return {key: rows[0][key] for key in keys} if rows else dict(zip(keys, (0, 0, 0, None), strict=True))


async def read_domains(
    reading: Reading, span: ranges.TimeRange, limit: int, offset: int, sort: str, *, app: int | None = None
) -> DomainsAnswer:
    apps = None if app is None else [app]
    counted = reading.counted(span, apps=apps, sums_suffice=True)
    rows = await reading.rows("domains", counted, sort=sort, limit=limit, offset=offset)
    page = page_of(rows)
    parts = await _parts(reading, span, apps, [(row["id"], number) for number, row in enumerate(page)])
    found = [
        DomainRow(
            id=row["id"],
            name=row["name"],
            **_told(parts[number]),
            bytes_in=row["bytes_in"],
            bytes_out=row["bytes_out"],
            connections=row["connections"],
            last_used=row["last_used"],
        )
        for number, row in enumerate(page)
    ]
    return DomainsAnswer(domains=found, **sums_of(rows), meta=await reading.meta(span))


async def _parts(
    reading: Reading, span: ranges.TimeRange, apps: list[int] | None, members: list[tuple[int, int]]
) -> dict[int, Any]:
    """Rows of statement ``domain_groups`` by the number of the group. ``members`` are ids of domains with it."""
    if not members:
        return {}
    ids, numbers = [domain for domain, _ in members], [number for _, number in members]
    # Raw flows tell how a name was found.
    counted = reading.counted(span, apps=apps, domains=ids, sums_suffice=span.tier != "raw")
    return {row["number"]: row for row in await reading.rows("domain_groups", counted, ids=ids, numbers=numbers)}


def _told(part: Any) -> dict[str, Any]:
    """Who used a group of domains, and how its names were found."""
    users = zip(part["app_ids"], part["app_names"], part["app_executables"], part["app_bytes"], strict=True)
    return {
        "sources": [_SOURCES.get(source, str(source)) for source in part["sources"]],
        "applications": [
            DomainUser(id=number, name=name, bytes=used, browser=browser_of(name, executable) or "")
            for number, name, executable, used in users
        ],
        "hosts": part["hosts"],
    }


async def read_domain_groups(
    reading: Reading, span: ranges.TimeRange, limit: int, offset: int, sort: str, *, app: int | None = None
) -> DomainsAnswer:
    """The same, each registrable domain as one row with its domains inside."""
    apps = None if app is None else [app]
    sums = await reading.rows("sums_by", reading.counted(span, apps=apps, sums_suffice=True), dimension="domain")
    names = {row["id"]: row["name"] for row in await reading.rows("domain_names", ids=[row["id"] for row in sums])}
    groups: dict[str, list[Any]] = {}
    for row in sums:
        groups.setdefault(registrable_domain(names[row["id"]]), []).append(row)
    totals = {name: _summed(rows) for name, rows in groups.items()}
    page = sorted(totals, key=lambda name: _place(name, totals[name], sort))[offset : offset + limit]
    members = [(row["id"], number) for number, name in enumerate(page) for row in groups[name]]
    parts = await _parts(reading, span, apps, members)
    found = [_group(name, groups[name], totals[name], names, parts[number]) for number, name in enumerate(page)]
    total_in, total_out = (sum(one[key] for one in totals.values()) for key in ("bytes_in", "bytes_out"))
    return DomainsAnswer(
        domains=found,
        others_count=len(totals) - len(found),
        others_bytes_in=total_in - sum(row.bytes_in for row in found),
        others_bytes_out=total_out - sum(row.bytes_out for row in found),
        total_bytes_in=total_in,
        total_bytes_out=total_out,
        meta=await reading.meta(span),
    )


def _summed(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    found = {"bytes_in": 0, "bytes_out": 0, "connections": 0, "last_used": 0}
    for row in rows:
        for key in ("bytes_in", "bytes_out", "connections"):
            found[key] += row[key]
        found["last_used"] = max(found["last_used"], row["last_used"])
    return found


def _place(name: str, sums: Mapping[str, int], sort: str) -> tuple[int, str]:
    if sort == "name":
        return 0, name
    return -(sums["bytes_in"] + sums["bytes_out"] if sort == "bytes" else sums[sort]), name


def _group(name: str, rows: Sequence[Any], sums: Mapping[str, int], names: Mapping[int, str], part: Any) -> DomainRow:
    rows = sorted(rows, key=lambda row: (-row["bytes_in"] - row["bytes_out"], names[row["id"]], row["id"]))
    return DomainRow(
        id=rows[0]["id"],
        name=name,
        **_told(part),
        bytes_in=sums["bytes_in"],
        bytes_out=sums["bytes_out"],
        connections=sums["connections"],
        last_used=sums["last_used"],
        subdomains=[
            Subdomain(
                id=row["id"],
                name=names[row["id"]],
                bytes_in=row["bytes_in"],
                bytes_out=row["bytes_out"],
                last_used=row["last_used"],
            )
            for row in rows[:MOST_SUBDOMAINS]
        ],
        subdomains_count=len(rows),
    )

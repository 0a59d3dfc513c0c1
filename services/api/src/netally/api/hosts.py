"""``GET /api/hosts``, one host, and where the bytes of its counters went."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec
from litestar import get
from litestar.di import NamedDependency

from netally.api import ranges
from netally.api.bus import LiveBus
from netally.api.coverage import Fleet, host_state, state_of
from netally.api.parameters import Id
from netally.api.problems import DETAIL_PROBLEMS, QUERY_PROBLEMS, not_found, refused_parameter
from netally.api.reading import Asking, Reading, read_table
from netally.api.wanted_settings import wanted
from netally.bus import subjects
from netally.contracts.agent import InterfaceState
from netally.contracts.codes import Cause, Scope
from netally.contracts.live_settings import HostSettings
from netally.contracts.queries import (
    CauseSum,
    ConservationAnswer,
    FleetConservationAnswer,
    HostAnswer,
    HostConservation,
    HostRow,
    HostsAnswer,
    InterfaceConservation,
    InterfaceRow,
    RefusedSum,
    SettingsState,
)
from netally.store.filters.tree import Everything

_interfaces = msgspec.json.Decoder(list[InterfaceState])
_CAUSES = Cause.labels()
LOOPBACKS = ["lo", "lo0"]
"""Names that loopback has on Linux and macOS; a tally tells no more of an interface than its name."""


@get("/api/hosts", summary="Hosts, their state and their traffic", responses=QUERY_PROBLEMS)
async def hosts(asked: NamedDependency[Asking]) -> HostsAnswer:
    """Every host by name, replayed captures too. `interfaces` are those that are captured."""
    async with read_table(asked) as (reading, span):
        rows = [
            row for row in reading.host_rows if reading.fleet.host_ids is None or row["id"] in reading.fleet.host_ids
        ]
        return HostsAnswer(hosts=await _host_rows(reading, span, rows), meta=await reading.meta(span))


async def _host_rows(reading: Reading, span: ranges.TimeRange, rows: list[Any]) -> list[HostRow]:
    # A host's own figures hold its side of peer flows whatever its role. Only replayed captures have rows of their
    # scope, and each of them is a host of its own here.
    counted = msgspec.structs.replace(
        reading.counted(span, totals_suffice=True, sums_suffice=True),
        hosts=[row["id"] for row in rows],
        scopes=sorted({*reading.fleet.scopes, int(Scope.REPLAY)}),
        both_sides=True,
    )
    used = {
        row["id"]: (row["bytes_in"], row["bytes_out"])
        for row in await reading.rows("sums_by", counted, dimension="host")
    }
    refused: dict[int, list[RefusedSum]] = defaultdict(list)
    for one in await reading.rows("refused", hosts=[row["id"] for row in rows], since=span.start):
        refused[one["host_id"]].append(RefusedSum(one["reason"], one["rows"], one["bytes"]))
    return [
        HostRow(
            id=row["id"],
            name=row["name"],
            kind=row["kind"],
            state=state_of(host_state(row), reading.now),
            mode=row["mode"] or "",
            mode_reason=row["mode_reason"] or "",
            version=row["version"] or "",
            interval=row["interval_seconds"],
            reported_at=row["reported_at"],
            complete_until=row["complete_until"],
            bytes_in=used.get(row["id"], (0, 0))[0],
            bytes_out=used.get(row["id"], (0, 0))[1],
            spool_batches=row["spool_batches"] or 0,
            lost_batches=row["lost_batches"] or 0,
            ring_drops=row["ring_drops"] or 0,
            interfaces=[found.name for found in _interfaces.decode(row["interfaces"] or "[]") if found.captured],
            clock_offset_ms=row["clock_offset_ms"],
            refused=refused.get(row["id"], []),
        )
        for row in rows
    ]


def _about_host(reading: Reading, number: int) -> Any:
    """Its row; coverage of the answer is then that of this host. Raises the 404."""
    for row in reading.host_rows:
        if row["id"] == number:
            reading.fleet = Fleet(
                hosts=[host_state(row)], host_ids=[number], scopes=reading.fleet.scopes, both_sides=True
            )
            return row
    raise not_found(f"There is no host {number}.")


@get("/api/hosts/{host_id:int}", summary="One host", responses=DETAIL_PROBLEMS)
async def host(asked: NamedDependency[Asking], bus: NamedDependency[LiveBus], host_id: Id) -> HostAnswer:
    """Its state, interfaces and traffic, and whether it follows the settings that it was given."""
    async with read_table(asked) as (reading, span):
        row = _about_host(reading, host_id)
        first_seen = (await reading.named("host", host_id, "host"))["first_seen"]
        agents = await reading.rows("agent", id=host_id)
        (found,) = await _host_rows(reading, span, [row])
        meta = await reading.meta(span)
    agent = agents[0] if agents else {}
    desired = await wanted(bus, subjects.host_settings_key(row["name"]), HostSettings())
    return HostAnswer(
        host=found,
        first_seen=first_seen,
        started_at=agent["started_at"] if agent else None,
        spool_bytes=agent["spool_bytes"] if agent else 0,
        interfaces=[
            InterfaceRow(name=one.name, addresses=one.addresses, captured=one.captured, speed_mbit=one.speed_mbit)
            for one in _interfaces.decode(row["interfaces"] or "[]")
        ],
        settings=SettingsState(
            desired_version=desired.version if desired else None,
            actual_version=agent["settings_version"] if agent else None,
            desired_interval=desired.interval if desired else None,
            actual_interval=agent["interval_seconds"] if agent else None,
            desired_paused=desired.paused if desired else None,
            actual_paused=agent["paused"] if agent else None,
        ),
        meta=meta,
    )


@get("/api/hosts/{host_id:int}/conservation", summary="Where every byte of a host went", responses=DETAIL_PROBLEMS)
async def conservation(asked: NamedDependency[Asking], host_id: Id) -> ConservationAnswer:
    """Each interface's counter in the range as the sum of its causes. No filter can divide a counter: it is refused."""
    _refuse_filter(asked)
    async with read_table(asked) as (reading, span):
        row = _about_host(reading, host_id)
        rows = await reading.rows("tally_by_cause", tier=span.tier, start=span.start, end=span.end, host_id=host_id)
        meta = await reading.meta(span)
    by_interface: dict[str, list[CauseSum]] = defaultdict(list)
    for one in rows:
        by_interface[one["interface"]].append(_cause(one["cause"], [one]))
    causes = _every_cause([one for one in rows if one["interface"] not in LOOPBACKS])
    return ConservationAnswer(
        host=row["name"],
        interfaces=[
            InterfaceConservation(
                interface=name,
                counter_in=sum(cause.bytes_in for cause in found),
                counter_out=sum(cause.bytes_out for cause in found),
                causes=found,
            )
            for name, found in by_interface.items()
        ],
        total_in=sum(cause.bytes_in for cause in causes),
        total_out=sum(cause.bytes_out for cause in causes),
        causes=causes,
        meta=meta,
    )


@get("/api/conservation", summary="Where every byte of the fleet went", responses=QUERY_PROBLEMS)
async def fleet_conservation(asked: NamedDependency[Asking]) -> FleetConservationAnswer:
    """The counters of all interfaces of the hosts in the range as the sum of their causes, without loopback. No filter
    can divide a counter: it is refused; `host` chooses hosts.
    """
    _refuse_filter(asked)
    async with read_table(asked) as (reading, span):
        wanted_hosts = [
            row for row in reading.host_rows if reading.fleet.host_ids is None or row["id"] in reading.fleet.host_ids
        ]
        rows = await reading.rows(
            "tally_of_fleet",
            tier=span.tier,
            start=span.start,
            end=span.end,
            hosts=[row["id"] for row in wanted_hosts],
            loopbacks=LOOPBACKS,
        )
        meta = await reading.meta(span)
    by_host: dict[int, list[CauseSum]] = defaultdict(list)
    for one in rows:
        by_host[one["host_id"]].append(_cause(one["cause"], [one]))
    causes = _every_cause(rows)
    return FleetConservationAnswer(
        hosts=[
            HostConservation(
                id=row["id"],
                host=row["name"],
                total_in=sum(cause.bytes_in for cause in by_host[row["id"]]),
                total_out=sum(cause.bytes_out for cause in by_host[row["id"]]),
                causes=by_host[row["id"]],
            )
            for row in wanted_hosts
            if row["id"] in by_host
        ],
        total_in=sum(cause.bytes_in for cause in causes),
        total_out=sum(cause.bytes_out for cause in causes),
        causes=causes,
        meta=meta,
    )


def _refuse_filter(asked: Asking) -> None:
    if not isinstance(asked.filter, Everything):
        raise refused_parameter("filter", "A counter of an interface cannot be divided by a filter: leave it out.")


def _every_cause(rows: list[Any]) -> list[CauseSum]:
    """One sum for each cause there is, so that who draws them needs no list of his own."""
    known = {*_CAUSES, *(row["cause"] for row in rows)}
    return [_cause(number, [row for row in rows if row["cause"] == number]) for number in sorted(known)]


def _cause(number: int, rows: list[Any]) -> CauseSum:
    keys = ("bytes_in", "bytes_out", "packets_in", "packets_out")
    return CauseSum(_CAUSES.get(number, str(number)), *(sum(row[key] for row in rows) for key in keys))

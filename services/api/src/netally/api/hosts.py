"""``GET /api/hosts``."""

from __future__ import annotations

import msgspec
from litestar import get
from litestar.di import NamedDependency

from netally.api.coverage import host_state, state_of
from netally.api.database import Database
from netally.api.parameters import From, Hosts, Range, To
from netally.api.problems import QUERY_PROBLEMS
from netally.api.reading import Clock, read_table
from netally.contracts.agent import InterfaceState
from netally.contracts.codes import Scope
from netally.contracts.queries import HostRow, HostsAnswer

_interfaces = msgspec.json.Decoder(list[InterfaceState])


@get("/api/hosts", summary="Hosts, their state and their traffic", responses=QUERY_PROBLEMS)
async def hosts(
    database: NamedDependency[Database],
    clock: NamedDependency[Clock],
    from_: From = None,
    to: To = None,
    range_: Range = None,
    host: Hosts = None,
) -> HostsAnswer:
    """Every host by name, replayed captures too. `interfaces` are those that are captured."""
    async with read_table(database, clock, from_, to, range_, host) as (reading, span):
        traffic = await reading.rows(
            "host_traffic",
            tier=span.tier,
            start=span.start,
            end=span.end,
            hosts=reading.fleet.host_ids,
            # Only replayed captures have rows of this scope, and each of them is a host of its own here.
            scopes=[*reading.fleet.scopes, int(Scope.REPLAY)],
        )
        meta = await reading.meta(span)
    used = {row["host_id"]: (row["bytes_in"], row["bytes_out"]) for row in traffic}
    asked = reading.fleet.host_ids
    return HostsAnswer(
        hosts=[
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
            )
            for row in reading.host_rows
            if asked is None or row["id"] in asked
        ],
        meta=meta,
    )

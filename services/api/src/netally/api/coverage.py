"""What an answer rests on: its hosts, which of them report, and how much of the range was measured. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from netally.api.problems import bad_parameter
from netally.api.ranges import TimeRange
from netally.contracts.codes import Scope
from netally.contracts.queries import Meta

SILENT_INTERVALS: Final = 3
SILENT_LEAST_MS: Final = 15_000
"""Agents tell their state every ten seconds, however short their interval."""
DEFAULT_INTERVAL: Final = 5

COUNTED_SCOPES: Final = (int(Scope.UNKNOWN), int(Scope.INTERNET), int(Scope.PRIVATE), int(Scope.PEER))
"""Scopes inside totals: not loopback, not replay."""


class HostState(msgspec.Struct, frozen=True):
    """A row of statement ``fleet``."""

    id: int
    name: str
    kind: str
    interval: int | None
    paused: bool
    heard_at: int | None
    """When anything of it was last received."""
    complete_until: int | None


class Fleet(msgspec.Struct, frozen=True):
    """The hosts an answer is about, and how they restrict the rows that count."""

    hosts: list[HostState]
    host_ids: list[int] | None
    """Argument of the statements; null for all."""
    scopes: list[int]
    both_sides: bool
    """Count the server's side of peer flows: right for one host alone, twice the bytes for several."""

    @property
    def intervals(self) -> set[int]:
        return {host.interval for host in self.hosts if host.interval}


def host_state(row: Mapping[str, Any]) -> HostState:
    return HostState(
        id=row["id"],
        name=row["name"],
        kind=row["kind"],
        interval=row["interval_seconds"],
        paused=bool(row["paused"]),
        heard_at=row["heard_at"],
        complete_until=row["complete_until"],
    )


def fleet_of(
    known: Sequence[HostState],
    names: Sequence[str] | None,
    filtered: Sequence[str] | None = None,
    *,
    everything: bool = True,
) -> Fleet:
    """All agents, or the hosts with these names. Raises the 400 for a name that no host has.

    ``filtered`` are names, in lower case, that a filter restricts to further; there an unknown one is no mistake.
    ``known`` are the hosts that the caller may see; without ``everything`` there are others.
    A replayed capture is outside all totals, so its bytes count only where its host is asked for by name.
    """
    by_name = {host.name: host for host in known}
    for name in names or ():
        if name not in by_name:
            raise bad_parameter("host", f"There is no host {name!r}.")
    if not names and filtered is None:
        agents = [host for host in known if host.kind == "agent"]
        if everything:
            return Fleet(hosts=agents, host_ids=None, scopes=list(COUNTED_SCOPES), both_sides=False)
        host_ids = [host.id for host in known]
        return Fleet(hosts=agents, host_ids=host_ids, scopes=list(COUNTED_SCOPES), both_sides=len(agents) == 1)
    hosts = [by_name[name] for name in dict.fromkeys(names or by_name)]
    if filtered is not None:
        hosts = [host for host in hosts if host.name.lower() in filtered]
    replay = [int(Scope.REPLAY)] if any(host.kind == "replay" for host in hosts) else []
    return Fleet(
        hosts=hosts,
        host_ids=[host.id for host in hosts],
        scopes=[*COUNTED_SCOPES, *replay],
        both_sides=len(hosts) == 1,
    )


def state_of(host: HostState, now: int) -> str:
    """``reporting``, ``paused``, ``silent`` or ``never``; a replayed capture never falls silent."""
    if host.heard_at is None:
        return "never"
    patience = max(SILENT_INTERVALS * (host.interval or DEFAULT_INTERVAL) * 1000, SILENT_LEAST_MS)
    if host.kind == "agent" and now - host.heard_at > patience:
        return "silent"
    return "paused" if host.paused else "reporting"


def complete_until(hosts: Iterable[HostState], now: int) -> int | None:
    """The least over the hosts that report."""
    ends = [host.complete_until for host in hosts if state_of(host, now) in ("reporting", "paused")]
    known = [end for end in ends if end is not None]
    return min(known) if known else None


def measured_until(fleet: Fleet, span: TimeRange, now: int) -> int:
    """Up to where the share of measured time is told: what has not come in yet is late, not unmeasured."""
    complete = complete_until(fleet.hosts, now)
    until = min(span.end, now if complete is None else min(complete, now))
    return until if until > span.start else max(min(span.end, now), span.start)


def meta(
    fleet: Fleet, span: TimeRange, measured_ms: Mapping[int, int], measured_to: int, now: int, read_ms: int
) -> Meta:
    """Coverage of an answer. ``measured_ms`` is per host id in ``[span.start, measured_to)``."""
    missing = [host.name for host in fleet.hosts if state_of(host, now) in ("silent", "never")]
    host_time = len(fleet.hosts) * (measured_to - span.start)
    measured = sum(measured_ms.get(host.id, 0) for host in fleet.hosts)
    return Meta(
        tier=span.tier,
        start=span.start,
        end=span.end,
        hosts_expected=len(fleet.hosts),
        hosts_reported=len(fleet.hosts) - len(missing),
        hosts_missing=missing,
        complete_until=complete_until(fleet.hosts, now),
        measured_share=min(measured / host_time, 1.0) if host_time > 0 else None,
        read_ms=read_ms,
    )

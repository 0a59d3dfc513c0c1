"""Addresses of the agents: a flow to one of them is between two agents, and the fleet counts it from one side only."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Final

import asyncpg
import msgspec
from msgspec.structs import replace

from netally.contracts.agent import InterfaceState
from netally.contracts.codes import Scope
from netally.contracts.flow import FlowsObserved
from netally.store import sql

LOOK_EVERY_MS: Final = 5_000
"""Addresses are read again when they are older: what a new agent sends before counts as any other traffic."""
KNOWN_FOR_MS: Final = 7 * 86_400_000
"""An agent that has said nothing for longer has no address: it may be somebody else's by now."""


_PEER = int(Scope.PEER)
_OUTSIDE = (int(Scope.UNKNOWN), int(Scope.INTERNET), int(Scope.PRIVATE))
_remote = attrgetter("remote")
_decoder = msgspec.json.Decoder(list[InterfaceState])


class Peers:
    """Host of each address, as the agents' last reports say."""

    def __init__(self, pool: asyncpg.Pool, clock: Callable[[], int]) -> None:
        self._pool = pool
        self._clock = clock
        self._read_at = -LOOK_EVERY_MS
        self._hosts: Mapping[bytes, int] = {}

    async def hosts(self) -> Mapping[bytes, int]:
        """Host id by packed address. Raises what the database raises."""
        now = self._clock()
        if abs(now - self._read_at) >= LOOK_EVERY_MS:
            found = await sql.fetch(self._pool, "agent_interfaces", since=now - KNOWN_FOR_MS)
            self._hosts = addresses((row["host_id"], _interfaces(row["interfaces"])) for row in found)
            self._read_at = now
        return self._hosts

    def forget(self) -> None:
        self._read_at = -LOOK_EVERY_MS


def _interfaces(text: str) -> list[InterfaceState]:
    """As they were stored; none where that is nothing this version reads, so that no host holds up all others."""
    try:
        return _decoder.decode(text)
    except msgspec.DecodeError:
        return []


def with_peers(batch: FlowsObserved, host_id: int, hosts: Mapping[bytes, int]) -> FlowsObserved:
    """The batch with the scope of peers where the other end is another host of ``hosts``. An agent knows its own
    addresses only, and calls them private or of the internet.
    """
    # Most batches have none, and then no record is touched.
    if hosts.keys().isdisjoint(map(_remote, batch.records)):
        return batch
    return replace(
        batch,
        records=[
            replace(record, scope=_PEER)
            if hosts.get(record.remote, host_id) != host_id and record.scope in _OUTSIDE
            else record
            for record in batch.records
        ],
    )


def addresses(reports: Iterable[tuple[int, Iterable[InterfaceState]]]) -> dict[bytes, int]:
    """Host id by packed address, of the interfaces that are captured. An address that several hosts claim (a private
    range used in two places) is nobody's, and so is one that means something else on each link.
    """
    found: dict[bytes, int] = {}
    shared: set[bytes] = set()
    for host_id, interfaces in reports:
        for interface in interfaces:
            for text in interface.addresses if interface.captured else ():
                try:
                    address = ipaddress.ip_address(text)
                except ValueError:
                    continue
                if address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast:
                    continue
                if found.setdefault(address.packed, host_id) != host_id:
                    shared.add(address.packed)
    return {address: host_id for address, host_id in found.items() if address not in shared}

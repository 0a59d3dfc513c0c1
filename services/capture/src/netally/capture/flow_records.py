"""A cut of the flow table in, flow records and the causes of each interface's bytes out. Pure vector work."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from netally.capture.dissector import TCP, UDP
from netally.capture.flow_table import Counters, Cut, FlowTable, Slots, client_is_a
from netally.capture.naming_rules import Rename, as_found
from netally.capture.packets import A_IS_LOCAL, B_IS_LOCAL, INTERFACE_MASK, Words, address_bytes, address_words, among
from netally.capture.scope import scope_of
from netally.contracts.codes import Cause, DomainSource, ProcessSource, Role, Scope
from netally.contracts.flow import MAX_RECORDS, App, FlowRecord

UNKNOWN_APP: Final = App(name="")

CauseCounts = dict[tuple[int, Cause], list[int]]
"""(interface, cause) → bytes in, bytes out, packets in, packets out."""


class Records(NamedTuple):
    """Everything of one interval."""

    apps: list[App]
    """Index 0 is unknown."""
    domains: list[str]
    records: list[FlowRecord]
    causes: CauseCounts


class Seen(NamedTuple):
    """Flows as this machine sees them, as columns."""

    protocol: NDArray[np.int64]
    family: NDArray[np.int64]
    interface: NDArray[np.int64]
    loopback: NDArray[np.bool_]
    local: Words
    """(n, 2)"""
    remote: Words
    server_port: NDArray[np.int64]
    is_client: NDArray[np.bool_]
    amounts: Counters
    """(n, 4): bytes in, bytes out, packets in, packets out."""


def see(
    table: FlowTable, slots: Slots, counters: Counters, listening: NDArray[np.int64], loopbacks: Collection[int]
) -> Seen:
    """Flows from this machine's side; on loopback from the client's. ``listening`` holds protocol << 16 | port,
    ``loopbacks`` the indexes of loopback interfaces.
    """
    words = table.words[slots]
    last = words[:, 4].astype(np.int64)
    # The uppermost bit of a port above 32767 is a sign here: mask after shifting.
    a_port, b_port = last >> 48 & 0xFFFF, last >> 32 & 0xFFFF
    protocol, interface, family = last >> 24 & 0xFF, last >> 1 & INTERFACE_MASK, np.where(last & 1, 6, 4)
    events = table.events[slots]
    loopback = among(interface, np.array(sorted(loopbacks), np.int64))
    a_local, b_local = (events & A_IS_LOCAL) != 0, (events & B_IS_LOCAL) != 0
    a_listens = among(protocol << 16 | a_port, listening) & (a_local | loopback)
    b_listens = among(protocol << 16 | b_port, listening) & (b_local | loopback)
    a_client = client_is_a(events, a_port, b_port, protocol, a_listens, b_listens)
    local_is_a = np.where(a_local == b_local, a_client, a_local)
    side = local_is_a[:, None]
    return Seen(
        protocol=protocol,
        family=family,
        interface=interface,
        loopback=loopback,
        local=np.where(side, words[:, 0:2], words[:, 2:4]),
        remote=np.where(side, words[:, 2:4], words[:, 0:2]),
        server_port=np.where(a_client, b_port, a_port),
        is_client=a_client == local_is_a,
        amounts=np.where(side, counters[:, [1, 0, 3, 2]], counters),
    )


def make_records(
    table: FlowTable,
    cut: Cut,
    listening: NDArray[np.int64],
    loopbacks: Collection[int],
    own_addresses: Collection[bytes],
    rename: Rename = as_found,
) -> Records:
    """Flow records of a cut: one for each application, domain, scope, protocol, port, role, remote and sources."""
    seen = see(table, cut.slots, cut.counters, listening, loopbacks)
    apps: dict[App, int] = {UNKNOWN_APP: 0}
    domains: dict[str, int] = {"": 0}
    app = np.array(
        [apps.setdefault(rename(found) if found else UNKNOWN_APP, len(apps)) for found in table.process[cut.slots]],
        np.int64,
    )
    domain = np.array([domains.setdefault(name or "", len(domains)) for name in table.name[cut.slots]], np.int64)
    name_source = np.where(domain > 0, table.name_source[cut.slots], DomainSource.NONE).astype(np.int64)
    process_source = np.where(app > 0, table.process_source[cut.slots], ProcessSource.NONE).astype(np.int64)

    causes = _causes(seen, app > 0, domain > 0, own_addresses)
    role = np.where(seen.is_client, int(Role.CLIENT), int(Role.SERVER))
    packed = (
        seen.server_port << 32 | seen.protocol << 24 | role << 16 | name_source << 8 | process_source << 4
        | (seen.family == 6) << 1 | seen.loopback
    )  # fmt: skip
    keys = (app, domain, packed, seen.remote[:, 0], seen.remote[:, 1])
    records = []
    for first, amounts, connections in _group(keys, seen.amounts, cut.connections):
        remote = address_bytes(int(seen.remote[first, 0]), int(seen.remote[first, 1]), int(seen.family[first]))
        records.append(
            FlowRecord(
                app=int(app[first]),
                domain=int(domain[first]),
                site=0,
                scope=int(Scope.LOOPBACK if seen.loopback[first] else scope_of(remote)),
                protocol=int(seen.protocol[first]),
                server_port=int(seen.server_port[first]),
                role=int(role[first]),
                remote=remote,
                bytes_in=amounts[0],
                bytes_out=amounts[1],
                packets_in=amounts[2],
                packets_out=amounts[3],
                connections=connections,
                domain_source=int(name_source[first]),
                process_source=int(process_source[first]),
            )
        )
    records += _other_records(cut, loopbacks, causes)
    return Records(list(apps), list(domains), records, causes)


def _group(
    keys: tuple[NDArray[np.int64] | Words, ...], amounts: Counters, connections: NDArray[np.int64]
) -> list[tuple[int, list[int], int]]:
    """(first row, summed amounts, summed connections) of each distinct key."""
    if not len(connections):
        return []
    order = np.lexsort(keys[::-1])
    different = np.zeros(len(order), np.bool_)
    different[0] = True
    for key in keys:
        ordered = key[order]
        different[1:] |= ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(different)
    sums = np.add.reduceat(amounts[order], starts, axis=0).tolist()
    opened = np.add.reduceat(connections[order], starts).tolist()
    return list(zip(order[starts].tolist(), sums, opened, strict=True))


def _other_records(cut: Cut, loopbacks: Collection[int], causes: CauseCounts) -> list[FlowRecord]:
    """Flows that a full table merged: bytes and protocol are known, nothing else."""
    records = []
    for other in cut.others:
        a_to_b, b_to_a, packets_ab, packets_ba = other.counters
        loopback = other.interface in loopbacks
        out_in = (b_to_a, a_to_b, packets_ba, packets_ab) if other.outgoing_is_a else other.counters
        amounts = [out_in[0], out_in[1], out_in[2], out_in[3]]
        _add_cause(causes, other.interface, Cause.UNKNOWN, amounts, loopback=loopback)
        records.append(
            FlowRecord(
                app=0,
                domain=0,
                site=0,
                scope=int(Scope.LOOPBACK if loopback else Scope.UNKNOWN),
                protocol=other.protocol,
                server_port=0,
                role=int(Role.UNKNOWN),
                remote=bytes(4),
                bytes_in=amounts[0],
                bytes_out=amounts[1],
                packets_in=amounts[2],
                packets_out=amounts[3],
                connections=other.connections,
                domain_source=int(DomainSource.NONE),
                process_source=int(ProcessSource.NONE),
            )
        )
    return records


def _causes(
    seen: Seen, has_app: NDArray[np.bool_], has_name: NDArray[np.bool_], own_addresses: Collection[bytes]
) -> CauseCounts:
    kernel = (seen.protocol != TCP) & (seen.protocol != UDP) & ~has_app
    cause = np.where(
        has_app,
        np.where(has_name, int(Cause.ATTRIBUTED), int(Cause.NO_NAME)),
        np.where(kernel, int(Cause.KERNEL), np.where(has_name, int(Cause.NO_PROCESS), int(Cause.UNKNOWN))),
    )
    # A container's traffic is passed on too, but its process is this machine's.
    cause = np.where(_forwarded(seen, own_addresses) & ~has_app, int(Cause.FORWARDED), cause)
    causes: CauseCounts = {}
    for first, amounts, _ in _group((seen.interface, cause), seen.amounts, np.zeros(len(cause), np.int64)):
        interface = int(seen.interface[first])
        _add_cause(causes, interface, Cause(int(cause[first])), amounts, loopback=bool(seen.loopback[first]))
    return causes


def _forwarded(seen: Seen, own_addresses: Collection[bytes]) -> NDArray[np.bool_]:
    """Neither this machine's own packets nor sent to it or to a group it listens to."""
    own = seen.loopback.copy()
    for address in own_addresses:
        high, low = address_words(address)
        own |= (seen.local[:, 0] == high) & (seen.local[:, 1] == low) & ((seen.family == 4) == (len(address) == 4))
    first_byte = np.where(seen.family == 4, seen.local[:, 1] >> np.uint64(24), seen.local[:, 0] >> np.uint64(56))
    group = np.where(seen.family == 4, first_byte >= 224, first_byte == 0xFF)
    # The directed broadcast of a network.
    group |= (seen.family == 4) & ((seen.local[:, 1] & np.uint64(0xFF)) == 0xFF)
    # Who has no address yet (DHCP, RFC 4862 5.4.2) is this machine: no router passes that on.
    group |= ~seen.local.any(axis=1)
    return ~(own | group)


def _add_cause(causes: CauseCounts, interface: int, cause: Cause, amounts: Sequence[int], *, loopback: bool) -> None:
    """Loopback's counters show every packet on both sides, so does its tally."""
    if loopback:
        total_bytes, total_packets = amounts[0] + amounts[1], amounts[2] + amounts[3]
        amounts = [total_bytes, total_bytes, total_packets, total_packets]
    sums = causes.setdefault((interface, cause), [0, 0, 0, 0])
    for column, value in enumerate(amounts):
        sums[column] += value


class Part(NamedTuple):
    """Records that fit one batch, with tables of their own."""

    apps: list[App]
    domains: list[str]
    records: list[FlowRecord]


def split(records: Records, limit: int = MAX_RECORDS) -> list[Part]:
    """Parts of at most ``limit`` records; one empty part when there are none."""
    if len(records.records) <= limit:
        return [Part(records.apps, records.domains, records.records)]
    parts = []
    for begin in range(0, len(records.records), limit):
        apps: dict[int, int] = {0: 0}
        domains: dict[int, int] = {0: 0}
        moved = [
            msgspec.structs.replace(
                record,
                app=apps.setdefault(record.app, len(apps)),
                domain=domains.setdefault(record.domain, len(domains)),
            )
            for record in records.records[begin : begin + limit]
        ]
        parts.append(Part([records.apps[old] for old in apps], [records.domains[old] for old in domains], moved))
    return parts

"""Batch to rows, one function a table of `netally.store.tables`. Pure. Times are epoch milliseconds."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from netally.contracts.flow import FlowsObserved
from netally.store.database import binary_time
from netally.store.tables import FLOW, Row

TOO_OLD = "too_old"
FUTURE = "future"

# A row of `flow` in the binary format of COPY: number of columns, then for each its length (-1 for null) and its value.
_HEAD = struct.Struct("!hiqii")
_ID = struct.Struct("!ii")
_AMOUNT = struct.Struct("!iq")
_NULL = struct.pack("!i", -1)
_INET = {4: b"\0\0\0\x08\x02\x20\0\x04", 16: b"\0\0\0\x14\x03\x80\0\x10"}
"""Length, family, prefix length, "is no cidr" and length of an address."""
_PACK = {
    (address, no_retrans): struct.Struct(
        f"!22s 8s8s8s ih ih ii ih 8s{address}s iq iq iq iq {4 if no_retrans else 12}s ii ih ih 12s"
    ).pack
    for address in (4, 16)
    for no_retrans in (True, False)
}


class Placement(NamedTuple):
    """Where in time a batch goes."""

    start: int
    """Start of the interval its rows get."""
    reason: str | None
    """`TOO_OLD`: the rows are refused; `FUTURE`: they were moved to the current interval; None: as it said."""


def place(start: int, interval: int, now: int, oldest: int) -> Placement:
    """Placement of a batch that says ``start`` and lasts ``interval`` seconds.

    Later than now is the current interval: a row from the future would move the rollups' watermark ahead and hide what
    comes until then. Before ``oldest`` is refused: raw rows of that time may be gone already, and a recomputation of
    their bucket would replace it by the late rows alone.
    """
    if start > now:
        length = interval * 1000
        return Placement(now // length * length, FUTURE)
    return Placement(start, TOO_OLD if start < oldest else None)


def interval_end(batch: FlowsObserved, placed: Placement) -> int | None:
    """End of the batch's interval when the batch is the last part of it, else None."""
    coverage = batch.coverage
    return placed.start + batch.interval * 1000 if coverage.part == coverage.parts - 1 else None


def flow_image(
    batch: FlowsObserved, start: int, host_id: int, app_ids: Sequence[int], domain_ids: Sequence[int], received_at: int
) -> bytes:
    """Rows of the batch's records, as `tables.copy_image` takes them. Ids are in the order of the batch's tables.

    Packed here and not by asyncpg from tuples: that was the larger part of what a flow cost (0.5 µs instead of 1.4).
    """
    head = _HEAD.pack(len(FLOW.columns), 8, binary_time(start), 4, host_id)
    tail = _AMOUNT.pack(8, binary_time(received_at))
    apps = [_ID.pack(4, app_id) for app_id in app_ids]
    domains = [_ID.pack(4, domain_id) for domain_id in domain_ids]
    made = []
    for record in batch.records:
        remote, retrans = record.remote, record.retrans
        # fmt: off
        made.append(_PACK[len(remote), retrans is None](
            head, apps[record.app], domains[record.domain], domains[record.site], 2, record.scope, 2, record.protocol,
            4, record.server_port, 2, record.role, _INET[len(remote)], remote, 8, record.bytes_in,
            8, record.bytes_out, 8, record.packets_in, 8, record.packets_out,
            _NULL if retrans is None else _AMOUNT.pack(8, retrans), 4, record.connections, 2, record.domain_source,
            2, record.process_source, tail,
        ))
        # fmt: on
    return b"".join(made)


def tally_rows(batch: FlowsObserved, start: int, host_id: int) -> list[Row]:
    return [
        (start, host_id, row.interface, row.cause, row.bytes_in, row.bytes_out, row.packets_in, row.packets_out)
        for row in batch.tally
    ]


def coverage_rows(batch: FlowsObserved, start: int, host_id: int) -> list[Row]:
    """One row an interval: only its last part gives one, so that what came in part does not count as measured."""
    coverage = batch.coverage
    if coverage.part != coverage.parts - 1:
        return []
    return [(start, host_id, batch.interval, coverage.measured_ms, coverage.mode, coverage.paused)]


def total_bytes(batch: FlowsObserved) -> int:
    """L3 bytes of all records, for the count of what was refused."""
    return sum(record.bytes_in + record.bytes_out for record in batch.records)

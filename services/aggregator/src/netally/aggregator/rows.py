"""Batch to rows, one function a table of `netally.store.tables`. Pure. Times are epoch milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from netally.contracts.flow import FlowsObserved
from netally.store.tables import Row

TOO_OLD = "too_old"
FUTURE = "future"


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


def flow_rows(
    batch: FlowsObserved, start: int, host_id: int, app_ids: Sequence[int], domain_ids: Sequence[int], received_at: int
) -> list[Row]:
    """``app_ids`` and ``domain_ids`` are in the order of the batch's tables."""
    return [
        (
            start,
            host_id,
            app_ids[record.app],
            domain_ids[record.domain],
            domain_ids[record.site],
            record.scope,
            record.protocol,
            record.server_port,
            record.role,
            record.remote,
            record.bytes_in,
            record.bytes_out,
            record.packets_in,
            record.packets_out,
            record.retrans,
            record.connections,
            record.domain_source,
            record.process_source,
            received_at,
        )
        for record in batch.records
    ]


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

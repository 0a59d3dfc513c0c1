"""What the database holds of some batches, to the row and byte."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import asyncpg

from netally.contracts.flow import FlowsObserved
from tests.services import eventually


class Figures(NamedTuple):
    """Sums over everything."""

    rows: int
    bytes_in: int
    bytes_out: int
    intervals: int
    """Rows of ``coverage``."""
    tally_bytes: int


def figures_of(batches: Sequence[FlowsObserved]) -> Figures:
    """What the batches hold; each is the whole of its interval."""
    records = [record for batch in batches for record in batch.records]
    return Figures(
        len(records),
        sum(record.bytes_in for record in records),
        sum(record.bytes_out for record in records),
        len(batches),
        sum(row.bytes_in for batch in batches for row in batch.tally),
    )


async def committed_sequences(url: str) -> int:
    connection = await asyncpg.connect(url, timeout=5)
    try:
        return int(
            await connection.fetchval(
                """SELECT (SELECT coalesce(sum(low_water), 0) FROM ledger)
                        + (SELECT coalesce(sum(last_sequence - first_sequence + 1), 0) FROM ledger_ahead)"""
            )
        )
    finally:
        await connection.close()


async def stored_figures(url: str) -> Figures:
    connection = await asyncpg.connect(url)
    try:
        row: Any = await connection.fetchrow(
            """SELECT count(*), coalesce(sum(bytes_in), 0)::bigint, coalesce(sum(bytes_out), 0)::bigint,
                      (SELECT count(*) FROM coverage), (SELECT coalesce(sum(bytes_in), 0)::bigint FROM tally)
               FROM flow"""
        )
        for table, key in (("host", "name"), ("domain", "name"), ("app", "name, executable, username")):
            assert await connection.fetch(f"SELECT {key} FROM {table} GROUP BY {key} HAVING count(*) > 1") == []
    finally:
        await connection.close()
    return Figures(*row)


async def holds_exactly(url: str, batches: Sequence[FlowsObserved], within: float = 60) -> None:
    """Wait until every batch is in the ledger, then compare rows, bytes and intervals."""

    async def all_there() -> bool:
        return await committed_sequences(url) == len(batches)

    await eventually(all_there, within=within, every=0.2)
    assert await stored_figures(url) == figures_of(batches)

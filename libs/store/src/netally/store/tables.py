"""The tables that are written by COPY, and their columns in the order of the rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from netally.store import sql

Row = tuple[object, ...]


class Table(NamedTuple):
    name: str
    columns: tuple[str, ...]


FLOW = Table(
    "flow",
    (
        *("time", "host_id", "app_id", "domain_id", "site_id", "scope", "protocol", "server_port", "role", "remote"),
        *("bytes_in", "bytes_out", "packets_in", "packets_out", "retrans", "connections"),
        *("domain_source", "process_source", "received_at"),
    ),
)
TALLY = Table("tally", ("time", "host_id", "interface", "cause", "bytes_in", "bytes_out", "packets_in", "packets_out"))
COVERAGE = Table("coverage", ("time", "host_id", "interval_seconds", "measured_ms", "mode", "paused"))


async def copy(connection: sql.Connection, table: Table, rows: Iterable[Row]) -> int:
    """COPY rows in, taking them one by one; how many there were. Raises what asyncpg raises."""
    status = await connection.copy_records_to_table(table.name, columns=table.columns, records=rows)
    return int(status.rpartition(" ")[2])

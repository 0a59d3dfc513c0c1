"""The tables that are written by COPY, and their columns in the order of the rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import NamedTuple

from netally.store import sql

Row = tuple[object, ...]


# Signature, flags, length of an extension; and "no more rows" (PostgreSQL's documentation of COPY, "Binary Format").
_COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_TRAILER = b"\xff\xff"


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
TAB_ACTIVITY = Table("tab_activity", ("time", "host_id", "browser", "site_id", "seconds"))


async def copy(connection: sql.Connection, table: Table, rows: Iterable[Row]) -> int:
    """COPY rows in, taking them one by one; how many there were. Raises what asyncpg raises."""
    status = await connection.copy_records_to_table(table.name, columns=table.columns, records=rows)
    return int(status.rpartition(" ")[2])


async def copy_image(connection: sql.Connection, table: Table, images: Iterable[bytes]) -> int:
    """COPY rows in that are in COPY's binary format already, taking the images (whole rows each) one by one."""

    async def stream() -> AsyncIterator[bytes]:
        yield _COPY_HEADER
        for image in images:
            yield image
        yield _COPY_TRAILER

    status = await connection.copy_to_table(table.name, columns=table.columns, source=stream(), format="binary")
    return int(status.rpartition(" ")[2])

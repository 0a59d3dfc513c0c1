"""Rows by COPY."""

from __future__ import annotations

from typing import Any, Literal

from netally.store import tables


class Recorder:
    """Stands in for a connection; keeps what it was given."""

    def __init__(self) -> None:
        self.table = ""
        self.columns: tuple[str, ...] = ()
        self.image = b""

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        raise AssertionError(query)

    async def fetchrow(self, query: str, *args: Any) -> Any:
        raise AssertionError(query)

    async def fetchval(self, query: str, *args: Any) -> Any:
        raise AssertionError(query)

    async def execute(self, query: str, *args: Any) -> str:
        raise AssertionError(query)

    async def copy_records_to_table(self, table_name: str, *, columns: Any, records: Any) -> str:
        self.table, self.columns = table_name, columns
        return f"COPY {len(list(records))}"

    async def copy_to_table(self, table_name: str, *, source: Any, columns: Any, format: Literal["binary"]) -> str:  # noqa: A002
        self.table, self.columns = table_name, columns
        self.image = b"".join([part async for part in source])
        return "COPY 2"


async def test_rows_are_counted_and_columns_named() -> None:
    connection = Recorder()
    assert await tables.copy(connection, tables.TALLY, iter([(1,), (2,)])) == 2
    assert (connection.table, connection.columns) == ("tally", tables.TALLY.columns)


async def test_ready_rows_are_framed_as_the_format_demands() -> None:
    connection = Recorder()
    assert await tables.copy_image(connection, tables.FLOW, iter([b"one", b"two"])) == 2
    assert connection.image == b"PGCOPY\n\xff\r\n\0" + bytes(8) + b"onetwo" + b"\xff\xff"
    assert (connection.table, connection.columns) == ("flow", tables.FLOW.columns)

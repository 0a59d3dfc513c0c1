"""Rows by COPY."""

from __future__ import annotations

from typing import Any

from netally.store import tables


class Recorder:
    """Stands in for a connection; keeps what it was given."""

    def __init__(self) -> None:
        self.table = ""
        self.columns: tuple[str, ...] = ()

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


async def test_rows_are_counted_and_columns_named() -> None:
    connection = Recorder()
    assert await tables.copy(connection, tables.TALLY, iter([(1,), (2,)])) == 2
    assert (connection.table, connection.columns) == ("tally", tables.TALLY.columns)

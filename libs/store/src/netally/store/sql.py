"""The statements of ``queries/*.sql``, by name. aiosql reads the files and numbers the parameters, asyncpg runs them.

A statement is written as ::

    -- name: host_names
    -- Names of the hosts with these ids.
    SELECT id, name FROM host WHERE id = ANY (:ids)

and run as ``await sql.fetch(connection, "host_names", ids=[1, 2])``. Names are unique over all files.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import aiosql
from aiosql.adapters.asyncpg import AsyncPGAdapter

QUERIES = Path(__file__).parent / "queries"


class Statement(NamedTuple):
    text: str
    """SQL with ``$1``, ``$2`` …"""
    parameters: tuple[str, ...]
    """Names in the order of the numbers."""


class Connection(Protocol):
    """A pool or a connection of asyncpg."""

    async def fetch(self, query: str, *args: Any) -> list[Any]: ...
    async def fetchrow(self, query: str, *args: Any) -> Any: ...
    async def fetchval(self, query: str, *args: Any) -> Any: ...
    async def execute(self, query: str, *args: Any) -> str: ...
    async def copy_records_to_table(self, table_name: str, *, columns: Any, records: Any) -> str: ...
    async def copy_to_table(
        self,
        table_name: str,
        *,
        source: Any,
        columns: Any,
        format: Literal["binary"],  # noqa: A002  (asyncpg's name)
    ) -> str: ...


@cache
def statements() -> dict[str, Statement]:
    """Every statement of every file. Raises ValueError when two have the same name."""
    found: dict[str, Statement] = {}
    for path in sorted(QUERIES.glob("*.sql")):
        adapter = AsyncPGAdapter()  # type: ignore[no-untyped-call]  # aiosql leaves it untyped
        queries = aiosql.from_path(path, lambda made=adapter: made, mandatory_parameters=False)
        for name in queries.available_queries:
            if name.endswith("_cursor"):
                continue
            if name in found:
                raise ValueError(f"two statements are called {name}, the second in {path.name}")
            found[name] = Statement(getattr(queries, name).sql, tuple(adapter.var_sorted[name]))
    return found


def bind(name: str, arguments: dict[str, Any]) -> tuple[str, list[Any]]:
    """Text of a statement and its arguments in order. KeyError and TypeError as for `fetch`."""
    statement = statements()[name]
    if arguments.keys() != set(statement.parameters):
        raise TypeError(f"statement {name} takes {', '.join(statement.parameters)}, not {', '.join(arguments)}")
    return statement.text, [arguments[parameter] for parameter in statement.parameters]


async def fetch(connection: Connection, name: str, /, **arguments: Any) -> list[Any]:
    """All rows (asyncpg Records). KeyError for an unknown statement, TypeError for wrong arguments."""
    text, values = bind(name, arguments)
    return await connection.fetch(text, *values)


async def fetch_row(connection: Connection, name: str, /, **arguments: Any) -> Any:
    """The first row, or None."""
    text, values = bind(name, arguments)
    return await connection.fetchrow(text, *values)


async def fetch_value(connection: Connection, name: str, /, **arguments: Any) -> Any:
    """First column of the first row, or None."""
    text, values = bind(name, arguments)
    return await connection.fetchval(text, *values)


async def execute(connection: Connection, name: str, /, **arguments: Any) -> str:
    """The server's command tag, such as ``INSERT 0 3``."""
    text, values = bind(name, arguments)
    return await connection.execute(text, *values)

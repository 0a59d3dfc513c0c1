"""Statements live in files, by name, and nowhere else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import pytest

from netally.store import sql

ROOT = Path(__file__).parents[3]
STATEMENT = re.compile(
    r"""["'\s](SELECT\s.+\sFROM\s|INSERT\s+INTO\s|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s|CREATE\s+TABLE\s|DROP\s+TABLE\s)"""
)


class Recorder:
    """Stands in for a connection; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: tuple[str, tuple[Any, ...]] = ("", ())

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        self.asked = query, args
        return []

    async def fetchrow(self, query: str, *args: Any) -> Any:
        self.asked = query, args

    async def fetchval(self, query: str, *args: Any) -> Any:
        self.asked = query, args

    async def execute(self, query: str, *args: Any) -> str:
        self.asked = query, args
        return "OK"

    async def copy_records_to_table(self, table_name: str, *, columns: Any, records: Any) -> str:
        return f"COPY {len(list(records))}"

    async def copy_to_table(self, table_name: str, *, source: Any, columns: Any, format: Literal["binary"]) -> str:  # noqa: A002
        raise AssertionError(table_name)


def test_every_file_has_statements_with_names_of_their_own() -> None:
    found = sql.statements()
    written = sum(path.read_text().count("-- name:") for path in sql.QUERIES.glob("*.sql"))
    assert len(found) == written > 10


async def test_arguments_go_by_name_whatever_their_order() -> None:
    connection = Recorder()
    await sql.execute(connection, "set_host_kinds", kinds=["replay"], host_ids=[7])
    query, arguments = connection.asked
    assert "unnest($1::integer[], $2::text[])" in query
    assert arguments == ([7], ["replay"])


@pytest.mark.parametrize("arguments", [{}, {"names": [], "more": 1}], ids=["missing", "unknown"])
async def test_wrong_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="host_ids takes names"):
        await sql.fetch(Recorder(), "host_ids", **arguments)


async def test_an_unknown_statement_is_refused() -> None:
    with pytest.raises(KeyError):
        await sql.fetch_row(Recorder(), "no_such_statement")


def test_no_sql_in_python_outside_the_store() -> None:
    sources = [*ROOT.glob("services/*/src/**/*.py"), *ROOT.glob("libs/*/src/**/*.py")]
    guilty = [
        f"{path.relative_to(ROOT)}: {found.group(1)}"
        for path in sources
        if "libs/store" not in str(path)
        # The agent's spool is a SQLite file of its own.
        and "services/capture" not in str(path)
        for found in STATEMENT.finditer(path.read_text("utf-8"))
    ]
    assert not guilty


def test_the_search_for_sql_finds_sql() -> None:
    assert STATEMENT.search('await c.fetch("SELECT id FROM host")')
    assert STATEMENT.search("    INSERT INTO flow VALUES (1)")
    assert not STATEMENT.search("# select the rows from the table")

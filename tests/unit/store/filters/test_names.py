"""Which statement is asked for the names of a field, and that wildcards in what was typed are none."""

from __future__ import annotations

from typing import Any, cast

import pytest

from netally.store import sql
from netally.store.filters.names import names_with_prefix


class Asked:
    def __init__(self) -> None:
        self.query = ""
        self.args: tuple[Any, ...] = ()

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        self.query, self.args = query, args
        return [{"name": "found"}]


@pytest.mark.parametrize(
    ("field", "prefix", "table", "pattern"),
    [
        ("host", "web", "FROM host", "web%"),
        ("app", "50%_", "FROM app", r"50\%\_%"),
        ("user", "a\\", "username AS name", "a\\\\%"),
        ("domain", "GitHub", "FROM domain", "github%"),
        ("site", "", "FROM domain", "%"),
    ],
)
async def test_names_come_from_their_table(field: str, prefix: str, table: str, pattern: str) -> None:
    asked = Asked()
    assert await names_with_prefix(cast("sql.Connection", asked), field, prefix, 5) == ["found"]
    assert table in asked.query
    assert asked.args == (pattern, 5)


async def test_fields_without_names_ask_nothing() -> None:
    asked = Asked()
    assert await names_with_prefix(cast("sql.Connection", asked), "port", "4", 5) == []
    assert asked.query == ""

"""Names that begin with what was typed, for completion."""

from __future__ import annotations

from collections.abc import Sequence

from netally.store import sql
from netally.store.filters.compile import like_escaped
from netally.store.filters.fields import FIELDS, Kind


async def names_with_prefix(connection: sql.Connection, field: str, prefix: str, limit: int) -> Sequence[str]:
    """At most ``limit`` names of a field that begin with the prefix, in order; upper and lower case are the same.

    Empty for a field whose values are no names.
    """
    known = FIELDS[field]
    if known.kind is Kind.DOMAIN:
        # Stored in lower case: LIKE can use the index.
        pattern = like_escaped(prefix.lower()) + "%"
        rows = await sql.fetch(connection, "domain_names_with_prefix", pattern=pattern, limit=limit)
    elif known.kind is Kind.NAME:
        statement = f"{known.table}_{known.column}s_with_prefix"
        rows = await sql.fetch(connection, statement, pattern=like_escaped(prefix) + "%", limit=limit)
    else:
        return []
    return [row["name"] for row in rows]

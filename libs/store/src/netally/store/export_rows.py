"""Rows of a tier as CSV or JSON lines, made by the database (COPY), in an order that does not depend on how it works.

The rows are those that pages count (`netally.store.counted`), read slice by slice: no sort is larger than a slice, and
no lock is held longer than one takes.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final

import asyncpg

from netally.contracts.codes import Code, DomainSource, ProcessSource, Role, Scope
from netally.store.counted import Counted, condition
from netally.store.filters.compile import resolve
from netally.store.tiers import DAY, HOUR, MINUTE

SLICES: Final = {"raw": 10 * MINUTE, "1m": HOUR, "1h": DAY, "1d": 31 * DAY}

_FORMULA: Final = "(61, 43, 45, 64, 9, 13)"
"""Codes of = + - @ tab and carriage return: what makes a spreadsheet take a cell for a formula when it comes first."""


def _words(kind: type[Code]) -> str:
    labels = kind.labels()
    return "(ARRAY[" + ", ".join(f"'{labels.get(number, '')}'" for number in range(max(labels) + 1)) + "])"


_TIME: Final = """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"""
_NAMES: Final = {
    "host": "host.name",
    "app": "app.name",
    "executable": "app.executable",
    "user": "app.username",
    "domain": "domain.name",
    "site": "site.name",
}
"""Where they come from; the sorted rows have them as columns of these names."""
_COLUMNS: Final = {
    "time": _TIME.format("counted.bucket"),
    **{name: f"counted.{name}" for name in _NAMES},
    "scope": f"{_words(Scope)}[counted.scope + 1]",
    "role": f"{_words(Role)}[counted.role + 1]",
    "protocol": "counted.protocol",
    "port": "coalesce(counted.server_port, counted.port_class)",
    "remote": "pg_catalog.host(counted.remote)",
    "bytes_in": "counted.bytes_in",
    "bytes_out": "counted.bytes_out",
    "packets_in": "counted.packets_in",
    "packets_out": "counted.packets_out",
    "retrans": "counted.retrans",
    "connections": "counted.connections",
    "last_used": _TIME.format("counted.last_used"),
    "domain_source": f"{_words(DomainSource)}[counted.domain_source + 1]",
    "process_source": f"{_words(ProcessSource)}[counted.process_source + 1]",
}
_RAW_ONLY: Final = ("remote", "domain_source", "process_source")
NUMBERS: Final = (
    "protocol", "port", "bytes_in", "bytes_out", "packets_in", "packets_out", "retrans", "connections"
)  # fmt: skip
TIMES: Final = ("time", "last_used")
_ORDER: Final = (
    "counted.bucket, counted.host_id, counted.app_id, counted.domain_id, counted.site_id, counted.scope, counted.role,"
    " counted.protocol, counted.server_port, counted.port_class, counted.remote, counted.bytes_in, counted.bytes_out,"
    " counted.packets_in, counted.packets_out, counted.retrans, counted.connections, counted.last_used,"
    " counted.domain_source, counted.process_source"
)


def columns(tier: str) -> list[str]:
    """Names of an export's columns, in order."""
    left_out = ("last_used",) if tier == "raw" else _RAW_ONLY
    return [name for name in _COLUMNS if name not in left_out]


def check(counted: Counted) -> None:
    """Raises FilterRefused when the tier does not keep what the filter asks."""
    condition(counted, 1)


def slices(tier: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The range in pieces, ascending."""
    while start < end:
        cut = min(end, start - start % SLICES[tier] + SLICES[tier])
        yield start, cut
        start = cut


def _cell(name: str, neutral: bool) -> str:
    expression = _COLUMNS[name]
    if neutral and name in _NAMES:
        return f"CASE WHEN ascii({expression}) IN {_FORMULA} THEN '''' || {expression} ELSE {expression} END"
    return expression


def _line(tier: str) -> str:
    """A row as a JSON object: by `concat`, which costs a third of row_to_json. Names are never null."""
    parts = []
    for name in columns(tier):
        expression = _COLUMNS[name]
        if name in _NAMES:
            value = f"to_json({expression})"
        elif name in NUMBERS:
            value = f"coalesce({expression}::text, 'null')"
        else:
            # Words and times of ours, which hold nothing that JSON escapes.
            value = f"coalesce('\"' || {expression} || '\"', 'null')"
        parts.append(f"'\"{name}\":', {value}")
    return "concat('{', " + ", ',', ".join(parts) + ", '}')"


async def copy_slice(
    connection: asyncpg.Connection,
    counted: Counted,
    output: Callable[[bytes], Coroutine[Any, Any, None]],
    *,
    as_json: bool = False,
    neutral: bool = True,
) -> int:
    """Rows of the range, in order, as CSV without its header or as JSON, one object a line; how many there were.

    ``neutral`` puts an apostrophe before names that a spreadsheet would take for a formula. Raises FilterRefused when
    the tier does not keep what the filter asks, and what the database raises.
    """
    rows = condition(counted, 1)
    names = ", ".join(f'{source} AS "{name}"' for name, source in _NAMES.items())
    cells = ", ".join(f'{_cell(name, neutral)} AS "{name}"' for name in columns(counted.tier))
    # Names of ours; what a person wrote is a parameter. OFFSET keeps the cells from being made before the sort, which
    # would then move texts instead of numbers.
    text = (
        f"SELECT {_line(counted.tier) if as_json else cells} FROM ("  # noqa: S608  (columns of ours)
        f"SELECT counted.*, {names} FROM ({rows.sql}) AS counted"
        " JOIN host ON host.id = counted.host_id JOIN app ON app.id = counted.app_id"
        " JOIN domain ON domain.id = counted.domain_id JOIN domain AS site ON site.id = counted.site_id"
        f" ORDER BY {_ORDER} OFFSET 0) AS counted"
    )
    options: dict[str, Any] = {"format": "csv"}
    if as_json:
        # JSON text holds no control characters, so that nothing is ever quoted: the lines are the JSON itself.
        options |= {"quote": "\x01", "delimiter": "\x02"}
    values = await resolve(connection, rows)
    status = await connection.copy_from_query(text, *values, output=output, **options)
    return int(status.rpartition(" ")[2])

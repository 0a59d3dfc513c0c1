"""Which rows of traffic a question is about: the one WHERE of every statement that reads flows.

Such a statement of ``queries/*.sql`` says ``FROM counted``; `fetch` puts the rows meant in its place, from the
relation of the tier, with the same columns whatever the tier. What a tier does not keep is null there.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from netally.store import sql
from netally.store.filters.compile import Condition, answering_tiers, compile_filter, resolve
from netally.store.filters.fields import FilterTier
from netally.store.filters.tree import Everything, Filter

_PLACE: Final = re.compile(r"\bFROM counted\b")
_SUMS: Final = "bytes_in, bytes_out, packets_in, packets_out, retrans, connections::bigint AS connections"
_RAW: Final = (
    "time AS bucket, host_id, app_id, domain_id, site_id, scope, role, protocol,"
    f" port_class(server_port) AS port_class, {_SUMS}, time AS last_used, server_port, remote, domain_source,"
    " process_source"
)
_NOT_KEPT: Final = (
    "NULL::integer AS server_port, NULL::inet AS remote, NULL::smallint AS domain_source,"
    " NULL::smallint AS process_source"
)
_ROLLUP: Final = (
    f"bucket, host_id, app_id, domain_id, site_id, scope, role, protocol, port_class, {_SUMS}, last_used, {_NOT_KEPT}"
)
_TRAFFIC: Final = (
    "bucket, host_id, app_id, NULL::integer AS domain_id, NULL::integer AS site_id, scope, role,"
    f" NULL::smallint AS protocol, NULL::integer AS port_class, {_SUMS}, last_used, {_NOT_KEPT}"
)
# All in one order: a range may be put together from several.
_COLUMNS: Final = {
    FilterTier.RAW: _RAW,
    FilterTier.MINUTE: _ROLLUP,
    FilterTier.HOUR: _ROLLUP,
    FilterTier.DAY: _ROLLUP,
    FilterTier.TRAFFIC_HOUR: _TRAFFIC,
    FilterTier.TRAFFIC_DAY: _TRAFFIC,
}
_RELATIONS: Final = {
    FilterTier.RAW: "flow",
    FilterTier.MINUTE: "flow_1m",
    FilterTier.HOUR: "flow_1h",
    FilterTier.DAY: "flow_1d",
    FilterTier.TRAFFIC_HOUR: "traffic_1h",
    FilterTier.TRAFFIC_DAY: "traffic_1d",
}
_TOTALS: Final = {FilterTier.HOUR: FilterTier.TRAFFIC_HOUR, FilterTier.DAY: FilterTier.TRAFFIC_DAY}


class Counted(msgspec.Struct, frozen=True):
    """Rows with all of these."""

    tier: str
    """``raw``, ``1m``, ``1h`` or ``1d``."""
    start: int
    """Of the first bucket, epoch milliseconds."""
    end: int
    scopes: list[int]
    both_sides: bool = False
    """Also the server's side of peer flows."""
    hosts: list[int] | None = None
    """None is all, here and below."""
    apps: list[int] | None = None
    domains: list[int] | None = None
    filter: Filter = Everything()
    totals_suffice: bool = False
    """The statement tells apart hosts, applications and buckets alone, so that the totals by application may answer."""
    pieces: tuple[tuple[str, int, int], ...] = ()
    """(tier, start, end): the range cut up, so that a statement which tells no buckets apart reads whole hours from the
    tier that has fewer rows of them. Empty: all from the tier.
    """


def relation_of(counted: Counted) -> FilterTier:
    """What is read: the tier's flows, or its totals by application where they suffice (a fraction of the rows)."""
    tier = FilterTier(counted.tier)
    totals = _TOTALS.get(tier)
    if totals and counted.totals_suffice and counted.domains is None and totals in answering_tiers(counted.filter):
        return totals
    return tier


def condition(counted: Counted, first_parameter: int) -> Condition:
    """The rows as a subquery, with its parameters. Raises FilterRefused when the tier does not
    keep what the filter asks.
    """
    texts: list[str] = []
    parameters: list[Any] = []
    for tier, start, end in counted.pieces or ((counted.tier, counted.start, counted.end),):
        piece = msgspec.structs.replace(counted, tier=tier, start=start, end=end)
        rows = _piece(piece, first_parameter + len(parameters))
        texts.append(rows.sql)
        parameters += rows.parameters
    return Condition(" UNION ALL ".join(texts), tuple(parameters))


def _piece(counted: Counted, first_parameter: int) -> Condition:
    relation = relation_of(counted)
    time = "time" if relation is FilterTier.RAW else "bucket"
    parameters: list[Any] = []

    def bind(value: Any, kind: str) -> str:
        parameters.append(value)
        return f"${first_parameter + len(parameters) - 1}::{kind}"

    parts = [
        f"{time} >= {bind(counted.start, 'timestamptz')} AND {time} < {bind(counted.end, 'timestamptz')}",
        f"scope = ANY ({bind(counted.scopes, 'smallint[]')})",
    ]
    if not counted.both_sides:
        parts.append("(scope <> 4 OR role <> 2)")
    for column, ids in (("host_id", counted.hosts), ("app_id", counted.apps), ("domain_id", counted.domains)):
        if ids is not None:
            parts.append(f"{column} = ANY ({bind(ids, 'integer[]')})")
    if not isinstance(counted.filter, Everything):
        asked = compile_filter(counted.filter, relation, first_parameter=first_parameter + len(parameters))
        parts.append(asked.sql)
        parameters += asked.parameters
    text = f"SELECT {_COLUMNS[relation]} FROM {_RELATIONS[relation]} WHERE {' AND '.join(parts)}"  # noqa: S608  (ours)
    return Condition(text, tuple(parameters))


async def fetch(connection: sql.Connection, name: str, counted: Counted, /, **arguments: Any) -> list[Any]:
    """All rows of a statement that says ``FROM counted``. FilterRefused when the tier cannot answer the filter."""
    text, values = sql.bind(name, arguments)
    rows = condition(counted, len(values) + 1)
    statement, places = _PLACE.subn(lambda _: f"FROM ({rows.sql}) AS counted", text)
    if not places:
        raise TypeError(f"statement {name} does not read counted rows")
    return await connection.fetch(statement, *values, *await resolve(connection, rows))

from __future__ import annotations

from typing import Any

import pytest

from netally.store.counted import Counted, condition, fetch, relation_of
from netally.store.filters.errors import FilterRefused
from netally.store.filters.fields import FilterTier
from netally.store.filters.syntax import parse


def counted(tier: str = "1h", text: str = "", **changes: Any) -> Counted:
    return Counted(tier=tier, start=1_000, end=2_000, scopes=[1, 2], filter=parse(text), **changes)


def test_every_restriction_is_a_parameter_in_its_place() -> None:
    found = condition(counted(text="app = curl and port = 443", hosts=[7], apps=[8], domains=[9]), 4)
    assert found.sql.endswith(
        "FROM flow_1h WHERE bucket >= $4::timestamptz AND bucket < $5::timestamptz AND scope = ANY ($6::smallint[])"
        " AND (scope <> 4 OR role <> 2) AND host_id = ANY ($7::integer[]) AND app_id = ANY ($8::integer[])"
        " AND domain_id = ANY ($9::integer[])"
        " AND (app_id = ANY ($10::integer[]) AND (port_class = ANY ($11::integer[])))"
    )
    assert found.parameters[:6] == (1_000, 2_000, [1, 2], [7], [8], [9])
    assert len(found.parameters) == 8


def test_no_ids_are_not_all_ids() -> None:
    assert "host_id" in condition(counted(hosts=[]), 1).sql.split("WHERE")[1]
    assert "host_id" not in condition(counted(hosts=None), 1).sql.split("WHERE")[1]
    assert "role" not in condition(counted(both_sides=True), 1).sql.split("WHERE")[1]


@pytest.mark.parametrize(
    ("asked", "relation"),
    [
        (counted("raw", totals_suffice=True), FilterTier.RAW),
        (counted("1m", totals_suffice=True), FilterTier.MINUTE),
        (counted("1h"), FilterTier.HOUR),
        (counted("1h", totals_suffice=True), FilterTier.TRAFFIC_HOUR),
        (counted("1d", "app = curl", totals_suffice=True, apps=[1]), FilterTier.TRAFFIC_DAY),
        # These are not in the totals.
        (counted("1d", totals_suffice=True, domains=[1]), FilterTier.DAY),
        (counted("1d", "domain = x.org", totals_suffice=True), FilterTier.DAY),
        (counted("1d", "bytes > 1MB", totals_suffice=True), FilterTier.DAY),
    ],
)
def test_totals_answer_where_they_suffice(asked: Counted, relation: FilterTier) -> None:
    assert relation_of(asked) is relation


def test_a_range_may_be_cut_into_pieces_of_several_tiers() -> None:
    pieces = (("1h", 1_000, 1_200), ("1d", 1_200, 1_800), ("1h", 1_800, 2_000))
    found = condition(counted(pieces=pieces, totals_suffice=True, hosts=[7]), 4)
    parts = found.sql.split(" UNION ALL ")
    relations = [part.split(" FROM ")[1].split()[0] for part in parts]
    assert relations == ["traffic_1h", "traffic_1d", "traffic_1h"]
    assert parts[1].endswith(
        "bucket >= $8::timestamptz AND bucket < $9::timestamptz AND scope = ANY ($10::smallint[])"
        " AND (scope <> 4 OR role <> 2) AND host_id = ANY ($11::integer[])"
    )
    assert found.parameters == (1_000, 1_200, [1, 2], [7], 1_200, 1_800, [1, 2], [7], 1_800, 2_000, [1, 2], [7])


def test_what_the_tier_does_not_keep_is_refused() -> None:
    with pytest.raises(FilterRefused):
        condition(counted("1h", "remote = 10.0.0.1"), 1)


class Asked:
    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        self.calls.append((query, arguments))
        return [{"id": 5}]


async def test_the_rows_take_the_place_of_counted_and_names_become_ids_before() -> None:
    connection: Any = Asked()
    await fetch(connection, "sums_by", counted(text="app = curl"), dimension="host")
    (lookup, _), (query, arguments) = connection.calls
    assert lookup.startswith("SELECT id FROM app")
    assert "FROM (SELECT bucket, host_id" in query
    assert "FROM counted" not in query
    assert arguments == ("host", 1_000, 2_000, [1, 2], [5])


async def test_a_statement_that_does_not_read_them_is_a_mistake() -> None:
    connection: Any = Asked()
    with pytest.raises(TypeError, match="does not read counted rows"):
        await fetch(connection, "deployment", counted())

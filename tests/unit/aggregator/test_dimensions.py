"""The identity of an application fits the database's index; ids are asked for once."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from netally.aggregator.dimensions import Dimension, app_key, fit_app
from netally.contracts.flow import App
from tests.builders import CURL

INDEX_LIMIT = 2_704
"""Most bytes of a btree entry on 8 KiB pages (nbtinsert.c)."""


def test_an_application_is_the_same_when_all_its_parts_are() -> None:
    assert app_key(CURL) == ("curl", "/usr/bin/curl", "ada", "", "")


@given(*[st.text(max_size=5_000)] * 5)
def test_absurd_identities_fit_the_index(name: str, executable: str, user: str, unit: str, container: str) -> None:
    key = fit_app(app_key(App(name[:255], executable, user, unit, container)))
    # A tuple header, and for each text a length word and up to three bytes of padding.
    assert sum(len(part.encode()) + 7 for part in key) + 16 <= INDEX_LIMIT


def test_the_longest_identity_fits_the_index() -> None:
    key = fit_app(app_key(App("\U0001f40b" * 255, *["\U0001f40b" * 5_000] * 4)))
    assert sum(len(part.encode()) + 7 for part in key) + 16 <= INDEX_LIMIT
    assert all(key)


class Table:
    """Stands in for a dimension's table: knows some names and counts what it is asked and given."""

    def __init__(self, known: dict[str, int]) -> None:
        self.known = known
        self.asked: list[list[str]] = []

    async def find(self, connection: Any, names: list[str]) -> dict[str, int]:
        self.asked.append(names)
        return {name: self.known[name] for name in names if name in self.known}

    def dimension(self, limit: int = 100, longest: int = 100) -> Dimension[str]:
        async def make(connection: Any, names: list[str]) -> None:
            raise AssertionError(names)

        pool: Any = None
        return Dimension(pool, "domain", self.find, make, limit, lambda name: name[:longest])


async def test_ids_are_in_the_order_of_each_list() -> None:
    table = Table({"a": 1, "b": 2, "c": 3})
    dimension = table.dimension()
    assert await dimension.ids_of_lists([["b", "a", "b"], [], ["c"]]) == [[2, 1, 2], [], [3]]
    assert await dimension.ids_of_lists([["c", "b"]]) == [[3, 2]]
    assert table.asked == [["a", "b", "c"]]


async def test_only_what_is_not_remembered_is_asked_for() -> None:
    table = Table({"a": 1, "b": 2})
    dimension = table.dimension()
    await dimension.ids(["a"])
    assert await dimension.ids_of_lists([["a"], ["a", "b"]]) == [[1], [1, 2]]
    assert table.asked == [["a"], ["b"]]


async def test_a_full_cache_forgets_the_oldest_and_still_answers() -> None:
    table = Table({name: number for number, name in enumerate("abcdef", 1)})
    dimension = table.dimension(limit=2)
    assert await dimension.ids_of_lists([list("abcdef")]) == [[1, 2, 3, 4, 5, 6]]
    assert len(dimension) == 2
    assert await dimension.ids_of_lists([list("af")]) == [[1, 6]]


async def test_names_too_long_to_store_have_the_id_of_what_is_stored() -> None:
    table = Table({"ab": 7})
    dimension = table.dimension(longest=2)
    assert await dimension.ids_of_lists([["abc", "abd", "ab"]]) == [[7, 7, 7]]
    assert await dimension.ids(["abz"]) == {"abz": 7}
    assert table.asked == [["ab"]]

"""Walking a tree."""

from __future__ import annotations

from netally.store.filters.syntax import parse
from netally.store.filters.tree import Comparison, Value, comparisons, fields_used


def test_comparisons_come_in_the_order_written() -> None:
    tree = parse("host = a and not (app = b or domain in c, d) and app = e")
    assert [one.name for one in comparisons(tree)] == ["host", "app", "domain", "app"]


def test_fields_used_are_named_once() -> None:
    assert fields_used(parse("app = a or not app = b and port = 1")) == {"app", "port"}
    assert fields_used(parse(" ")) == frozenset()


def test_positions_do_not_count_in_comparing() -> None:
    assert Comparison("app", "=", (Value("a", 6, 7),), 0, 7) == Comparison("app", "=", (Value("a", 9, 10),), 3, 10)
    assert parse("app=a") == parse("  APP   =  a ")

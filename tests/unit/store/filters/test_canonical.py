"""Tree to text and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netally.store.filters.canonical import format_filter
from netally.store.filters.errors import FilterError
from netally.store.filters.syntax import MAX_LENGTH, parse
from netally.store.filters.tree import Filter
from tests.filter_trees import trees


@given(trees(wild=True))
def test_every_tree_reads_back_from_its_text(tree: Filter) -> None:
    text = format_filter(tree)
    if len(text) <= MAX_LENGTH:
        assert parse(text) == tree


@given(st.text(max_size=40).map(lambda text: f"domain in {text}") | st.text(max_size=40).map("app ~ {}".format))
def test_what_was_understood_is_said_back_the_same(text: str) -> None:
    try:
        tree = parse(text)
    except FilterError:
        return
    assert parse(format_filter(tree)) == tree


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("", ""),
        ("APP=a   AND (port=1 OR port=2)", "app = a and (port = 1 or port = 2)"),
        ("domain in b.org,a.org", "domain in (b.org, a.org)"),
        ("not (app=a)", "not app = a"),
        ("not (app=a or app=b)", "not (app = a or app = b)"),
        ("app=a and (app=b and app=c)", "app = a and (app = b and app = c)"),
        ("bytes > 1kB", "bytes > 1000"),
        ("app = 'x y' or user = none", 'app = "x y" or user = none'),
        ("remote in 10.9.9.9/8", "remote in (10.0.0.0/8)"),
    ],
)
def test_the_canonical_text(text: str, canonical: str) -> None:
    assert format_filter(parse(text)) == canonical

"""Fields, and what is suggested for those that do not exist."""

from __future__ import annotations

import pytest

from netally.store.filters.fields import FIELDS, OPERATORS, FilterTier, Kind, closest, field_suggestion


def test_raw_flows_keep_every_field() -> None:
    assert all(FilterTier.RAW in field.tiers for field in FIELDS.values())


def test_every_kind_has_operators_and_fields() -> None:
    assert {field.kind for field in FIELDS.values()} == set(Kind) == set(OPERATORS)


@pytest.mark.parametrize(
    ("word", "suggestion"),
    [
        ("doman", "did you mean domain?"),
        ("Proto", "did you mean protocol = …?"),
        ("direction", "did you mean role = client, or bytes_in and bytes_out?"),
        ("ip", "did you mean remote in 10.0.0.0/8?"),
    ],
)
def test_what_was_meant_is_suggested(word: str, suggestion: str) -> None:
    assert field_suggestion(word) == suggestion


def test_a_word_like_nothing_gets_the_list() -> None:
    assert field_suggestion("zzzz").startswith(
        "write a field before the value, such as app = zzzz; the fields are host, "
    )


def test_closest_needs_some_likeness() -> None:
    assert closest("fierfox", ("firefox", "chrome")) == "firefox"
    assert closest("x" * 10_000, ("firefox",)) == ""

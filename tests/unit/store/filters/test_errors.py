"""How mistakes are put into a sentence."""

from __future__ import annotations

from netally.store.filters.errors import FilterError, FilterRefused, shown


def test_the_sentence_has_the_column_and_the_suggestion() -> None:
    error = FilterError("unknown field 'doman'", 11, 16, "did you mean domain?")
    assert str(error) == "unknown field 'doman' at column 12; did you mean domain?"
    assert (error.column, error.start, error.end) == (12, 11, 16)
    assert str(FilterError("the quote is not closed", 0, 1)) == "the quote is not closed at column 1"


def test_a_refusal_names_the_tier_that_could() -> None:
    refusal = FilterRefused("remote is not kept", 0, 6, "leave it out", "raw")
    assert isinstance(refusal, FilterError)
    assert refusal.tier == "raw"


def test_long_words_are_cut() -> None:
    assert shown("a" * 2_000) == "'" + "a" * 39 + "…'"

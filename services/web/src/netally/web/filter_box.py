"""The filter of a page: its text in the URL, and what is wrong with it, pointing at the characters."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from netally.web.api_client import ApiProblem

LONGEST = 2_000
"""The API takes no longer filter."""


class FilterBox(msgspec.Struct, frozen=True):
    """What the box's template needs. ``before`` + ``wrong`` + ``after`` is the text, parted at what is wrong."""

    text: str = ""
    problem: str = ""
    column: int | None = None
    """Of the first wrong character, from 1."""
    before: str = ""
    wrong: str = ""
    after: str = ""


def read_filter(query: Mapping[str, str]) -> str:
    """Filter of a URL's query."""
    return query.get("filter", "").strip()[:LONGEST]


def is_of_filter(problem: ApiProblem) -> bool:
    """Whether an answer is missing because of the filter."""
    return problem.parameter == "filter" and problem.status in (400, 422)


def refused_box(text: str, problem: ApiProblem) -> FilterBox:
    """The box with what the API says is wrong with its text."""
    words = problem.detail[:1].upper() + problem.detail[1:]
    if problem.start is None:
        return FilterBox(text, words)
    start = min(problem.start, len(text))
    end = max(min(problem.end if problem.end is not None else start + 1, len(text)), start)
    # What is missing at the end has no character of its own.
    wrong = text[start:end] or "\u2009…"
    return FilterBox(text, words, start + 1, text[:start], wrong, text[end:])


def joined(*conditions: str) -> str:
    """A filter of conditions that all have to hold; empty ones are left out."""
    parts = [condition for condition in conditions if condition]
    if len(parts) < 2:
        return "".join(parts)
    return " and ".join(f"({part})" if " or " in part.lower() else part for part in parts)

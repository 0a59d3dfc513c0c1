"""What is wrong with a filter, in words for the person who wrote it."""

from __future__ import annotations


class FilterError(ValueError):
    """A filter that cannot be understood. ``str()`` is the whole sentence, column and suggestion included."""

    def __init__(self, problem: str, start: int, end: int, suggestion: str = "") -> None:
        self.problem = problem
        self.start = start
        """Where it is: offset in characters, from 0."""
        self.end = end
        """End of the characters that are wrong, exclusive; equal to ``start`` where something is missing."""
        self.suggestion = suggestion
        super().__init__(f"{problem} at column {self.column}" + (f"; {suggestion}" if suggestion else ""))

    @property
    def column(self) -> int:
        """Counted from 1, as people do."""
        return self.start + 1


class FilterRefused(FilterError):  # noqa: N818  (it is no mistake of the person's)
    """A filter that is understood, and that the tier asked cannot answer."""

    def __init__(self, problem: str, start: int, end: int, suggestion: str, tier: str) -> None:
        super().__init__(problem, start, end, suggestion)
        self.tier = tier
        """The tier that could answer this condition, a `fields.Tier`."""


def shown(text: str) -> str:
    """What a person wrote, in quotes, cut to a length that fits a sentence."""
    return f"'{text if len(text) <= 40 else text[:39] + '…'}'"

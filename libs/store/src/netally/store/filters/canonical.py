"""Tree to text, always the same text for the same tree: for URLs, saved views and what a page shows back."""

from __future__ import annotations

from netally.store.filters.fields import FIELDS, LIST_OPERATORS
from netally.store.filters.tree import And, Comparison, Everything, Filter, Node, Not, Or
from netally.store.filters.values import written


def format_filter(tree: Filter) -> str:
    """The canonical text: ``parse(format_filter(tree)) == tree``. Empty for `Everything`."""
    match tree:
        case Everything():
            return ""
        case Comparison(name, operator, values):
            texts = ", ".join(written(FIELDS[name], value.content) for value in values)
            return f"{name} {operator} ({texts})" if operator in LIST_OPERATORS else f"{name} {operator} {texts}"
        case Not(part):
            return f"not {_grouped(part, (And, Or))}"
        case And(parts):
            return " and ".join(_grouped(part, (And, Or)) for part in parts)
        case Or(parts):
            return " or ".join(_grouped(part, (Or,)) for part in parts)


def _grouped(part: Node, loose: tuple[type[Node], ...]) -> str:
    """A part in parentheses where it would otherwise be read as belonging to what is around it."""
    text = format_filter(part)
    return f"({text})" if isinstance(part, loose) else text

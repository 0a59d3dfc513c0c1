"""Text to tree. The grammar is in ``grammar.lark``; what goes with what is checked here while it is parsed.

Linear in the length of the text; the bounds keep every answer far below 50 ms.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedToken

from netally.store.filters.errors import FilterError, shown
from netally.store.filters.fields import (
    FIELDS,
    LIST_OPERATORS,
    PATTERN_OPERATORS,
    SCANNING_OPERATORS,
    Field,
    Kind,
    closest,
    field_suggestion,
)
from netally.store.filters.tree import And, Comparison, Everything, Filter, Node, Not, Or, Value
from netally.store.filters.values import KEYWORDS, quoted, read_value

MAX_LENGTH: Final = 2_000
"""Characters of a filter."""
MAX_DEPTH: Final = 50
"""Parentheses and ``not`` inside each other."""
MAX_LIST: Final = 200
"""Values of one list."""

MAX_PATTERNS: Final = 50
"""Patterns, and names after ``under``: each is compared with every name there is."""

# PostgreSQL texts hold no zero, and half a surrogate pair has no encoding.
_IMPOSSIBLE: Final = re.compile("[\x00\ud800-\udfff]")
_MEANT_OPERATORS: Final = {
    **dict.fromkeys(("==", "==="), "="),
    **dict.fromkeys(("<>", "!==", "=!"), "!="),
    **dict.fromkeys(("=~", "~=", "~~"), "~"),
    "=<": "<=",
    "=>": ">=",
    "!": "!=",
}
_MEANT_JOINS: Final = {"&&": "and", "&": "and", "||": "or", "|": "or", "+": "and"}
_EXAMPLES: Final = {
    Kind.NAME: ("{field} = {name}", "{field} ~ {name}*"),
    Kind.DOMAIN: ("{field} = github.com", "{field} ~ *.github.com"),
    Kind.PORT: ("{field} = 443", "{field} in 8000-8100"),
    Kind.REMOTE: ("{field} = 192.0.2.7", "{field} in 10.0.0.0/8"),
    Kind.AMOUNT: ("{field} > 10MB",),
    Kind.BROWSER: ("{field} = firefox",),
}


def parse(text: str) -> Filter:
    """Tree of a filter; `Everything` for an empty one. FilterError, and nothing else, for any other text."""
    _check_characters(text)
    if not text.strip():
        return Everything()
    reader = Reader()
    interactive = grammar().parse_interactive(text)
    try:
        for token in interactive.iter_parse():
            reader.take(token)
        tree = interactive.feed_eof()  # type: ignore[no-untyped-call]  # lark leaves it untyped
    except UnexpectedCharacters as error:
        # Words and operators take every character but a quote, so this is a quote without its end.
        start = error.pos_in_stream or 0
        raise FilterError("the quote is not closed", start, len(text), f"add {text[start]}") from None
    except UnexpectedToken as error:
        raise _explain(error, text, reader) from None
    return _build(tree, iter(reader.finished()))


@cache
def grammar() -> Lark:
    """The parser; safe to share, every parse has its own state."""
    return Lark(
        Path(__file__).with_name("grammar.lark").read_text("utf-8"), parser="lalr", lexer="contextual", start="start"
    )


def _check_characters(text: str) -> None:
    if len(text) > MAX_LENGTH:
        raise FilterError(f"the filter goes on beyond {MAX_LENGTH:,} characters", MAX_LENGTH, len(text), "shorten it")
    if bad := _IMPOSSIBLE.search(text):
        raise FilterError(f"a character that no name has (U+{ord(bad[0]):04X})", bad.start(), bad.end(), "remove it")


@dataclass(slots=True)
class _Started:
    """A comparison of which words are still coming."""

    field: Field
    start: int
    operator: str = ""
    operator_start: int = 0
    negated: bool = False

    @property
    def words(self) -> str:
        return " ".join(filter(None, (self.field.name, "not" if self.negated else "", self.operator)))


class Reader:
    """Takes the tokens of a parse one by one, checks each against the field it belongs to, and keeps the comparisons.

    The parser knows the structure and this the meaning; since both see a token before the next one is read, the
    leftmost mistake is the one that is raised.
    """

    def __init__(self) -> None:
        self.current: _Started | None = None
        """The comparison being read, until ``and``, ``or`` or the end of its group."""
        self.last: Token | None = None
        self._values: list[Value] = []
        self._comparisons: list[Comparison] = []
        self._list_open = False
        self._groups: list[tuple[Token, int]] = []
        self._pending_nots = 0
        self._depth = 0
        self._patterns = 0

    @property
    def open_group(self) -> Token | None:
        """The innermost parenthesis that is not closed."""
        return self._groups[-1][0] if self._groups else None

    @property
    def list_is_open(self) -> bool:
        return self._list_open

    def take(self, token: Token) -> None:
        start = token.start_pos or 0
        match token.type:
            case "FIELD":
                self._finish()
                self.current = _Started(_field(token, start), start)
            case "OPERATOR" | "IN" | "UNDER" if self.current:
                self._take_operator(self.current, token, start)
            case "NOT" if self.current:
                self.current.negated, self.current.operator_start = True, start
            case "WORD" | "STRING" if self.current:
                self._take_value(self.current, token, start)
            case "LPAR" if self.current:
                self._list_open = True
            case "RPAR" if self._list_open:
                self._list_open = False
            case "NOT":
                self._deepen(token, start)
                self._pending_nots += 1
            case "LPAR":
                self._deepen(token, start)
                self._groups.append((token, self._pending_nots + 1))
                self._pending_nots = 0
            case "AND" | "OR":
                self._finish()
                self._depth -= self._pending_nots
                self._pending_nots = 0
            case "RPAR" if self._groups:
                self._finish()
                self._depth -= self._pending_nots + self._groups.pop()[1]
                self._pending_nots = 0
        self.last = token

    def finished(self) -> list[Comparison]:
        """All comparisons, in the order written."""
        self._finish()
        return self._comparisons

    def _deepen(self, token: Token, start: int) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise FilterError(
                f"more than {MAX_DEPTH} parentheses and nots inside each other", start, start + len(token), "simplify"
            )

    def _take_operator(self, current: _Started, token: Token, start: int) -> None:
        word = token.lower()
        operator = f"not {word}" if current.negated else word
        begin = current.operator_start if current.negated else start
        field = current.field
        if operator not in field.operators:
            known = ", ".join(field.operators)
            meant = _MEANT_OPERATORS.get(operator, "")
            if meant in field.operators:
                suggestion = f"did you mean {meant}?"
            elif operator in ("~", "!~", "under", "not under") and field.kind is Kind.REMOTE:
                suggestion = "write remote in 10.0.0.0/8"
            else:
                suggestion = f"{field.name} takes {known}"
            raise FilterError(f"{shown(operator)} does not go with {field.name}", begin, start + len(token), suggestion)
        current.operator, current.operator_start, current.negated = operator, begin, False

    def _take_value(self, current: _Started, token: Token, start: int) -> None:
        if len(self._values) >= MAX_LIST:
            raise FilterError(f"a list of more than {MAX_LIST} values", start, start + len(token), "use a pattern")
        if current.operator in SCANNING_OPERATORS:
            self._patterns += 1
            if self._patterns > MAX_PATTERNS:
                raise FilterError(
                    f"more than {MAX_PATTERNS} patterns", start, start + len(token), "use in with whole names"
                )
        content = read_value(current.field, current.operator, str(token), start)
        self._values.append(Value(content, start, start + len(token)))

    def _finish(self) -> None:
        if self.current and self._values:
            values = tuple(self._values)
            self._comparisons.append(
                Comparison(self.current.field.name, self.current.operator, values, self.current.start, values[-1].end)
            )
        self._values = []
        self.current = None


def _field(token: Token, start: int) -> Field:
    field = FIELDS.get(token.lower())
    if field is None:
        word = token.lower()
        if word in KEYWORDS:
            raise FilterError(f"a condition is missing before {shown(token)}", start, start + len(token), _CONDITION)
        raise FilterError(f"unknown field {shown(token)}", start, start + len(token), field_suggestion(token))
    return field


_CONDITION: Final = "write one such as app = firefox"


def _build(tree: Tree[Token], comparisons: Iterator[Comparison]) -> Node:
    """The tree of the parser with the comparisons put in; both are in the order written."""
    if tree.data == "comparison":
        return next(comparisons)
    parts = tuple(_build(part, comparisons) for part in tree.children if isinstance(part, Tree))
    match tree.data:
        case "negated":
            return Not(parts[0])
        case "conjunction":
            return And(parts)
        case "disjunction":
            return Or(parts)
        case _:
            return parts[0]


def _explain(error: UnexpectedToken, text: str, reader: Reader) -> FilterError:
    """The parser's complaint in words for people."""
    token: Token = error.token
    at_end = token.type == "$END"
    start = len(text.rstrip()) if at_end else token.start_pos or 0
    end = start if at_end else start + len(token)
    expected = set(error.expected)
    current = reader.current
    if current is None:
        return _explain_condition(token, start, end, at_end, reader)
    if not current.operator:
        if at_end:
            known = ", ".join(current.field.operators)
            return FilterError(f"an operator is missing after {shown(current.words)}", start, end, f"write {known}")
        return FilterError(f"{shown(token)} is no operator", start, end, _operator_suggestion(current, token))
    if "WORD" in expected:
        return _explain_value(current, token, start, end, at_end, reader)
    return _explain_rest(current, token, start, end, at_end, reader)


def _explain_condition(token: Token, start: int, end: int, at_end: bool, reader: Reader) -> FilterError:
    after = f" after {shown(reader.last)}" if reader.last is not None else ""
    if at_end or token.type == "RPAR":
        if token.type == "RPAR" and reader.open_group is None:
            return FilterError("this ) closes nothing", start, end, "remove it")
        return FilterError(f"a condition is missing{after}", start, end, _CONDITION)
    if token.type == "STRING":
        return FilterError(
            f"{shown(token)} stands without a field", start, end, f"write one before it, such as app = {token[:60]}"
        )
    return FilterError(f"a condition is expected instead of {shown(token)}", start, end, _CONDITION)


def _operator_suggestion(current: _Started, token: Token) -> str:
    known = current.field.operators
    if current.negated and token.startswith("="):
        return f"did you mean {current.field.name} !=?"
    words = {"is": "=", "eq": "=", "equals": "=", "like": "~", "matches": "~", "contains": "~ *…*", "ilike": "~"}
    meant = words.get(token.lower(), "") or closest(token, known)
    if meant.partition(" ")[0] in known or meant in known:
        return f"did you mean {current.field.name} {meant}?"
    return f"{current.field.name} takes {', '.join(known)}"


def _explain_value(current: _Started, token: Token, start: int, end: int, at_end: bool, reader: Reader) -> FilterError:
    examples = _EXAMPLES.get(current.field.kind, ())
    name = {"host": "web-1", "app": "firefox", "user": "ada", "unit": "nginx.service"}.get(current.field.name, "name")
    sample = " or ".join(example.format(field=current.field.name, name=name) for example in examples)
    if current.field.kind is Kind.CODE:
        sample = f"{current.field.name} = {current.field.codes[0][0]}"
    last = reader.last
    if last is not None and last.type == "COMMA":
        return FilterError("a value is missing after the comma", start, end, "add one, or remove the comma")
    if last is not None and last.type == "LPAR":
        return FilterError("the list is empty", start, end, f"write {sample}")
    if at_end or token.type in ("RPAR", "COMMA"):
        return FilterError(f"a value is missing after {shown(current.words)}", start, end, f"write {sample}")
    if token.type == "LPAR":
        return FilterError(
            f"{current.operator} takes one value",
            start,
            end,
            "for a list write in (…)" if "in" in current.field.operators else f"write {sample}",
        )
    return FilterError(f"{shown(token)} cannot stand in a value as it is", start, end, "put the value in double quotes")


def _explain_rest(current: _Started, token: Token, start: int, end: int, at_end: bool, reader: Reader) -> FilterError:
    """Something else than a continuation after a whole condition."""
    if at_end:
        opened = reader.open_group
        place = opened.start_pos or 0 if opened is not None else start
        what = "the list" if reader.list_is_open else f"the parenthesis of column {place + 1}"
        return FilterError(f"{what} is not closed", start, end, "add )")
    if token.type == "RPAR":
        return FilterError("this ) closes nothing", start, end, "remove it")
    if token.type == "COMMA":
        if current.operator in PATTERN_OPERATORS:
            return FilterError(f"{current.operator} takes one pattern", start, end, f"join them: or {current.words} …")
        if "in" in current.field.operators:
            return FilterError(
                f"{current.operator} takes one value",
                start,
                end,
                f"write {current.field.name} {'not in' if current.operator == '!=' else 'in'} …",
            )
        return FilterError(f"{current.operator} takes one value", start, end, "join conditions with 'and' or 'or'")
    if token in _MEANT_JOINS:
        return FilterError(f"{shown(token)} joins nothing here", start, end, f"write {_MEANT_JOINS[token]}")
    word = token.lower()
    if word in FIELDS:
        return FilterError(f"'and' or 'or' is missing before {shown(token)}", start, end, f"write and {token}")
    if near := closest(word, ("and", "or")):
        return FilterError(f"{shown(token)} joins nothing here", start, end, f"did you mean {near}?")
    if current.field.kind is Kind.AMOUNT and token.type in ("FIELD", "WORD"):
        return FilterError(f"{shown(token)} follows the number", start, end, "write the unit without a space: 10MB")
    if reader.list_is_open or current.operator in LIST_OPERATORS:
        suggestion = "separate values by commas, join conditions with 'and' or 'or', quote names that have spaces"
    else:
        suggestion = "join conditions with 'and' or 'or', quote names that have spaces"
    if reader.last is not None and reader.last.type == "WORD" and token.type in ("FIELD", "WORD"):
        suggestion += f": {quoted(f'{reader.last} {token}')}"
    return FilterError(f"{shown(token)} is not expected here", start, end, suggestion)

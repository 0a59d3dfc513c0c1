"""What may follow at the cursor: fields, operators, values, joining words. The grammar says which of them."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec
from lark.exceptions import UnexpectedInput

from netally.contracts.browsers import BROWSERS
from netally.store.filters.errors import FilterError
from netally.store.filters.fields import FIELDS, PATTERN_OPERATORS, Field, Kind
from netally.store.filters.syntax import MAX_LENGTH, Reader, grammar
from netally.store.filters.values import NONE, WELL_KNOWN_PORTS, quoted

MOST: Final = 20
"""Completions of one answer."""

Values = Callable[[Field, str, int], Awaitable[Mapping[str, int | None]]]
"""``await values(field, prefix, limit)``: values of a field with their bytes (null: not known), best first. Of names
those that begin with the prefix, at most ``limit``; of a closed vocabulary the words, of ports the numbers, that have
traffic.
"""

_PIECE: Final = re.compile(
    r"""(?P<space>\s+)|(?P<word>[^\s(),"'=!<>~]+)|(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
    r"""|(?P<open>["'].*)|(?P<operator>[=!<>~]+)|(?P<mark>[(),])""",
    re.DOTALL,
)
_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_OPERATOR_WORDS: Final = {
    "=": "is",
    "!=": "is not, or not known",
    "in": "is one of",
    "not in": "is none of",
    "~": "matches a pattern with * and ?",
    "!~": "does not match",
    "under": "is the name or lies below it",
    "not under": "is neither the name nor below it",
    "<": "less than",
    "<=": "at most",
    ">": "more than",
    ">=": "at least",
}


class Completion(msgspec.Struct, frozen=True):
    """One offer: the characters from ``from`` to ``to`` of the text are replaced by ``insert``."""

    label: str
    """What to show."""
    insert: str
    """What to put in, quoted where needed, without a space after it."""
    kind: str
    """``field``, ``operator``, ``value`` or ``keyword``."""
    start: int = msgspec.field(name="from")
    """Offset in characters (code points), from 0."""
    end: int = msgspec.field(name="to")
    about: str = ""
    """A few words for people; may be empty."""
    bytes: int | None = None
    """Of a value, as `Values` told; null where they are not known."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the cursor is."""

    accepted: frozenset[str]
    """Terminals of the grammar that may follow."""
    field: Field | None
    operator: str
    negated: bool


async def complete(text: str, cursor: int, values: Values, limit: int = MOST) -> list[Completion]:
    """What may stand at the cursor (offset in characters, 0 to the length), best first; empty where nothing may.

    The word that the cursor is in or at the end of is replaced as a whole. Never raises for what the text says.
    """
    if len(text) > MAX_LENGTH:
        return []
    cursor = max(0, min(cursor, len(text)))
    start, end = _word_around(text, cursor)
    place = _place(text[:start])
    if place is None:
        return []
    typed = text[start:cursor]
    offers = await _offers(place, typed, values, limit)
    return [
        Completion(offer.label, offer.insert, offer.kind, start, end, offer.about, offer.bytes)
        for offer in offers[:limit]
    ]


class _Offer(NamedTuple):
    label: str
    insert: str
    kind: str
    about: str = ""
    bytes: int | None = None


def _word_around(text: str, cursor: int) -> tuple[int, int]:
    """Start and end of what the cursor's completion replaces; both the cursor where it touches nothing unfinished."""
    for piece in _PIECE.finditer(text):
        start, end = piece.span()
        if end < cursor:
            continue
        if start > cursor:
            break
        if piece["word"] and start <= cursor <= end:
            return start, end
        if piece["string"] and start < cursor < end:
            return start, end
        if piece["open"] and start < cursor:
            # All that follows the quote would be inside it; only what is left of the cursor is meant.
            return start, cursor
        if piece["operator"] and start < cursor <= end and piece["operator"] == "!":
            return start, end
    return cursor, cursor


def _place(before: str) -> _Place | None:
    """What the grammar accepts after a text; None when the text is wrong already."""
    reader = Reader()
    interactive = grammar().parse_interactive(before)
    try:
        for token in interactive.iter_parse():
            reader.take(token)
    except (FilterError, UnexpectedInput):
        return None
    accepted = frozenset(interactive.accepts())  # type: ignore[no-untyped-call]  # lark leaves it untyped
    current = reader.current
    if current is None:
        return _Place(accepted, None, "", False)
    return _Place(accepted, current.field, current.operator, current.negated)


async def _offers(place: _Place, typed: str, values: Values, limit: int) -> list[_Offer]:
    accepted = place.accepted
    if "FIELD" in accepted:
        offers = [_Offer(name, name, "field", field.about) for name, field in FIELDS.items()]
        offers += [_Offer("not", "not", "keyword"), _Offer("(", "(", "keyword")]
        return _fitting(offers, typed)
    if place.field is None:
        return _fitting([_Offer(word, word, "keyword") for word in ("and", "or")], typed) if "AND" in accepted else []
    if not place.operator:
        known = [one for one in place.field.operators if not place.negated or one.startswith("not ")]
        offers = [
            _Offer(one, one.removeprefix("not ") if place.negated else one, "operator", _OPERATOR_WORDS[one])
            for one in known
        ]
        return _fitting(offers, typed)
    if "WORD" in accepted:
        return await _values(place.field, place.operator, typed, values, limit)
    marks = (("AND", "and"), ("OR", "or"), ("COMMA", ","), ("RPAR", ")"))
    return _fitting([_Offer(word, word, "keyword") for name, word in marks if name in accepted], typed)


def _fitting(offers: Sequence[_Offer], typed: str) -> list[_Offer]:
    """Those that begin with what was typed, then those that have it elsewhere."""
    low = typed.lower()
    first = [offer for offer in offers if offer.label.lower().startswith(low)]
    return first + [offer for offer in offers if low in offer.label.lower() and offer not in first]


def _by_bytes(offers: Sequence[_Offer], used: Mapping[str, int | None]) -> list[_Offer]:
    """Most bytes first; those without keep their order."""
    told = [offer._replace(bytes=used.get(offer.label)) for offer in offers]
    return sorted(told, key=lambda offer: -(offer.bytes or 0))


async def _values(field: Field, operator: str, typed: str, values: Values, limit: int) -> list[_Offer]:
    prefix = re.sub(r"\\(.)", r"\1", typed[1:]) if typed[:1] in ('"', "'") else typed
    none = _Offer(NONE, NONE, "value", "not known")
    match field.kind:
        case Kind.AMOUNT:
            number = _NUMBER.match(prefix)
            units = ("kB", "MB", "GB", "KiB", "MiB", "GiB") if field.name.startswith("bytes") else ("k", "M", "G")
            amounts = [f"{number[0] if number else '10'}{unit}" for unit in units]
            return _fitting([_Offer(amount, amount, "value") for amount in amounts], prefix)
        case Kind.REMOTE:
            return []
    if "*" in prefix or "?" in prefix:
        return []
    used = await values(field, prefix, limit)
    match field.kind:
        case Kind.CODE:
            words = [_Offer(word, word, "value", str(code)) for word, code in field.codes]
            return _fitting(_by_bytes(words, used), prefix)
        case Kind.BROWSER:
            browsers = [*(_Offer(name, quoted(name), "value") for name in BROWSERS), none]
            return _fitting(_by_bytes(browsers, used), prefix)
        case Kind.PORT:
            words_of = {str(port): word for port, word in WELL_KNOWN_PORTS}
            ports = [_Offer(port, port, "value", words_of.get(port, "")) for port in dict.fromkeys((*words_of, *used))]
            ranked = _by_bytes(ports, used)
            return [one for one in ranked if one.label.startswith(prefix) or one.about.startswith(prefix.lower())]
    offers = [_Offer(name, quoted(name), "value", "", number) for name, number in used.items() if name]
    if operator in PATTERN_OPERATORS:
        # A name is a pattern too, but what was typed so far is the likelier one.
        fits = prefix and quoted(prefix) == prefix
        return [*([_Offer(f"{prefix}*", f"{prefix}*", "value", "begins with it")] if fits else []), *offers]
    if operator in ("under", "not under"):
        return offers
    return offers + _fitting([none], prefix)

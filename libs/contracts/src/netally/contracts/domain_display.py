"""Domain names as people read them. Stored and sent they are always in their encoded form (``xn--…``)."""

from __future__ import annotations

import unicodedata

_TOGETHER = frozenset(("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO"))
"""Scripts that one word may mix."""


def display_name(domain: str) -> str:
    """``xn--mnchen-3ya.de`` as ``münchen.de``. A label that does not decode, or mixes alphabets to look like another
    name, stays as it is; show the stored form beside it (in a title) where names are compared.
    """
    if "xn--" not in domain:
        return domain
    return ".".join(_display_label(label) for label in domain.split("."))


def _display_label(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        decoded = label.encode("ascii").decode("idna")
        if decoded.encode("idna").decode("ascii") != label or not decoded.isprintable():
            return label
    except UnicodeError:
        return label
    scripts = {unicodedata.name(letter, "?").split(" ")[0] for letter in decoded if letter.isalpha()}
    scripts = {"CJK" if script in _TOGETHER else script for script in scripts}
    return decoded if len(scripts) <= 1 else label

"""The form in which domain names are stored, from what a person writes."""

from __future__ import annotations

import idna


def stored_form(text: str) -> str:
    """A domain name as the tables hold it: lower case, no last dot, labels outside ASCII encoded (``xn--``).

    Encoded as browsers do (UTS 46, non-transitional: ``straße.de`` keeps its ß). Labels within ASCII are taken as they
    are, underscores included, because that is how they were seen on the wire. ValueError for a label that no domain can
    have.
    """
    if text.isascii():
        return text.lower().rstrip(".")
    try:
        mapped = idna.uts46_remap(text, std3_rules=False, transitional=False)
        labels = [label if label.isascii() else idna.alabel(label).decode("ascii") for label in mapped.split(".")]
    except idna.IDNAError as error:
        raise ValueError(f"no domain name: {error}") from None
    return ".".join(labels).lower().rstrip(".")

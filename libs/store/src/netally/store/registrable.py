"""The registrable domain of a name, by the public suffix list (https://publicsuffix.org) that the library brings."""

from __future__ import annotations

import ipaddress
from functools import cache, lru_cache

from publicsuffixlist import PublicSuffixList

from netally.store.domain_name import stored_form


@cache
def _suffixes() -> PublicSuffixList:
    # Its private part counts as well: the users of github.io are strangers to each other.
    return PublicSuffixList()


@lru_cache(maxsize=65_536)
def registrable_domain(name: str) -> str:
    """The part of a domain name that one owner registered (eTLD+1), in the stored form: the key of roll-ups.

    ``codeload.github.com`` gives ``github.com``, ``a.b.example.co.uk`` gives ``example.co.uk``. A name without such a
    part stands for itself: a public suffix, a single label, an IP address, the empty name.
    """
    try:
        stored = stored_form(name)
    except ValueError:
        return name
    if _is_address(stored):
        return stored
    return _suffixes().privatesuffix(stored) or stored


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True

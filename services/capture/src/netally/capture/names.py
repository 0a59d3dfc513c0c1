"""Names of flows: what a client asked DNS for, remembered by address, and which of several names counts.

Precedence: the name in the connection itself (SNI) before the name DNS gave the address, because many names share an
address; a DNS name only while it is valid. Else none.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import Final

import numpy as np
from numpy.typing import NDArray

from netally.contracts.codes import DomainSource

GRACE: Final = 300.0
"""Seconds a DNS name stays usable after its TTL: programs keep addresses longer than they should."""
MAX_TTL: Final = 86_400.0
MAX_NAMES: Final = 50_000

_ALLOWED: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")
_QUERY: Final = _ALLOWED | {"."}
_MAX_LENGTH: Final = 253


def clean_name(raw: str) -> str | None:
    """A domain name as it is stored: lower case, no last dot, at most 253 characters, labels of 1 to 63 letters,
    digits, hyphens and underscores; a name outside ASCII in its encoded form (``xn--``, RFC 3490). None for anything
    else, IP addresses and single numbers included.

    ``raw`` is bytes of the wire as Latin-1, which some programs fill with UTF-8.
    """
    name = raw.lower() if raw.isascii() else _encoded(raw)
    name = name.removesuffix(".")
    if not name or len(name) > _MAX_LENGTH:
        return None
    labels = name.split(".")
    if labels[0] == "*":
        labels = labels[1:]
    if not labels:
        return None
    for label in labels:
        if not 0 < len(label) <= 63 or not _ALLOWED.issuperset(label):
            return None
    # Numbers alone are an address or a fragment of one.
    return None if name.replace(".", "").isdigit() else name


def clean_host(raw: str) -> str | None:
    """What a client asked a server for: a domain name as `clean_name` gives it, or an IP address written normally.

    Programs that were given an address put it into Host and, against RFC 6066, into SNI; it is all the name there is.
    """
    if raw[-1:].isdigit() or ":" in raw:
        try:
            return str(ipaddress.ip_address(raw[:45].partition("%")[0]))
        except ValueError:
            pass
    return clean_name(raw)


def clean_query(raw: str) -> str | None:
    """What a client asked DNS for. Unlike hosts a query may hold anything (service names of people's devices, data of
    a tunnel): what no name may hold becomes an underscore, so that the query is seen and harmless.
    """
    host = clean_host(raw)
    if host is not None:
        return host
    name = raw.lower().removesuffix(".")[:_MAX_LENGTH]
    return "".join(letter if letter in _QUERY else "_" for letter in name).strip(".") or None


def _encoded(raw: str) -> str:
    try:
        return raw.encode("latin-1").decode("utf-8")[:_MAX_LENGTH].encode("idna").decode("ascii").lower()
    except UnicodeError:
        return ""


_RANK: Final = {
    source: rank
    for rank, source in enumerate(
        (
            DomainSource.NONE,
            DomainSource.ECH_OUTER,
            DomainSource.DNS,
            DomainSource.DNS_QUERY,
            DomainSource.HTTP,
            DomainSource.QUIC_SNI,
            DomainSource.TLS_SNI,
            DomainSource.EXTENSION,
        )
    )
}


def beats(new: int, old: int) -> bool:
    """Whether a name found by the source ``new`` replaces one found by ``old`` (`DomainSource` numbers)."""
    return _RANK[DomainSource(new)] > _RANK[DomainSource(old)]


class AddressNames:
    """(client, address) → name, from DNS answers. Bounded; the least recently learned goes first.

    All addresses of this machine are one client (b""): a stub resolver answers programs on 127.0.0.1, the connection
    then leaves from another address.
    """

    def __init__(self, limit: int = MAX_NAMES) -> None:
        self._limit = limit
        self._names: OrderedDict[tuple[bytes, bytes], tuple[str, float]] = OrderedDict()
        self._ends: NDArray[np.uint64] | None = None

    def __len__(self) -> int:
        return len(self._names)

    def clear(self) -> None:
        self._names.clear()
        self._ends = None

    def low_words(self) -> NDArray[np.uint64]:
        """Last eight bytes of every address, as `packets.address_words` gives them, ascending: an address that is not
        among them has no name.
        """
        if self._ends is None:
            self._ends = np.array(sorted(int.from_bytes(address[-8:], "big") for _, address in self._names), np.uint64)
        return self._ends

    def learn(self, client: bytes, address: bytes, name: str, ttl: float, now: float) -> None:
        """``client`` was told at ``now`` that ``name`` has ``address`` for ``ttl`` seconds. The last one counts."""
        key = (client, address)
        if key not in self._names:
            self._ends = None
        self._names[key] = (name, now + min(ttl, MAX_TTL) + GRACE)
        self._names.move_to_end(key)
        if len(self._names) > self._limit:
            self._names.popitem(last=False)

    def name(self, client: bytes, address: bytes, now: float) -> str | None:
        """Name under which ``client`` last got ``address``; None when it got none, or too long ago."""
        found = self._names.get((client, address))
        return found[0] if found is not None and now <= found[1] else None

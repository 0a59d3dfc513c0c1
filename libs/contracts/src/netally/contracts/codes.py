"""The closed vocabularies. The number goes over the wire and into the database, the lower-case name to people.

A number is never reused for another meaning. 0 is always "unknown" or "none".
"""

from __future__ import annotations

from enum import IntEnum
from typing import Self


class Code(IntEnum):
    """A vocabulary entry; ``label`` is the word shown to people and used in filters."""

    @property
    def label(self) -> str:
        return self.name.lower()

    @classmethod
    def labels(cls) -> dict[int, str]:
        """Number to word, for every entry."""
        return {int(entry): entry.label for entry in cls}

    @classmethod
    def from_label(cls, label: str) -> Self:
        """Entry of a word; ValueError for an unknown one."""
        for entry in cls:
            if entry.label == label:
                return entry
        raise ValueError(f"{label!r} is none of {', '.join(entry.label for entry in cls)}")


class Scope(Code):
    """Where the remote end lies. Loopback and replay stay outside totals; peer is another agent's address."""

    UNKNOWN = 0
    INTERNET = 1
    PRIVATE = 2
    LOOPBACK = 3
    PEER = 4
    REPLAY = 5


class Role(Code):
    """What this host was in the flow: by SYN, else a known listener, else the first sender, else the lower port."""

    UNKNOWN = 0
    CLIENT = 1
    SERVER = 2


class DomainSource(Code):
    """How the domain of a flow was found."""

    NONE = 0
    EXTENSION = 1
    TLS_SNI = 2
    QUIC_SNI = 3
    HTTP = 4
    DNS = 5
    DNS_QUERY = 6
    ECH_OUTER = 7


class ProcessSource(Code):
    """How the process of a flow was found."""

    NONE = 0
    EBPF = 1
    SOCK_DIAG = 2
    PROC = 3


class Cause(Code):
    """Where the bytes of an interface counter went. The causes of one interval and interface sum to its counter."""

    UNKNOWN = 0
    ATTRIBUTED = 1
    NO_NAME = 2
    NO_PROCESS = 3
    NOT_IP = 4
    FORWARDED = 5
    KERNEL = 6
    HEADER_DIFFERENCE = 7
    LOST_RING = 8
    LOST_MAP = 9
    LOST_SPOOL = 10
    PAUSED = 11


class Mode(Code):
    """How an agent sees traffic."""

    NONE = 0
    EBPF = 1
    PACKETS = 2
    UNPRIVILEGED = 3
    REPLAY = 4

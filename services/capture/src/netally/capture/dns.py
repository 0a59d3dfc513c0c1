"""DNS messages (RFC 1035): the question's name, and the addresses an answer gives it.

Own parser because it runs for every answer on the wire. Bounded: 128 records, 128 labels and no pointer that goes
forward, so that no message can make it loop. Never raises; what is no DNS gives None.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

A: Final = 1
CNAME: Final = 5
AAAA: Final = 28
SVCB: Final = 64
HTTPS: Final = 65

_OPCODES: Final = (0, 4, 5)
"""Query, notify (RFC 1996) and update (RFC 2136), whose question is the zone."""
_KEY_IPV4_HINT: Final = 4
_KEY_ECH: Final = 5
_KEY_IPV6_HINT: Final = 6
_ECH_VERSION: Final = 0xFE0D

_HEADER: Final = struct.Struct("!HHHHHH")
_QUESTION: Final = struct.Struct("!HH")
_RECORD: Final = struct.Struct("!HHIH")
_MAX_RECORDS: Final = 128
_MAX_LABELS: Final = 128
_MAX_NAME: Final = 255
_MAX_HINTS: Final = 16
"""Addresses of one hint and configurations of one ECH list that are read."""


class Address(NamedTuple):
    """An address record of an answer."""

    name: str
    """Owner as the record says: the end of the CNAME chain."""
    address: bytes
    """Packed, 4 or 16 bytes."""
    ttl: int
    """Seconds."""


class Message(NamedTuple):
    """What a DNS message says that names flows."""

    is_response: bool
    records: int
    """Records that the header promises in answer, authority and additional sections."""
    question: str
    """Name asked for, as sent (not checked, case kept). In a message that asks nothing (an mDNS announcement) the name
    of its first record."""
    question_type: int
    addresses: list[Address]
    aliases: dict[str, str]
    """Canonical name → name that points to it (CNAME and alias-mode HTTPS records turned around)."""
    ech_names: list[str]
    """Public names of Encrypted ClientHello configurations: what a client's SNI says instead of the real name."""

    def asked_name(self, owner: str) -> str:
        """Name a client asked for to get to ``owner``: up the CNAME chain, at most as long as the chain."""
        name = owner
        for _ in range(len(self.aliases)):
            above = self.aliases.get(name)
            if above is None:
                break
            name = above
        return name


def parse_message(data: bytes) -> Message | None:
    """DNS message of a UDP payload. A cut message gives what came before the cut; None when the header, the question
    or the flags make it no query or answer.
    """
    if len(data) < _HEADER.size:
        return None
    _, flags, questions, answers, authority, additional = _HEADER.unpack_from(data)
    # A known opcode, the Z bit (RFC 2535: reserved) clear, one question or (multicast answers) none.
    if flags >> 11 & 0xF not in _OPCODES or flags & 0x0040 or questions > 16 or not (questions or answers):
        return None
    offset = _HEADER.size
    question, question_type = "", 0
    known: dict[int, str] = {}
    try:
        for number in range(questions):
            name, offset = _name(data, offset, known)
            kind, _ = _QUESTION.unpack_from(data, offset)
            offset += _QUESTION.size
            if number == 0:
                question, question_type = name, kind
        if not questions:
            question, _ = _name(data, offset, known)
    except (ValueError, struct.error):
        return None
    response = bool(flags & 0x8000)
    message = Message(response, answers + authority + additional, question, question_type, [], {}, [])
    if response:
        _read_records(data, offset, min(message.records, _MAX_RECORDS), message, known)
    return message


def _read_records(data: bytes, offset: int, count: int, message: Message, known: dict[int, str]) -> None:
    try:
        for _ in range(count):
            owner, offset = _name(data, offset, known)
            kind, record_class, ttl, length = _RECORD.unpack_from(data, offset)
            offset += _RECORD.size
            end = offset + length
            if end > len(data):
                return
            # The top bit of the class is mDNS's cache flush (RFC 6762).
            if record_class & 0x7FFF == 1:
                if (kind == A and length == 4) or (kind == AAAA and length == 16):
                    # RFC 2181: a TTL with the top bit set is 0.
                    message.addresses.append(Address(owner.lower(), data[offset:end], ttl if ttl < 2**31 else 0))
                elif kind == CNAME:
                    target, _ = _name(data, offset, known)
                    message.aliases.setdefault(target.lower(), owner.lower())
                elif kind in (SVCB, HTTPS):
                    _read_service(data, offset, end, owner.lower(), ttl if ttl < 2**31 else 0, message, known)
            offset = end
    except (ValueError, struct.error):
        return


def _read_service(
    data: bytes, offset: int, end: int, owner: str, ttl: int, message: Message, known: dict[int, str]
) -> None:
    """SVCB and HTTPS records (RFC 9460): priority, target, then parameters (key, length, value)."""
    priority = int.from_bytes(data[offset : offset + 2], "big")
    target, offset = _name(data, offset + 2, known)
    if priority == 0:
        if target:
            message.aliases.setdefault(target.lower(), owner)
        return
    while offset + 4 <= end:
        key, length = _QUESTION.unpack_from(data, offset)
        value = data[offset + 4 : min(offset + 4 + length, end)]
        if key in (_KEY_IPV4_HINT, _KEY_IPV6_HINT):
            width = 4 if key == _KEY_IPV4_HINT else 16
            for start in range(0, min(len(value), _MAX_HINTS * width) - width + 1, width):
                message.addresses.append(Address(owner, value[start : start + width], ttl))
        elif key == _KEY_ECH:
            message.ech_names.extend(_public_names(value))
        offset += 4 + length


def _public_names(configurations: bytes) -> list[str]:
    """Public names of an ECHConfigList (draft-ietf-tls-esni section 4): length, then (version, length, contents)s."""
    names: list[str] = []
    position = 2
    while position + 4 <= len(configurations) and len(names) < _MAX_HINTS:
        version, length = _QUESTION.unpack_from(configurations, position)
        contents = configurations[position + 4 : position + 4 + length]
        position += 4 + length
        if version != _ECH_VERSION:
            continue
        # Configuration id (1), KEM (2), public key, cipher suites, longest name (1), public name.
        place = 3
        for _ in range(2):
            place += 2 + int.from_bytes(contents[place : place + 2], "big")
        name = contents[place + 2 : place + 2 + contents[place + 1]] if place + 2 <= len(contents) else b""
        if name:
            names.append(name.decode("latin-1"))
    return names


def _name(data: bytes, offset: int, known: dict[int, str]) -> tuple[str, int]:
    """(name without the last dot, offset behind it); ValueError when it is broken, looping or too long.

    ``known`` keeps names by where they start: most owners are a pointer to a name read before.
    """
    if offset + 1 < len(data) and data[offset] >= 0xC0:
        name = known.get((data[offset] & 0x3F) << 8 | data[offset + 1])
        if name is not None:
            return name, offset + 2
    start = offset
    labels: list[bytes] = []
    size = 0
    end = -1
    for _ in range(_MAX_LABELS):
        if offset >= len(data):
            raise ValueError("cut name")
        length = data[offset]
        if length == 0:
            known[start] = name = b".".join(labels).decode("latin-1")
            return name, (offset + 1 if end < 0 else end)
        if length >= 0xC0:
            if offset + 1 >= len(data):
                raise ValueError("cut pointer")
            target = (length & 0x3F) << 8 | data[offset + 1]
            if target >= offset:
                raise ValueError("pointer forward")
            if end < 0:
                end = offset + 2
            offset = target
            continue
        if length > 63:
            raise ValueError("label type")
        label = data[offset + 1 : offset + 1 + length]
        size += length + 1
        if len(label) < length or size > _MAX_NAME:
            raise ValueError("long name")
        labels.append(label)
        offset += 1 + length
    raise ValueError("too many labels")

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

_HEADER: Final = struct.Struct("!HHHHHH")
_QUESTION: Final = struct.Struct("!HH")
_RECORD: Final = struct.Struct("!HHIH")
_MAX_RECORDS: Final = 128
_MAX_LABELS: Final = 128
_MAX_NAME: Final = 255


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
    question: str
    """Name asked for, as sent (not checked, case kept); empty when the message asks nothing, as mDNS answers do."""
    question_type: int
    addresses: list[Address]
    aliases: dict[str, str]
    """Canonical name → name that points to it (CNAME records turned around)."""

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
    # Opcode 0, the Z bit (RFC 2535: reserved) clear, one question or (multicast answers) none.
    if flags & 0x7840 or questions > 16 or not (questions or answers):
        return None
    offset = _HEADER.size
    question, question_type = "", 0
    try:
        for number in range(questions):
            name, offset = _name(data, offset)
            kind, _ = _QUESTION.unpack_from(data, offset)
            offset += _QUESTION.size
            if number == 0:
                question, question_type = name, kind
    except (ValueError, struct.error):
        return None
    response = bool(flags & 0x8000)
    message = Message(response, question, question_type, [], {})
    if response:
        _read_records(data, offset, min(answers + authority + additional, _MAX_RECORDS), message)
    return message


def _read_records(data: bytes, offset: int, count: int, message: Message) -> None:
    try:
        for _ in range(count):
            owner, offset = _name(data, offset)
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
                    target, _ = _name(data, offset)
                    message.aliases.setdefault(target.lower(), owner.lower())
            offset = end
    except (ValueError, struct.error):
        return


def _name(data: bytes, offset: int) -> tuple[str, int]:
    """(name without the last dot, offset behind it); ValueError when it is broken, looping or too long."""
    labels: list[bytes] = []
    size = 0
    end = -1
    for _ in range(_MAX_LABELS):
        if offset >= len(data):
            raise ValueError("cut name")
        length = data[offset]
        if length == 0:
            return b".".join(labels).decode("latin-1"), (offset + 1 if end < 0 else end)
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

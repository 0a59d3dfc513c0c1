"""TLS ClientHello (RFC 8446, RFC 6066): the server name a client asks for, from the first bytes of its stream.

Pure: the bytes come from `netally.capture.client_stream`, in order, as far as they are known. Never raises.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

_HANDSHAKE: Final = 22
_CLIENT_HELLO: Final = 1
_SERVER_NAME: Final = 0
_ENCRYPTED_CLIENT_HELLO: Final = 0xFE0D

_TLS_FIELDS: Final = (1, 2, 1)
"""Session id, cipher suites, compression methods."""
_DTLS_FIELDS: Final = (1, 1, 2, 1)
"""The same with DTLS's cookie behind the session id."""

MORE: Final = "more"
NOT_TLS: Final = "not tls"


class ClientHello(NamedTuple):
    """What a ClientHello says."""

    server_name: str | None
    """As sent, not checked; None when the extension is missing."""
    encrypted: bool
    """Whether extension 0xfe0d is there. Browsers send it empty as well (GREASE), so it alone proves nothing."""


def looks_like_hello(data: bytes) -> bool:
    """Whether a segment may begin a ClientHello: a handshake record of SSL 3.0 to TLS 1.3 with that message type."""
    return len(data) >= 6 and data[0] == _HANDSHAKE and data[1] == 3 and data[2] <= 4 and data[5] == _CLIENT_HELLO


def parse_client_hello(stream: bytes) -> ClientHello | Literal["more", "not tls"]:
    """ClientHello at the beginning of a client's stream; `MORE` when it is not all there yet, else `NOT_TLS`.

    The message may be split over several records. A name that lies before the cut is given as soon as it is there.
    """
    if stream and stream[0] != _HANDSHAKE:
        return NOT_TLS
    message = bytearray()
    offset = 0
    complete = True
    while True:
        if offset + 5 > len(stream):
            complete = False
            break
        if stream[offset] != _HANDSHAKE or stream[offset + 1] != 3:
            return NOT_TLS
        length = stream[offset + 3] << 8 | stream[offset + 4]
        if not 0 < length <= 16384 + 256:
            return NOT_TLS
        message += stream[offset + 5 : offset + 5 + length]
        if message and message[0] != _CLIENT_HELLO:
            return NOT_TLS
        offset += 5 + length
        if len(message) >= 4 and len(message) >= 4 + int.from_bytes(message[1:4], "big"):
            break
        if offset > len(stream):
            complete = False
            break
    size = int.from_bytes(message[1:4], "big") if len(message) >= 4 else 0
    return parse_hello_body(bytes(message[4 : 4 + size]), complete=complete)


def parse_dtls_hello(datagram: bytes) -> ClientHello | Literal["more", "not tls"]:
    """ClientHello at the beginning of a DTLS datagram (RFC 6347 and 9147); `NOT_TLS` for any other UDP payload.

    Only the first fragment of a ClientHello is read: the name lies in it unless the client's keys are huge.
    """
    # Record: type, version 0xfeff or 0xfefd (0x0100 before RFC 4347), epoch, sequence, length. Then the handshake
    # message: type, length (3), number (2), fragment offset (3), fragment length (3).
    if len(datagram) < 25 or datagram[0] != _HANDSHAKE or datagram[1:3] not in (b"\xfe\xff", b"\xfe\xfd", b"\x01\x00"):
        return NOT_TLS
    message = datagram[13 : 13 + int.from_bytes(datagram[11:13], "big")]
    if message[:1] != b"\x01" or message[6:9] != b"\0\0\0":
        return NOT_TLS
    size, part = int.from_bytes(message[1:4], "big"), int.from_bytes(message[9:12], "big")
    body = message[12 : 12 + part]
    return parse_hello_body(body, complete=part == size == len(body), widths=_DTLS_FIELDS)


def parse_hello_body(
    body: bytes, *, complete: bool, widths: tuple[int, ...] = _TLS_FIELDS
) -> ClientHello | Literal["more", "not tls"]:
    """ClientHello without record and message header (as QUIC carries it). ``complete`` False: the end is missing.

    ``widths`` are the length fields between the random and the extensions.
    """
    short: Literal["more", "not tls"] = NOT_TLS if complete else MORE
    position = 34  # version (2), random (32)
    for width in widths:
        if position + width > len(body):
            # SSL 3.0 has no extensions, but never a body this short.
            return short
        position += width + int.from_bytes(body[position : position + width], "big")
    if position + 2 > len(body):
        return ClientHello(None, False) if complete and position == len(body) else short
    end = position + 2 + int.from_bytes(body[position : position + 2], "big")
    position += 2
    name: str | None = None
    encrypted = False
    while position + 4 <= min(end, len(body)):
        kind = body[position] << 8 | body[position + 1]
        length = body[position + 2] << 8 | body[position + 3]
        data = body[position + 4 : position + 4 + length]
        if len(data) < length:
            break
        if kind == _SERVER_NAME:
            name = _host_name(data)
        elif kind == _ENCRYPTED_CLIENT_HELLO:
            encrypted = True
        position += 4 + length
    if not complete and name is None:
        return MORE
    return ClientHello(name, encrypted)


def _host_name(extension: bytes) -> str | None:
    position = 2
    while position + 3 <= len(extension):
        length = extension[position + 1] << 8 | extension[position + 2]
        if extension[position] == 0:
            name = extension[position + 3 : position + 3 + length]
            return name.decode("latin-1") if len(name) == length else None
        position += 3 + length
    return None

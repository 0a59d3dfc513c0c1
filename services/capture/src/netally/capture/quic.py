"""QUIC Initial packets: UDP payloads of a flow in, the TLS ClientHello they carry out.

An Initial is encrypted with keys that anyone derives from the connection id in its header (RFC 9001 section 5.2; QUIC
version 2: RFC 9369). Clients spread the ClientHello over shuffled CRYPTO frames of several datagrams, so the pieces are
merged by offset. Google's QUIC before version 50 sends its hello (CHLO) readable. All state is bounded.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from collections.abc import Hashable
from struct import Struct
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION_1: Final = 0x00000001
VERSION_2: Final = 0x6B3343CF
_VERSIONS_2: Final = (VERSION_2, 0x709A50C4, 0xFF020000)
"""With the drafts of version 2: the same packet types and labels, another salt."""

MAX_CONNECTIONS: Final = 4_096
MAX_HELLO: Final = 16_384
"""Longest ClientHello assembled, bytes; the post-quantum ones of browsers have about 2,000."""
MAX_PIECES: Final = 64
"""CRYPTO frames kept of one connection. Chromium sends about ten."""
MAX_FAILURES: Final = 8
"""Datagrams that did not decrypt before a connection is left alone: the other direction, or a key long gone."""
LIFETIME: Final = 10.0
"""Seconds between two Initials of one ClientHello."""

_MAX_CONNECTION_ID = 20
_MAX_KEYS = 4

_SALT_V1 = bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a")  # RFC 9001
_SALT_V2 = bytes.fromhex("0dede3def700a6db819381be6e269dcbf9bd2ed9")  # RFC 9369
_SALT_V2_DRAFT = bytes.fromhex("a707c203a59b47184a1d62ca570406ea7ae3e5d3")
_SALT_29 = bytes.fromhex("afbfec289993d24c9e9786f19c6111e04390a899")  # drafts 29 to 32
_SALT_23 = bytes.fromhex("c3eef712c72ebb5a11a7d2432bb46365bef9f502")  # drafts 23 to 28
_SALT_22 = bytes.fromhex("7fbcdb0e7c66bbe9193a96cd21519ebd7a02644a")  # drafts 21 and 22
_SALT_Q050 = bytes.fromhex("504574efd066fe2f9d945cfcdbd3a7f0d3b56b45")
_SALT_T050 = bytes.fromhex("7ff579e5acd072915580304c43a2367c60488310")
_SALT_T051 = bytes.fromhex("7a4edef4e7ccee5fa4506c19124fc8ccda6e033d")

_SALTS: dict[int, tuple[bytes, ...]] = {
    VERSION_1: (_SALT_V1,),
    VERSION_2: (_SALT_V2,),
    0x709A50C4: (_SALT_V2_DRAFT,),
    0xFF020000: (_SALT_V2_DRAFT,),
    0x51303530: (_SALT_Q050,),
    0x54303530: (_SALT_T050,),
    0x54303531: (_SALT_T051,),
    **{0xFF000000 | draft: (_SALT_22,) for draft in (21, 22)},
    **{0xFF000000 | draft: (_SALT_23,) for draft in range(23, 29)},
    **{0xFF000000 | draft: (_SALT_29,) for draft in range(29, 33)},
    **{0xFF000000 | draft: (_SALT_V1,) for draft in (33, 34)},
}
# mvfst numbers its experiments without saying which salt they use; a wrong one fails authentication, so try them.
_MVFST_SALTS = (_SALT_V1, _SALT_23, _SALT_29, _SALT_22)

_U32 = Struct("!I")
_U16 = Struct("!H")
_LITTLE_U32 = Struct("<I")


class Hello(msgspec.Struct, frozen=True):
    """What a client said first."""

    client_hello: bytes = b""
    """TLS handshake message from its type byte on; cut behind the last piece known. Empty for Google's own hello."""
    complete: bool = True
    """Whether the ClientHello is whole."""
    server_name: bytes = b""
    """Server name of Google's own hello (CHLO), as sent; empty when there was none."""


class _Keys(msgspec.Struct, frozen=True):
    aead: AESGCM
    iv: int
    header_mask: CipherContext
    """AES in ECB mode: of each 16 bytes the mask, whatever was asked before."""


class _Connection(msgspec.Struct):
    keys: list[_Keys]
    """Those that decrypted something: later Initials carry another id, but keep the keys of the first."""
    pieces: dict[int, bytes]
    size: int = 0
    failures: int = 0
    last: float = 0.0
    done: bool = False


def is_candidate(payload: bytes) -> bool:
    """Whether a UDP payload may be a client's first flight: a long header of version 1, 2, a draft or mvfst, or gQUIC.

    Cheap, for every UDP packet of a capture; most of what passes by chance fails in the next step.
    """
    if len(payload) < 20:
        return False
    first = payload[0]
    if first & 0x80:
        return first & 0x40 != 0 and (_salts(_U32.unpack_from(payload, 1)[0]) != () or payload[1:3] == b"Q0")
    return payload[9:11] == b"Q0" and first & 0x09 == 0x09


class QuicHellos:
    """Hellos under way, by flow. Feed it the datagrams of both directions; it ignores those it cannot read."""

    def __init__(self, limit: int = MAX_CONNECTIONS, lifetime: float = LIFETIME) -> None:
        self._limit = limit
        self._lifetime = lifetime
        self._connections: OrderedDict[Hashable, _Connection] = OrderedDict()

    def __len__(self) -> int:
        return len(self._connections)

    def feed(self, flow: Hashable, payload: bytes, now: float) -> Hello | None:
        """A hello that grew by this datagram, incomplete ones too; None when there is nothing new.

        ``now`` is the packet's time in seconds. A complete hello ends its connection: later datagrams give None.
        """
        if not is_candidate(payload):
            return None
        google = _google_hello(payload)
        if google is not None:
            return google
        connection = self._connections.get(flow)
        if connection is not None and abs(now - connection.last) > self._lifetime:
            connection = None
        if connection is None:
            connection = self._connections[flow] = _Connection([], {})
            if len(self._connections) > self._limit:
                self._connections.popitem(last=False)
        connection.last = now
        self._connections.move_to_end(flow)
        if connection.done or connection.failures >= MAX_FAILURES:
            return None
        grown = False
        for plain in _decrypted(payload, connection.keys):
            google = _chlo(plain)
            if google is not None:
                connection.done = True
                return google
            for offset, piece in crypto_frames(plain):
                grown |= _keep(connection, offset, piece)
        if not grown:
            connection.failures += 1
            return None
        hello = _assemble(connection.pieces)
        if not hello:
            return None
        complete = len(hello) >= 4 and len(hello) >= 4 + int.from_bytes(hello[1:4], "big")
        if complete or (hello and hello[0] != 1):
            connection.done = True
            connection.pieces.clear()
        return Hello(hello, complete) if hello[0] == 1 else None


def _salts(version: int) -> tuple[bytes, ...]:
    salts = _SALTS.get(version)
    if salts is not None:
        return salts
    return _MVFST_SALTS if version >> 12 == 0xFACEB else ()


def _infos(prefix: bytes) -> tuple[bytes, bytes, bytes]:
    """Of key, iv and header protection, with their counter of HKDF-Expand."""
    return _info(prefix + b"key", 16), _info(prefix + b"iv", 12), _info(prefix + b"hp", 16)


def _info(label: bytes, length: int) -> bytes:
    """HkdfLabel of TLS 1.3 without a context (RFC 8446 section 7.1), and the counter of the first block (RFC 5869)."""
    return _U16.pack(length) + bytes((6 + len(label),)) + b"tls13 " + label + b"\x00\x01"


_CLIENT = _info(b"client in", 32)
_INFOS_1 = _infos(b"quic ")
_INFOS_2 = _infos(b"quicv2 ")


def client_keys(version: int, salt: bytes, connection_id: bytes) -> tuple[bytes, bytes, bytes]:
    """(key, iv, header protection key) of a client's Initials (RFC 9001 section 5.2, RFC 9369 section 3.3)."""
    key, iv, header = _INFOS_2 if version in _VERSIONS_2 else _INFOS_1
    client = hmac.digest(hmac.digest(salt, connection_id, "sha256"), _CLIENT, "sha256")
    return (
        hmac.digest(client, key, "sha256")[:16],
        hmac.digest(client, iv, "sha256")[:12],
        hmac.digest(client, header, "sha256")[:16],
    )


def _make_keys(version: int, salt: bytes, connection_id: bytes) -> _Keys:
    key, iv, header = client_keys(version, salt, connection_id)
    mask = Cipher(algorithms.AES(header), modes.ECB()).encryptor()  # noqa: S305
    return _Keys(AESGCM(key), int.from_bytes(iv, "big"), mask)


def _decrypted(datagram: bytes, keys: list[_Keys]) -> list[bytes]:
    """Payloads of the client's Initials in a datagram. Keys that fit are added to ``keys``."""
    found: list[bytes] = []
    position, end = 0, len(datagram)
    while position + 7 <= end and datagram[position] & 0xC0 == 0xC0:  # packets may be coalesced (RFC 9000 12.2)
        start = position
        (version,) = _U32.unpack_from(datagram, start + 1)
        salts = _salts(version)
        if not salts:
            break
        id_length = datagram[start + 5]
        position = start + 6 + id_length
        if id_length > _MAX_CONNECTION_ID or position >= end:
            break
        connection_id = datagram[start + 6 : position]
        position += 1 + datagram[position]
        kind = datagram[start] >> 4 & 3
        if version in _VERSIONS_2:
            kind = (kind - 1) & 3
        if kind == 3:  # Retry has no length
            break
        if kind == 0:
            token, position = _varint(datagram, position)
            position += token
        length, position = _varint(datagram, position)
        packet_end = position + length
        if length < 20 or packet_end > end:
            break
        if kind == 0:
            plain = _open_any(datagram, start, position, packet_end, keys)
            if plain is None and len(keys) < _MAX_KEYS:
                for salt in salts:
                    fresh = _make_keys(version, salt, connection_id)
                    plain = _open(datagram, start, position, packet_end, fresh)
                    if plain is not None:
                        keys.append(fresh)
                        break
            if plain is not None:
                found.append(plain)
        position = packet_end
    return found


def _open_any(datagram: bytes, start: int, number: int, end: int, keys: list[_Keys]) -> bytes | None:
    for known in keys:
        plain = _open(datagram, start, number, end, known)
        if plain is not None:
            return plain
    return None


def _open(datagram: bytes, start: int, number: int, end: int, keys: _Keys) -> bytes | None:
    """Remove header protection and decrypt one packet (RFC 9001 sections 5.3 and 5.4); None when the key is wrong."""
    mask = keys.header_mask.update(datagram[number + 4 : number + 20])
    first = datagram[start] ^ (mask[0] & 0x0F)
    width = (first & 3) + 1
    packet_number = int.from_bytes(datagram[number : number + width], "big") ^ int.from_bytes(
        mask[1 : 1 + width], "big"
    )
    header = bytes((first,)) + datagram[start + 1 : number] + packet_number.to_bytes(width, "big")
    try:
        return keys.aead.decrypt((keys.iv ^ packet_number).to_bytes(12, "big"), datagram[number + width : end], header)
    except InvalidTag:
        return None


def crypto_frames(payload: bytes) -> list[tuple[int, bytes]]:
    """(offset, data) of the CRYPTO frames of a decrypted Initial (RFC 9000 section 17.2.2 names the frames allowed)."""
    found: list[tuple[int, bytes]] = []
    position, end = 0, len(payload)
    while position < end:
        kind = payload[position]
        if kind == 0:  # PADDING, often hundreds of bytes
            position = end - len(payload[position:].lstrip(b"\0"))
            continue
        position += 1
        if kind == 1:  # PING
            continue
        if kind in (6, 8):  # CRYPTO; 8 in Google's versions 50 and 51
            offset, position = _varint(payload, position)
            length, position = _varint(payload, position)
            if position + length > end:
                break
            found.append((offset, payload[position : position + length]))
            position += length
        elif kind in (2, 3):  # ACK
            for _ in range(2):
                _, position = _varint(payload, position)
            ranges, position = _varint(payload, position)
            for _ in range(min(1 + 2 * ranges + (3 if kind == 3 else 0), end)):
                _, position = _varint(payload, position)
                if position > end:
                    break
        else:  # CONNECTION_CLOSE, or nothing an Initial may hold
            break
    return found


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """(value, position behind it), RFC 9000 section 16. Behind the data's end the value is 0 and the position too."""
    if position >= len(data):
        return 0, len(data) + 1
    first = data[position]
    width = 1 << (first >> 6)
    value = int.from_bytes(data[position : position + width], "big") & ((1 << (8 * width - 2)) - 1)
    return value, position + width


def _keep(connection: _Connection, offset: int, piece: bytes) -> bool:
    known = connection.pieces.get(offset, b"")
    if len(piece) <= len(known) or offset + len(piece) > MAX_HELLO:
        return False
    if len(connection.pieces) >= MAX_PIECES or connection.size + len(piece) > 2 * MAX_HELLO:
        return False
    connection.pieces[offset] = piece
    connection.size += len(piece)
    return True


def _assemble(pieces: dict[int, bytes]) -> bytes:
    """What is known without a hole from offset 0."""
    whole = bytearray()
    for offset in sorted(pieces):
        if offset > len(whole):
            break
        whole += pieces[offset][len(whole) - offset :]
    return bytes(whole)


def _google_hello(payload: bytes) -> Hello | None:
    """Hello of gQUIC up to version 46, whose first packets are not encrypted."""
    version = payload[1:5] if payload[0] & 0x80 else payload[9:13]
    return _chlo(payload) if version.startswith(b"Q0") and version < b"Q050" else None


def _chlo(payload: bytes) -> Hello | None:
    """Google's own handshake message: tag, number of entries, then (tag, end of its value) each, then the values."""
    position = payload.find(b"CHLO")
    if position < 0 or position + 8 > len(payload):
        return None
    entries = int.from_bytes(payload[position + 4 : position + 6], "little")
    index = position + 8
    values = index + 8 * entries
    begin = 0
    for _ in range(min(entries, 128)):
        if index + 8 > len(payload):
            break
        (finish,) = _LITTLE_U32.unpack_from(payload, index + 4)
        if payload[index : index + 4] == b"SNI\x00":
            return Hello(server_name=payload[values + begin : values + finish][:255])
        begin = finish
        index += 8
    return Hello()

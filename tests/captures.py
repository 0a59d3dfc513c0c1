"""Builders of capture files and of what clients say first, byte by byte, without the code under test."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SECOND = 1_000_000_000
BEGIN = 1_795_305_600 * SECOND
"""Time of the first frame, nanoseconds."""


def make_pcap(
    frames: Iterable[bytes | tuple[int, bytes, int]],
    *,
    link_type: int = 1,
    order: str = "<",
    nanoseconds: bool = False,
    modified: bool = False,
) -> bytes:
    """A pcap file of frames, or of (time in ns, data, original length)."""
    magic = 0xA1B23C4D if nanoseconds else 0xA1B2CD34 if modified else 0xA1B2C3D4
    parts = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65_535, link_type)]
    for number, frame in enumerate(frames):
        stamp, data, length = frame if isinstance(frame, tuple) else (BEGIN + number * 1_000_000, frame, len(frame))
        fraction = stamp % SECOND // (1 if nanoseconds else 1_000)
        parts.append(struct.pack(order + "IIII", stamp // SECOND, fraction, len(data), length))
        parts.append((b"\0" * 8 if modified else b"") + data)
    return b"".join(parts)


def make_block(kind: int, body: bytes, order: str = "<") -> bytes:
    """A pcapng block; its body is padded to four bytes."""
    body += b"\0" * (-len(body) % 4)
    length = len(body) + 12
    return struct.pack(order + "II", kind, length) + body + struct.pack(order + "I", length)


def make_section(order: str = "<") -> bytes:
    return make_block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def make_interface(
    link_type: int = 1, order: str = "<", options: Sequence[tuple[int, bytes]] = (), snap: int = 0
) -> bytes:
    body = struct.pack(order + "HHI", link_type, 0, snap)
    for code, value in options:
        body += struct.pack(order + "HH", code, len(value)) + value + b"\0" * (-len(value) % 4)
    return make_block(1, body + (struct.pack(order + "HH", 0, 0) if options else b""), order)


def make_packet_block(
    data: bytes, *, interface: int = 0, stamp: int = BEGIN // 1_000, length: int | None = None, order: str = "<"
) -> bytes:
    """Enhanced packet block; ``stamp`` in the interface's units (microseconds unless it says otherwise)."""
    head = struct.pack(order + "IIIII", interface, stamp >> 32, stamp & 0xFFFFFFFF, len(data), length or len(data))
    return make_block(6, head + data, order)


def make_extension(kind: int, value: bytes) -> bytes:
    return struct.pack("!HH", kind, len(value)) + value


def make_server_name(name: str | bytes) -> bytes:
    raw = name.encode() if isinstance(name, str) else name
    return make_extension(0, struct.pack("!HBH", len(raw) + 3, 0, len(raw)) + raw)


def make_client_hello(
    name: str | bytes | None, *, extensions: Sequence[bytes] = (), behind: Sequence[bytes] = ()
) -> bytes:
    """A TLS 1.2 ClientHello handshake message: ``extensions``, the server name, the extensions ``behind`` it."""
    entries = [*extensions, *([] if name is None else [make_server_name(name)]), *behind]
    block = b"".join(entries)
    body = (
        b"\x03\x03" + bytes(range(32)) + b"\x20" + bytes(32) + struct.pack("!H", 4) + b"\x13\x01\x13\x02" + b"\x01\x00"
    )
    body += struct.pack("!H", len(block)) + block
    return b"\x01" + len(body).to_bytes(3, "big") + body


def make_records(message: bytes, size: int = 16_384) -> bytes:
    """A handshake message in TLS records of at most ``size`` bytes."""
    return b"".join(
        b"\x16\x03\x01" + struct.pack("!H", len(piece)) + piece
        for piece in (message[start : start + size] for start in range(0, len(message), size))
    )


def make_crypto_frame(offset: int, data: bytes) -> bytes:
    return b"\x06" + _varint(offset) + _varint(len(data)) + data


def make_initial(
    keys: tuple[bytes, bytes, bytes],
    payload: bytes,
    *,
    version: int = 1,
    connection_id: bytes = bytes.fromhex("8394c8f03e515708"),
    number: int = 2,
    size: int = 1_200,
    kind: int = 0,
) -> bytes:
    """A QUIC Initial of ``size`` bytes, encrypted with (key, iv, header protection key) (RFC 9001 section 5)."""
    head = bytes((0xC0 | kind << 4 | 3,)) + struct.pack("!I", version)
    head += bytes((len(connection_id),)) + connection_id + b"\x00\x00"
    length = size - len(head) - 2
    header = head + struct.pack("!H", 0x4000 | length) + struct.pack("!I", number)
    plain = payload + bytes(length - 4 - 16 - len(payload))
    nonce = (int.from_bytes(keys[1], "big") ^ number).to_bytes(12, "big")
    sealed = AESGCM(keys[0]).encrypt(nonce, plain, header)
    mask = Cipher(algorithms.AES(keys[2]), modes.ECB()).encryptor().update(sealed[:16])
    first = bytes((header[0] ^ mask[0] & 0x0F,))
    hidden = bytes(a ^ b for a, b in zip(header[-4:], mask[1:5], strict=True))
    return first + header[1:-4] + hidden + sealed


def make_chlo(name: str) -> bytes:
    """Google's own hello with the tags PAD and SNI."""
    values = bytes(20) + name.encode()
    return (
        b"CHLO"
        + struct.pack("<HH", 2, 0)
        + b"PAD\0"
        + struct.pack("<I", 20)
        + b"SNI\0"
        + struct.pack("<I", len(values))
        + values
    )


def _varint(value: int) -> bytes:
    return bytes((value,)) if value < 64 else struct.pack("!H", 0x4000 | value)

"""Capture files: a binary stream in, frames out. pcap in its dialects and pcapng, gzip-packed too.

Sources: the pcap and pcapng Internet drafts (draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng). A file that breaks off
or turns to nonsense yields every frame before that point, and the reason afterwards; only a file that is no capture at
all is an error. A length field is never trusted with memory: blocks are bounded, and read no further than needed.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from struct import Struct
from typing import BinaryIO, Final

import msgspec

MAX_FRAME: Final = 1 << 24
"""Longest captured frame and pcapng block read, bytes. libpcap's own limit is 256 KiB for most link types."""

_PCAP_MAGIC = {
    b"\xd4\xc3\xb2\xa1": ("<", 1_000, 0),
    b"\xa1\xb2\xc3\xd4": (">", 1_000, 0),
    b"\x4d\x3c\xb2\xa1": ("<", 1, 0),
    b"\xa1\xb2\x3c\x4d": (">", 1, 0),
    b"\x34\xcd\xb2\xa1": ("<", 1_000, 8),  # Kuznetzov's patch: eight more bytes in each record header
    b"\xa1\xb2\xcd\x34": (">", 1_000, 8),
}
_PCAPNG_MAGIC = b"\x0a\x0d\x0d\x0a"
_GZIP_MAGIC = b"\x1f\x8b"

_SECTION, _INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET = 0x0A0D0D0A, 1, 2, 3, 6
_OPTION_RESOLUTION, _OPTION_OFFSET = 9, 14
_NANOSECONDS = 1_000_000_000
_CHUNK = 1 << 20


class CaptureFileError(ValueError):
    """The stream is no capture file; the message says what it is instead."""


class Frame(msgspec.Struct, gc=False):
    """One captured frame."""

    link_type: int
    """LINKTYPE number, see `netally.capture.link_layer`."""
    time: int
    """Nanoseconds since the epoch; that of the frame before for a record without a stamp."""
    data: bytes
    """As captured, maybe cut."""
    length: int
    """Bytes on the wire, as the file says."""


class CaptureFile:
    """Frames of a stream, in file order. Iterate once; afterwards ``problem`` says what was wrong with the file."""

    def __init__(self, stream: BinaryIO) -> None:
        """Reads the first bytes. Raises CaptureFileError for anything but pcap and pcapng."""
        self._stream: BinaryIO | gzip.GzipFile = stream
        self._offset = 0
        self.problem = ""
        """Why reading ended early or skipped something, in plain words; empty when the file was read to its end."""
        magic = self._read(4)
        if magic[:2] == _GZIP_MAGIC:
            self._stream = gzip.GzipFile(fileobj=_Rejoined(magic, stream))
            self._offset = 0
            try:
                magic = self._read(4)
            except _DamagedError as damage:
                raise CaptureFileError(str(damage)) from None
        if magic != _PCAPNG_MAGIC and magic not in _PCAP_MAGIC:
            raise CaptureFileError(_not_a_capture(magic))
        self._magic = magic

    def __iter__(self) -> Iterator[Frame]:
        frames = self._pcapng() if self._magic == _PCAPNG_MAGIC else self._pcap()
        try:
            yield from frames
        except _DamagedError as damage:
            self.problem = str(damage)

    def _read(self, count: int) -> bytes:
        """Up to ``count`` bytes; fewer only at the end of the stream."""
        try:
            data = self._stream.read(count)
            while 0 < len(data) < count and (more := self._stream.read(count - len(data))):  # a pipe may give less
                data += more
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise _DamagedError(f"its compressed data is damaged after byte {self._offset:,}: {error}") from None
        self._offset += len(data)
        return data

    def _exactly(self, count: int, what: str) -> bytes:
        data = self._read(count)
        if len(data) < count:
            raise _DamagedError(f"the file ends in the middle of {what} at byte {self._offset:,}")
        return data

    def _pcap(self) -> Iterator[Frame]:
        order, scale, extra = _PCAP_MAGIC[self._magic]
        header = Struct(order + "HHiIII").unpack(self._exactly(20, "the file header"))
        link_type = header[5] & 0xFFFF  # the upper bits tell the length of a frame check sequence
        record = Struct(order + "IIII")
        size = record.size + extra
        while head := self._read(size):
            if len(head) < size:
                raise _DamagedError(f"the file ends in the middle of a record header at byte {self._offset:,}")
            seconds, fraction, captured, length = record.unpack_from(head)
            if captured > MAX_FRAME:
                raise _DamagedError(
                    f"the record before byte {self._offset:,} claims {captured:,} bytes, more than any frame has"
                )
            data = self._exactly(captured, "a frame")
            yield Frame(link_type, seconds * _NANOSECONDS + fraction * scale, data, length)

    def _pcapng(self) -> Iterator[Frame]:
        order = ""
        interfaces: list[_Interface] = []
        before = 0
        kind_bytes = self._magic
        while kind_bytes:
            if len(kind_bytes) < 4:
                raise _DamagedError(f"the file ends in the middle of a block header at byte {self._offset:,}")
            if kind_bytes == _PCAPNG_MAGIC:
                length_bytes = self._exactly(4, "a section header")
                order_bytes = self._exactly(4, "a section header")
                if order_bytes not in (b"\x4d\x3c\x2b\x1a", b"\x1a\x2b\x3c\x4d"):
                    raise _DamagedError(f"the section header before byte {self._offset:,} names no byte order")
                order = "<" if order_bytes[0] == 0x4D else ">"
                words = _WORDS[order]
                self._body(words.i.unpack(length_bytes)[0], 12)
                interfaces = []
                kind_bytes = self._read(4)
                continue
            words = _WORDS[order]
            kind = words.i.unpack(kind_bytes)[0]
            body = self._body(words.i.unpack(self._exactly(4, "a block header"))[0], 8)
            if kind == _INTERFACE:
                interfaces.append(_read_interface(words, body))
            elif kind in (_PACKET, _OLD_PACKET, _SIMPLE_PACKET):
                frame = _read_packet(kind, words, body, interfaces, before)
                if frame is None:
                    self.problem = f"a damaged packet block before byte {self._offset:,} was left out"
                else:
                    before = frame.time
                    yield frame
            kind_bytes = self._read(4)

    def _body(self, total: int, read: int) -> bytes:
        """Rest of a block of ``total`` bytes of which ``read`` are read, without the repeated length at its end; empty
        for one beyond `MAX_FRAME`, which is passed over."""
        if total < read + 4 or total % 4:
            raise _DamagedError(f"the block before byte {self._offset:,} has an impossible length of {total:,}")
        left = total - read
        while left > MAX_FRAME:
            self._exactly(_CHUNK, "a block")
            left -= _CHUNK
        body = self._exactly(left, "a block")
        return body[:-4] if total <= MAX_FRAME else b""


class _DamagedError(Exception):
    """Reading cannot go on; the message ends up in ``problem``."""


class _Rejoined(io.RawIOBase):
    """A stream with bytes already read put back in front, for a stream that cannot seek."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head = head
        self._stream = stream

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        head, self._head = self._head[: size if size >= 0 else None], self._head[size:] if size >= 0 else b""
        return head or self._stream.read(size)


class _Words:
    """Fixed-width readers of one byte order."""

    def __init__(self, order: str) -> None:
        self.h = Struct(order + "H")
        self.hh = Struct(order + "HH")
        self.i = Struct(order + "I")
        self.packet = Struct(order + "IIIII")
        self.old_packet = Struct(order + "HHIIII")
        self.interface = Struct(order + "HHI")
        self.q = Struct(order + "q")


_WORDS = {"<": _Words("<"), ">": _Words(">")}


class _Interface(msgspec.Struct, frozen=True):
    link_type: int
    snap_length: int
    """0 is unlimited."""
    units: int
    """Time stamp units a second."""
    offset: int
    """Seconds to add."""


def _read_interface(words: _Words, body: bytes) -> _Interface:
    if len(body) < 8:
        return _Interface(-1, 0, 1_000_000, 0)
    link_type, _, snap_length = words.interface.unpack_from(body)
    units, offset = 1_000_000, 0
    position = 8
    while position + 4 <= len(body):
        code, length = words.hh.unpack_from(body, position)
        value = body[position + 4 : position + 4 + length]
        if code == 0:
            break
        if code == _OPTION_RESOLUTION and value:
            # Beyond 2^-63 and 10^-18 a 64-bit stamp could not even hold a second.
            units = 1 << min(value[0] & 0x7F, 63) if value[0] & 0x80 else 10 ** min(value[0], 18)
        elif code == _OPTION_OFFSET and len(value) == 8:
            offset = words.q.unpack(value)[0]
        position += 4 + (length + 3 & ~3)
    return _Interface(link_type, snap_length, units, offset)


def _read_packet(kind: int, words: _Words, body: bytes, interfaces: list[_Interface], before: int) -> Frame | None:
    """Frame of a packet block; None for one that contradicts itself or names no known interface."""
    if kind == _SIMPLE_PACKET:
        if len(body) < 4 or not interfaces:
            return None
        (length,) = words.i.unpack_from(body)
        captured = min(length, interfaces[0].snap_length or length, len(body) - 4)
        return Frame(interfaces[0].link_type, before, body[4 : 4 + captured], length)
    if len(body) < 20:
        return None
    if kind == _PACKET:
        index, high, low, captured, length = words.packet.unpack_from(body)
    else:
        index, _, high, low, captured, length = words.old_packet.unpack_from(body)
    if index >= len(interfaces) or captured > len(body) - 20:
        return None
    interface = interfaces[index]
    stamp = (high << 32 | low) * _NANOSECONDS // interface.units + interface.offset * _NANOSECONDS
    return Frame(interface.link_type, stamp, body[20 : 20 + captured], length)


def _not_a_capture(magic: bytes) -> str:
    if not magic:
        return "the file is empty"
    if magic == b"\x28\xb5\x2f\xfd":
        return "the file is packed with zstd; unpack it first (zstd -d)"
    return "the file is neither pcap nor pcapng"

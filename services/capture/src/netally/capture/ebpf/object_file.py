"""A compiled object in, its maps and programs out: 64-bit little-endian ELF for BPF (elf(5), linux/bpf.h). Sans-I/O."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_RELOCATION: Final = struct.Struct("<QQ")
_MAP: Final = struct.Struct("<IIIII")
_MACHINE_BPF: Final = 247
_SYMBOLS, _RELOCATIONS = 2, 9
_MAP_RELOCATION: Final = 1
_LOAD_WIDE: Final = 0x18
_PSEUDO_MAP: Final = 1


class ObjectError(Exception):
    """The object cannot be read; it was not made by `make bpf`."""


class MapDefinition(NamedTuple):
    kind: int
    key_bytes: int
    value_bytes: int
    entries: int
    flags: int


class Program(NamedTuple):
    name: str
    section: str
    """What it is for, such as ``cgroup_skb/egress``."""
    instructions: bytes
    """8 bytes each, places of maps still empty."""
    maps: dict[int, str]
    """Index of an instruction that loads a map's address, and the map's name."""

    def linked(self, descriptors: dict[str, int]) -> bytes:
        """Instructions with the maps' descriptors in their places."""
        code = bytearray(self.instructions)
        for index, name in self.maps.items():
            code[index * 8 + 1] = code[index * 8 + 1] & 0x0F | _PSEUDO_MAP << 4
            struct.pack_into("<i", code, index * 8 + 4, descriptors[name])
        return bytes(code)


class ObjectFile(NamedTuple):
    maps: dict[str, MapDefinition]
    programs: list[Program]
    licence: str


def read_object(data: bytes) -> ObjectFile:
    """Raises `ObjectError`."""
    try:
        return _read(data)
    except (struct.error, IndexError, KeyError, UnicodeDecodeError) as error:
        raise ObjectError(f"not a whole object: {error}") from None


def _read(data: bytes) -> ObjectFile:
    if data[:6] != b"\x7fELF\x02\x01" or struct.unpack_from("<H", data, 18)[0] != _MACHINE_BPF:
        raise ObjectError("not a 64-bit little-endian object for BPF")
    (headers_at,) = struct.unpack_from("<Q", data, 40)
    count, names_index = struct.unpack_from("<HH", data, 60)
    headers = [_SECTION.unpack_from(data, headers_at + number * _SECTION.size) for number in range(count)]

    def content(number: int) -> bytes:
        begin, size = headers[number][4], headers[number][5]
        return data[begin : begin + size]

    names = [_text(content(names_index), header[0]) for header in headers]
    symbols_at = next(number for number, header in enumerate(headers) if header[1] == _SYMBOLS)
    texts = content(headers[symbols_at][6])
    symbols = [
        (_text(texts, name), kind & 15, section, value, size)
        for name, kind, _, section, value, size in _SYMBOL.iter_unpack(content(symbols_at))
    ]
    maps_at = names.index("maps")
    maps = {
        name: MapDefinition(*_MAP.unpack_from(content(maps_at), value))
        for name, _, section, value, _ in symbols
        if section == maps_at and name
    }
    relocations: dict[int, dict[int, str]] = {}
    for number, header in enumerate(headers):
        if header[1] != _RELOCATIONS:
            continue
        for offset, info in _RELOCATION.iter_unpack(content(number)):
            name, _, section, _, _ = symbols[info >> 32]
            if info & 0xFFFFFFFF != _MAP_RELOCATION or section != maps_at:
                raise ObjectError(f"{names[header[7]]} refers to {name}, which is no map")
            relocations.setdefault(header[7], {})[offset // 8] = name
    programs = []
    for name, kind, section, value, size in symbols:
        if kind != 2 or not size:
            continue
        begin = value // 8
        programs.append(
            Program(
                name,
                names[section],
                content(section)[value : value + size],
                {
                    index - begin: used
                    for index, used in relocations.get(section, {}).items()
                    if begin <= index < begin + size // 8
                },
            )
        )
    return ObjectFile(maps, programs, content(names.index("license")).rstrip(b"\0").decode("ascii"))


def _text(texts: bytes, offset: int) -> str:
    return texts[offset : texts.index(b"\0", offset)].decode("ascii")

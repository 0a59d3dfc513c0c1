"""bpf(2) as functions: maps, programs and links as file descriptors, which the kernel frees with the process however it
ends (linux/bpf.h, union bpf_attr). Raises OSError as the kernel does.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

_NUMBERS: Final = {"x86_64": 321, "aarch64": 280, "riscv64": 280}
(
    _MAP_CREATE, _MAP_LOOKUP, _MAP_UPDATE, _MAP_DELETE, _PROG_LOAD, _BTF_LOAD, _MAP_LOOKUP_BATCH, _MAP_DELETE_BATCH,
    _LINK_CREATE, _PROG_BY_NUMBER, _OBJECT_INFO,
) = (0, 1, 2, 3, 5, 18, 24, 27, 28, 13, 15)  # fmt: skip
# Numbers that all machines share.
_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432
_CLOEXEC: Final = 1
_CMD_CREATE: Final = 6
_LOG_BYTES: Final = 64 * 1024
_NAME_BYTES: Final = 15

BATCH: Final = 4_096
"""Entries of a map read at once."""


class VerifierError(OSError):
    """The kernel refuses a program; the message ends with the last lines of its reasons."""


def _bpf(command: int, attributes: ctypes.Array[ctypes.c_char]) -> int:
    number = _NUMBERS.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, f"bpf(2) is not known on {platform.machine()}")
    return _checked(_libc.syscall(number, command, attributes, len(attributes)))


_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _call(command: int, attributes: bytes) -> int:
    return _bpf(command, ctypes.create_string_buffer(attributes, len(attributes)))


def mount_cgroups() -> int:
    """Descriptor of the root of all control groups (v2) without mounting it anywhere, for machines and namespaces that
    have it nowhere (fsopen(2), Linux 5.2). Needs CAP_SYS_ADMIN.
    """
    context = _checked(_libc.syscall(_FSOPEN, b"cgroup2", _CLOEXEC))
    try:
        _checked(_libc.syscall(_FSCONFIG, context, _CMD_CREATE, None, None, 0))
        return _checked(_libc.syscall(_FSMOUNT, context, _CLOEXEC, 0))
    finally:
        os.close(context)


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(result)


def create_map(
    name: str,
    kind: int,
    key_bytes: int,
    value_bytes: int,
    entries: int,
    flags: int,
    btf: tuple[int, int, int] = (0, 0, 0),
) -> int:
    """Descriptor of a new map. ``btf`` is the descriptor of the type information and the ids of key and value in it."""
    return _call(
        _MAP_CREATE,
        struct.pack(
            "=IIIIIII16sIIIIII",
            *(kind, key_bytes, value_bytes, entries, flags, 0, 0, name[:_NAME_BYTES].encode(), 0, *btf, 0, 0),
        ),
    )


def load_types(blob: bytes) -> int:
    """Descriptor of type information (BTF)."""
    data = ctypes.create_string_buffer(blob, len(blob))
    return _call(_BTF_LOAD, struct.pack("=QQIIII", ctypes.addressof(data), 0, len(blob), 0, 0, 0))


def load_program(name: str, kind: int, attach: int, instructions: bytes, licence: str) -> int:
    """Descriptor of a loaded program. Raises `VerifierError`."""
    code = ctypes.create_string_buffer(instructions, len(instructions))
    terms = ctypes.create_string_buffer(licence.encode())

    def attributes(log: ctypes.Array[ctypes.c_char] | None) -> bytes:
        where = (1, len(log), ctypes.addressof(log)) if log is not None else (0, 0, 0)
        return struct.pack(
            "=IIQQIIQII16sII",
            *(kind, len(instructions) // 8, ctypes.addressof(code), ctypes.addressof(terms), *where, 0, 0),
            *(name[:_NAME_BYTES].encode(), 0, attach),
        )

    try:
        return _call(_PROG_LOAD, attributes(None))
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EINVAL):
            raise
        log = ctypes.create_string_buffer(_LOG_BYTES)
        try:
            return _call(_PROG_LOAD, attributes(log))
        except OSError:
            lines = log.value.decode("utf-8", "replace").strip().splitlines()
            reason = "; ".join(line.strip() for line in lines[-4:]) or os.strerror(error.errno)
            raise VerifierError(error.errno, f"the kernel refuses the program {name}: {reason}") from None


def attach_to_cgroup(program: int, cgroup: int, attach: int) -> int:
    """Descriptor of a link: the program runs beside those of others until it is closed, by SIGKILL too (Linux 5.7)."""
    return _call(_LINK_CREATE, struct.pack("=IIII", program, cgroup, attach, 0))


def program_number(descriptor: int) -> int:
    """Number that the kernel gives a loaded program (struct bpf_prog_info)."""
    info = ctypes.create_string_buffer(8)
    _call(_OBJECT_INFO, struct.pack("=IIQ", descriptor, len(info), ctypes.addressof(info)))
    return int(struct.unpack("=II", info.raw)[1])


def program_exists(number: int) -> bool:
    """Whether a program of this number is loaded by anybody."""
    try:
        os.close(_call(_PROG_BY_NUMBER, struct.pack("=III", number, 0, 0)))
    except FileNotFoundError:
        return False
    return True


def update(map_descriptor: int, key: bytes, value: bytes) -> None:
    keys, values = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(value, len(value))
    _call(_MAP_UPDATE, struct.pack("=IIQQQ", map_descriptor, 0, ctypes.addressof(keys), ctypes.addressof(values), 0))


def delete(map_descriptor: int, key: bytes) -> None:
    """KeyError when it is not there."""
    keys = ctypes.create_string_buffer(key, len(key))
    try:
        _call(_MAP_DELETE, struct.pack("=IIQQQ", map_descriptor, 0, ctypes.addressof(keys), 0, 0))
    except FileNotFoundError:
        raise KeyError(key) from None


class BatchReader:
    """Reads a hash map whole, in pieces; buffers are kept between readings. What is returned is a copy."""

    def __init__(self, map_descriptor: int, key: np.dtype[np.void], value: np.dtype[np.void]) -> None:
        self._map = map_descriptor
        self._keys = np.zeros(BATCH, key)
        self._values = np.zeros(BATCH, value)

    def read(self) -> tuple[NDArray[np.void], NDArray[np.void]]:
        """(keys, values) of all entries. One that comes or goes meanwhile may or may not be among them."""
        keys, values = [], []
        token, following = ctypes.create_string_buffer(8), ctypes.create_string_buffer(8)
        started, ended = False, False
        while not ended:
            attributes = ctypes.create_string_buffer(
                struct.pack(
                    "=QQQQIIQQ",
                    *(ctypes.addressof(token) if started else 0, ctypes.addressof(following)),
                    *(self._keys.ctypes.data, self._values.ctypes.data, len(self._keys), self._map, 0, 0),
                ),
                56,
            )
            try:
                _bpf(_MAP_LOOKUP_BATCH, attributes)
            except FileNotFoundError:
                ended = True
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                # One bucket has more entries than fit.
                self._keys = np.zeros(2 * len(self._keys), self._keys.dtype)
                self._values = np.zeros(2 * len(self._values), self._values.dtype)
                continue
            (count,) = struct.unpack_from("=I", attributes, 32)
            keys.append(self._keys[:count].copy())
            values.append(self._values[:count].copy())
            token, following, started = following, token, True
        return np.concatenate(keys), np.concatenate(values)

    def delete(self, keys: NDArray[np.void]) -> None:
        """Entries that are gone already are passed over."""
        left = np.ascontiguousarray(keys)
        while len(left):
            attributes = ctypes.create_string_buffer(
                struct.pack("=QQQQIIQQ", 0, 0, left.ctypes.data, 0, len(left), self._map, 0, 0), 56
            )
            try:
                _bpf(_MAP_DELETE_BATCH, attributes)
            except FileNotFoundError:
                (done,) = struct.unpack_from("=I", attributes, 32)
                left = np.ascontiguousarray(left[done + 1 :])
            else:
                return

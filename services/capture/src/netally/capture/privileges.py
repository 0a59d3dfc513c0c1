"""What the agent gives up once everything is open: capabilities and new privileges (capabilities(7), prctl(2)). What it
reads from strangers is parsed after that only.

It holds for the calling thread and what comes from it: call it before there are others. Landlock is no part of it: it
would keep the agent from reading in /proc which process holds a socket, as it keeps from tracing.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import structlog

from netally.contracts.codes import Mode

DAC_OVERRIDE: Final = 1
DAC_READ_SEARCH: Final = 2
NET_ADMIN: Final = 12
NET_RAW: Final = 13
SYS_PTRACE: Final = 19
SYS_ADMIN: Final = 21
BPF: Final = 39

NEEDED: Final = {
    # To read other users' processes, and to open packet sockets on interfaces that come.
    Mode.EBPF: frozenset((DAC_READ_SEARCH, NET_ADMIN, NET_RAW, SYS_PTRACE, BPF)),
    # Containers' sockets are asked for in their namespaces, which only SYS_ADMIN may enter.
    Mode.PACKETS: frozenset((DAC_READ_SEARCH, NET_ADMIN, NET_RAW, SYS_PTRACE, SYS_ADMIN)),
    Mode.UNPRIVILEGED: frozenset(),
}

_PR_CAPBSET_DROP: Final = 24
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT: Final = 47
_AMBIENT_CLEAR_ALL: Final = 4
_CAPABILITIES_3: Final = 0x20080522
_LAST_CAPABILITY: Final = 63

log = structlog.get_logger()
_libc: Final = ctypes.CDLL(None, use_errno=True)


def give_up(mode: Mode, own_directory: Path) -> None:
    """Keep what the mode needs. What this system cannot give up is told in the log, and the agent goes on.
    macOS has no such privileges.
    """
    if not hasattr(_libc, "prctl"):
        return
    needed = set(NEEDED.get(mode, frozenset()))
    if own_directory.stat().st_uid != os.geteuid():
        needed.add(DAC_OVERRIDE)
    _do("new privileges stay possible", _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    keep(needed)


def keep(capabilities: Iterable[int]) -> None:
    """Drop all other capabilities, for good."""
    wanted = sum(1 << number for number in capabilities)
    permitted = wanted & held()
    for number in range(_LAST_CAPABILITY + 1):
        if not wanted >> number & 1:
            # Fails without SETPCAP, and for numbers that this kernel does not know.
            _libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
    _libc.prctl(_PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL, 0, 0, 0)
    low, high = permitted & 0xFFFFFFFF, permitted >> 32
    header = struct.pack("=Ii", _CAPABILITIES_3, 0)
    # struct __user_cap_data_struct twice: effective, permitted, inheritable.
    _do("capabilities stay", _libc.capset(header, struct.pack("=6I", low, low, 0, high, high, 0)))


def held() -> int:
    """Permitted capabilities of this thread, a bit each."""
    header, data = struct.pack("=Ii", _CAPABILITIES_3, 0), ctypes.create_string_buffer(24)
    if _libc.capget(header, data):
        return 0
    _, low, _, _, high, _ = struct.unpack("=6I", data.raw)
    return int(low | high << 32)


def _do(otherwise: str, result: int) -> None:
    if result < 0:
        log.warning(otherwise, reason=os.strerror(ctypes.get_errno()))

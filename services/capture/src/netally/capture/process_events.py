"""Processes that start and end, as the kernel tells them (process connector, linux/cn_proc.h): with it the newest ones
are known without listing /proc.

Needs CAP_NET_ADMIN and the machine's first network and process namespace.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from netally.capture import cbpf
from netally.capture.cbpf import Instruction
from netally.capture.network_namespace import inside

_CONNECTOR: Final = 11
_CN_IDX_PROC, _CN_VAL_PROC = 1, 1
_NLMSG_DONE: Final = 3
_LISTEN: Final = 1
# struct nlmsghdr (16), struct cn_msg (20), then struct proc_event: what, cpu, timestamp (8), and the event's own data.
_HEADER: Final = struct.Struct("=IHHII")
_MESSAGE: Final = struct.Struct("=IIIIHH")
_WHAT_AT: Final = 36
_DATA_AT: Final = 52
_WHAT: Final = struct.Struct("=I")
_DATA: Final = struct.Struct("=IIII")
_FORK: Final = 1
_EXEC: Final = 2
_EXIT: Final = 0x80000000
BURST: Final = 4_096
_BUFFER: Final = 4 * 1024 * 1024
_SO_RCVBUFFORCE: Final = 33
_FIRST_PID_NAMESPACE: Final = 0xEFFFFFFC
"""PROC_PID_INIT_INO (linux/proc_ns.h)."""


class ProcessEvent(NamedTuple):
    pid: int
    started: bool
    """False: it ended."""


class ProcessEvents:
    """A non-blocking socket that hears of every process. Raises OSError where the kernel does not tell."""

    def __init__(self) -> None:
        # In another namespace the kernel takes the request and says nothing.
        if Path("/proc/self/ns/pid").stat().st_ino != _FIRST_PID_NAMESPACE:
            raise PermissionError(errno.EPERM, "processes of this process namespace are not told")
        try:
            self._socket = _listen()
        except OSError:
            # The connector is in the first network namespace only, which a process may be allowed to enter. Some
            # machines keep everybody away from process 1; whoever started this one may be there too.
            try:
                self._socket = inside("/proc/1/ns/net", _listen)
            except OSError:
                self._socket = inside(f"/proc/{os.getppid()}/ns/net", _listen)
        self.lost = 0
        """Times that events came faster than they were read."""

    def read(self) -> Iterator[ProcessEvent]:
        """What happened since the last call, oldest first, a bounded number at a time."""
        for _ in range(BURST):
            try:
                data = self._socket.recv(4096)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                # ENOBUFS: some are missing; those that come next are whole again.
                self.lost += 1
                continue
            event = parse_event(data)
            if event is not None:
                yield event

    def close(self) -> None:
        self._socket.close()


def parse_event(message: bytes) -> ProcessEvent | None:
    """Event of one netlink message; None for threads and whatever else happens to a process."""
    if len(message) < _DATA_AT + _DATA.size:
        return None
    (what,) = _WHAT.unpack_from(message, _WHAT_AT)
    first, second, third, fourth = _DATA.unpack_from(message, _DATA_AT)
    # A fork names parent and child, each by thread and process id; a new thread has a process id that is not its own.
    if what == _FORK and third == fourth:
        return ProcessEvent(fourth, started=True)
    if what == _EXEC:
        return ProcessEvent(second, started=True)
    if what == _EXIT and first == second:
        return ProcessEvent(second, started=False)
    return None


def _listen() -> socket.socket:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, _CONNECTOR)
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        cbpf.attach(sock, _only_processes())
        sock.bind((0, _CN_IDX_PROC))
        body = _MESSAGE.pack(_CN_IDX_PROC, _CN_VAL_PROC, 0, 0, _WHAT.size, 0) + _WHAT.pack(_LISTEN)
        sock.send(_HEADER.pack(_HEADER.size + len(body), _NLMSG_DONE, 0, 0, os.getpid()) + body)
    except BaseException:
        sock.close()
        raise
    return sock


def _only_processes() -> bytes:
    """Filter that passes fork, exec and exit: other events wake nobody. BPF loads words in network order."""
    i = Instruction
    return cbpf.assemble(
        [
            i(cbpf.LD_WORD, _WHAT_AT),
            *(i(cbpf.JUMP_EQUAL, socket.htonl(what), "pass") for what in (_FORK, _EXEC, _EXIT)),
            i(cbpf.RETURN, 0),
            i(cbpf.RETURN, cbpf.FULL, label="pass"),
        ]
    )

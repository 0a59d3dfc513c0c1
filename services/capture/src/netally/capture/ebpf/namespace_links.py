"""Whether another network namespace's packets pass this one, and through which interface they leave: asked of the
kernel (rtnetlink(7)), without entering anything.
"""

# pathlib costs ten times as much as the calls it wraps, and this is asked once a process.
# ruff: noqa: PTH116, PTH208
from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Collection
from typing import Final

from netally.capture.netlink import ROUTE, NetlinkSocket, attributes
from netally.capture.network_namespace import MAX_NAMESPACES, inside

_GET_ROUTE: Final = 26
_GET_NSID: Final = 90
_ATTRIBUTE: Final = struct.Struct("=HH")
_ROUTE: Final = struct.Struct("=BBBBBBBBI")
_RTA_DST, _RTA_OIF = 1, 4
_NETNSA_NSID, _NETNSA_PID = 1, 2
_UNICAST: Final = 1
_SO_NETNS_COOKIE: Final = 71
_REMEMBERED: Final = 10_000


def namespace_cookie() -> int:
    """Number of this thread's namespace, unique since the machine started. OSError before Linux 5.14."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        return int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8), "little")


class NamespaceLinks:
    """Answers are remembered, those that may change until `forget`."""

    def __init__(self) -> None:
        self._netlink = NetlinkSocket(ROUTE)
        self._routes: dict[bytes, int] = {}
        self._numbers: dict[int, int] = {}

    def forget(self) -> None:
        """Interfaces or addresses have changed."""
        self._routes.clear()
        # One that had no number may have got one.
        self._numbers = {namespace: number for namespace, number in self._numbers.items() if number >= 0}

    def linked(self, namespace: int, pid: int, peers: Collection[int]) -> bool:
        """Whether the namespace with this cookie, which a process lives in, is at the other end of one of this one's
        interfaces. ``peers`` are the numbers that those interfaces give their other ends.
        """
        self.meet(namespace, pid)
        return self._numbers.get(namespace, -1) in peers

    def meet(self, namespace: int, pid: int) -> None:
        """A process lives in this namespace now: its number can be asked for only through one that does."""
        if namespace not in self._numbers:
            number = self._number(pid)
            if number is not None:
                self._numbers[namespace] = number
                # Cookies are never given again; of the oldest, those that live are met again.
                if len(self._numbers) > _REMEMBERED:
                    del self._numbers[next(iter(self._numbers))]

    def meet_all(self, proc: str = "/proc") -> None:
        """The namespaces that processes live in now, as far as they may be entered (CAP_SYS_ADMIN)."""
        seen = {os.stat(f"{proc}/self/ns/net").st_ino}
        for name in os.listdir(proc):
            path = f"{proc}/{name}/ns/net"
            if not name.isdigit() or len(seen) > MAX_NAMESPACES:
                continue
            with contextlib.suppress(OSError):
                inode = os.stat(path).st_ino
                if inode not in seen:
                    seen.add(inode)
                    self.meet(inside(path, namespace_cookie), int(name))

    def _number(self, pid: int) -> int | None:
        """The number this namespace has for that of a process, -1 when it has none; None when the process is gone."""
        body = bytes(4) + _ATTRIBUTE.pack(8, _NETNSA_PID) + struct.pack("=I", pid)
        try:
            payload = self._netlink.get(_GET_NSID, body)
        except OSError:
            return None
        values = dict(attributes(payload[4:])) if payload is not None else {}
        return int(struct.unpack("=i", values[_NETNSA_NSID])[0]) if _NETNSA_NSID in values else None

    def leaves_by(self, remote: bytes) -> int:
        """Index of the interface that packets to this address leave by; 0 when they stay on this machine."""
        known = self._routes.get(remote)
        if known is None:
            if len(self._routes) >= _REMEMBERED:
                self._routes.clear()
            known = self._routes[remote] = self._ask(remote)
        return known

    def _ask(self, remote: bytes) -> int:
        family = socket.AF_INET if len(remote) == 4 else socket.AF_INET6
        body = _ROUTE.pack(family, len(remote) * 8, 0, 0, 0, 0, 0, 0, 0)
        body += _ATTRIBUTE.pack(4 + len(remote), _RTA_DST) + remote
        try:
            payload = self._netlink.get(_GET_ROUTE, body)
        except OSError:
            return 0
        if payload is None or _ROUTE.unpack_from(payload)[7] != _UNICAST:
            return 0
        values = dict(attributes(payload[_ROUTE.size :]))
        return int.from_bytes(values[_RTA_OIF][:4], "little") if _RTA_OIF in values else 0

    def close(self) -> None:
        self._netlink.close()

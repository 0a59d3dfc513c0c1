"""Other network namespaces of this machine (network_namespaces(7)): those that processes run in, and sockets opened
inside them. A container's connections are in its own namespace's tables, not in this one's.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Collection
from typing import Final, NamedTuple, TypeVar

from netally.capture.interfaces import read_interfaces
from netally.capture.netlink import ROUTE, NetlinkSocket
from netally.capture.sock_diag import SocketDiag

MAX_NAMESPACES: Final = 64
"""Namespaces asked; on machines with more the rest stays unknown."""
REFRESH_SECONDS: Final = 5.0
_CLONE_NEWNET: Final = 0x40000000

T = TypeVar("T")


def inside(path: str, act: Callable[[], T]) -> T:
    """What ``act`` returns in the network namespace of ``path``. Raises OSError when it cannot be entered.

    In a thread of its own, which ends there: nothing else can be left in a foreign namespace by an error.
    """
    results: list[T] = []
    errors: list[OSError] = []

    def run() -> None:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
                    number = ctypes.get_errno()
                    raise OSError(number, os.strerror(number))
            finally:
                os.close(descriptor)
            results.append(act())
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="namespace")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


class _Opened(NamedTuple):
    diag: SocketDiag
    route: NetlinkSocket


class NetworkNamespaces:
    """Socket questions to every other namespace. Needs CAP_SYS_ADMIN; without it there are none. ``every`` is in
    seconds, how often it is looked for namespaces that come and go.
    """

    def __init__(self, proc: str = "/proc", *, every: float = REFRESH_SECONDS) -> None:
        self._proc = proc
        self._every = every
        self._own = self._number("self")
        self._open: dict[int, _Opened] = {}
        self._by_address: dict[bytes, list[SocketDiag]] = {}
        self._refused: set[int] = set()
        self._refreshed = float("-inf")

    def refresh(self, now: float, own_addresses: Collection[bytes]) -> None:
        """Follow namespaces that come and go, as often as wanted by ``now`` (any clock, seconds). A socket kept open
        keeps its namespace alive, so that of a namespace without processes is closed.
        """
        if 0 <= now - self._refreshed < self._every:
            return
        self._refreshed = now
        found = self._running()
        for number in [number for number in self._open if number not in found]:
            self._close(number)
        self._refused &= set(found)
        for number, path in found.items():
            if number in self._open or number in self._refused or len(self._open) >= MAX_NAMESPACES:
                continue
            try:
                self._open[number] = inside(path, lambda: _Opened(SocketDiag(), NetlinkSocket(ROUTE)))
            except OSError:
                self._refused.add(number)
        self._by_address = {}
        for opened in self._open.values():
            try:
                interfaces = read_interfaces(opened.route)
            except OSError:
                continue
            for address in {address for each in interfaces if not each.loopback for address in each.addresses}:
                if address not in own_addresses:
                    self._by_address.setdefault(address, []).append(opened.diag)

    def holding(self, address: bytes) -> list[SocketDiag]:
        """Namespaces with this address; none for an address of this one."""
        return self._by_address.get(address, [])

    @property
    def addresses(self) -> Collection[bytes]:
        """Of other namespaces only."""
        return self._by_address.keys()

    def every(self) -> list[SocketDiag]:
        return [opened.diag for opened in self._open.values()]

    def close(self) -> None:
        for number in list(self._open):
            self._close(number)
        self._by_address = {}

    def _close(self, number: int) -> None:
        opened = self._open.pop(number)
        opened.diag.close()
        opened.route.close()

    def _running(self) -> dict[int, str]:
        """Inode and path of every namespace but this one that a process runs in."""
        found: dict[int, str] = {}
        # Once a process, every few seconds: pathlib costs ten times as much as the calls it wraps.
        for name in os.listdir(self._proc):  # noqa: PTH208
            if name.isdigit():
                number = self._number(name)
                if number and number != self._own:
                    found.setdefault(number, f"{self._proc}/{name}/ns/net")
        return found

    def _number(self, process: str) -> int:
        try:
            return os.stat(f"{self._proc}/{process}/ns/net").st_ino  # noqa: PTH116
        except OSError:
            return 0

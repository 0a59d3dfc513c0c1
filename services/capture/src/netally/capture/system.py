"""What differs between operating systems: who lists interfaces, sockets and processes, and how packets are read."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Final, NamedTuple

import structlog

from netally.capture.attribution import Processes, Sockets
from netally.capture.interfaces import Interface, read_interfaces
from netally.capture.netlink import ROUTE, NetlinkSocket
from netally.capture.network_namespace import REFRESH_SECONDS, NetworkNamespaces
from netally.capture.process_events import ProcessEvents
from netally.capture.process_table import ProcessTable
from netally.capture.sock_diag import SocketDiag
from netally.capture.sources import OpenSource, PacketSource

_SELDOM: Final = 60.0

log = structlog.get_logger()


class System(NamedTuple):
    read_interfaces: Callable[[], list[Interface]]
    """OSError when they cannot be listed."""
    sockets: Sockets | None
    processes: Processes
    namespaces: NetworkNamespaces | None
    open_source: OpenSource
    close: Callable[[], None]


def is_macos() -> bool:
    return platform.system() == "Darwin"


def list_interfaces() -> list[Interface]:
    """Interfaces as they are now. OSError when they cannot be listed."""
    if is_macos():
        from netally.capture.macos.interfaces import read_interfaces as listed

        return listed()
    netlink = NetlinkSocket(ROUTE)
    try:
        return read_interfaces(netlink)
    finally:
        netlink.close()


def open_system(*, kernel_tells: bool = False) -> System:
    """Of this machine. ``kernel_tells`` of processes and containers (mode ebpf): only older sockets are looked up.
    Raises OSError where the kernel answers nothing at all.
    """
    return _macos() if is_macos() else _linux(kernel_tells)


def _macos() -> System:
    from netally.capture.macos.frames import open_frames
    from netally.capture.macos.sockets import ListedProcesses, ListedSockets

    return System(list_interfaces, ListedSockets(), ListedProcesses(), None, open_frames, lambda: None)


def _linux(kernel_tells: bool) -> System:
    netlink = NetlinkSocket(ROUTE)
    sockets = _open_sockets()
    events = None if kernel_tells else _hear_processes()
    namespaces = NetworkNamespaces(every=_SELDOM if kernel_tells else REFRESH_SECONDS)

    def close() -> None:
        netlink.close()
        namespaces.close()
        if events is not None:
            events.close()
        if sockets is not None:
            sockets.close()

    processes = ProcessTable(events=events)
    return System(lambda: read_interfaces(netlink), sockets, processes, namespaces, PacketSource, close)


def _open_sockets() -> SocketDiag | None:
    try:
        return SocketDiag()
    except OSError as error:
        log.warning("processes stay unknown: sockets cannot be listed", error=error.strerror)
        return None


def _hear_processes() -> ProcessEvents | None:
    try:
        return ProcessEvents()
    except OSError as error:
        # Nothing is missing without it: processes are listed instead.
        log.info("the kernel does not tell of new processes", error=error.strerror)
        return None

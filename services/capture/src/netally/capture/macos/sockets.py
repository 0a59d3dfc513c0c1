"""Sockets and their processes as psutil lists them. A socket's inode is its process here: macOS numbers no sockets.

There is no question for a single socket that would not list all of them, so connections get their process at the sweep
each second, and those that are gone by then have none.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

import psutil

from netally.capture.app_name import application_name, cut_name
from netally.capture.dissector import TCP
from netally.capture.sock_diag import TCP_LISTEN, Socket
from netally.contracts.flow import App

_OTHER_STATE = 0


class ListedSockets:
    """In the place of `SocketDiag`."""

    def sockets(self, protocol: int, *, counters: bool = False) -> Iterator[Socket]:
        """All sockets of TCP or UDP. ``counters`` has no effect: there are none."""
        try:
            listed = psutil.net_connections("tcp" if protocol == TCP else "udp")
        except psutil.Error as error:
            raise PermissionError(str(error)) from None
        for each in listed:
            if each.laddr:
                yield _socket(protocol, each)

    def lookup(self, protocol: int, local: bytes, local_port: int, remote: bytes, remote_port: int) -> Socket | None:
        """None: the sweep tells."""
        return None

    def close(self) -> None:
        """Nothing is open."""


def _socket(protocol: int, listed: Any) -> Socket:
    local = _packed(listed.laddr.ip)
    remote, remote_port = (_packed(listed.raddr.ip), listed.raddr.port) if listed.raddr else (bytes(len(local)), 0)
    state = TCP_LISTEN if listed.status == psutil.CONN_LISTEN else _OTHER_STATE
    return Socket(protocol, local, listed.laddr.port, remote, remote_port, state, 0, listed.pid or 0, 0, None)


def _packed(text: str) -> bytes:
    """As on the wire: IPv4-mapped IPv6 comes out as IPv4."""
    if text == "*":
        return bytes(4)
    packed = ipaddress.ip_address(text.partition("%")[0]).packed
    return packed[12:] if packed.startswith(bytes(10) + b"\xff\xff") else packed


class ListedProcesses:
    """In the place of `ProcessTable`; by process id."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[float, App]] = {}
        self.misses = 0
        """Questions without an answer, for metrics."""

    def known(self, inode: int) -> App | None:
        """The program that runs as this process now."""
        return self.program(inode)

    def find(self, inode: int, uid: int, *, thorough: bool = True) -> App | None:
        """The same."""
        return self.program(inode)

    def program(self, pid: int) -> App | None:
        """What a process is, as long as it lives."""
        if not pid:
            return None
        try:
            process = psutil.Process(pid)
            began = process.create_time()
            known = self._known.get(pid)
            if known is None or known[0] != began:
                known = self._known[pid] = (began, _app(process))
        except (psutil.Error, OSError):
            self.misses += 1
            return None
        return known[1]

    def hear(self) -> None:
        """macOS tells nothing of its own accord."""

    def sweep(self) -> None:
        """Forget processes that are gone."""
        gone = set(self._known) - set(psutil.pids())
        for pid in gone:
            del self._known[pid]

    def look_into_owners(self) -> None:
        """Each listing is of now."""

    def forget(self) -> int:
        """Drop what is known; how many entries that were."""
        entries = len(self._known)
        self._known.clear()
        return entries


def _app(process: psutil.Process) -> App:
    about = process.as_dict(["name", "exe", "cmdline", "username"], ad_value="")
    executable = about["exe"] or ""
    return App(
        name=application_name(executable, about["cmdline"] or [], about["name"] or ""),
        executable=cut_name(executable),
        user=cut_name(about["username"] or ""),
    )

"""Sockets and processes as psutil lists them."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import NamedTuple

import psutil
import pytest

from netally.capture.dissector import TCP, UDP
from netally.capture.macos.sockets import ListedProcesses, ListedSockets
from netally.capture.sock_diag import TCP_LISTEN
from tests.builders import packed


class End(NamedTuple):
    ip: str
    port: int


class Listed(NamedTuple):
    """As psutil's own tuples are."""

    laddr: End | tuple[()]
    raddr: End | tuple[()]
    status: str
    pid: int | None


RECORDED = [
    Listed(End("::ffff:192.168.1.20", 52_000), End("::ffff:192.0.2.1", 443), "ESTABLISHED", 501),
    Listed(End("*", 22), (), "LISTEN", 1),
    Listed(End("fe80::1%lo0", 631), (), "LISTEN", None),
    Listed((), (), "CLOSED", 77),
]


def test_sockets_come_out_as_on_the_wire(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "net_connections", lambda kind: RECORDED if kind == "tcp" else [])
    connected, listens, unknown = ListedSockets().sockets(TCP)
    assert (connected.local, connected.local_port) == (packed("192.168.1.20"), 52_000)
    assert (connected.remote, connected.remote_port, connected.inode) == (packed("192.0.2.1"), 443, 501)
    assert (listens.state, listens.local, listens.remote_port) == (TCP_LISTEN, bytes(4), 0)
    assert (unknown.local, unknown.inode) == (packed("fe80::1"), 0)
    assert list(ListedSockets().sockets(UDP)) == []
    assert ListedSockets().lookup(TCP, b"", 1, b"", 2) is None


def test_who_may_not_list_sockets_gets_an_error_that_callers_know(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(kind: str) -> None:
        raise psutil.AccessDenied(1)

    monkeypatch.setattr(psutil, "net_connections", refuse)
    with pytest.raises(PermissionError):
        list(ListedSockets().sockets(TCP))


def test_a_process_is_known_by_its_id_while_it_lives() -> None:
    processes = ListedProcesses()
    me = processes.known(os.getpid())
    assert me is not None
    assert me.executable == os.path.realpath(sys.executable)
    assert processes.find(os.getpid(), 0) is me
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert processes.program(child.pid) is not None
        child.communicate(b"\n")
    processes.sweep()
    assert processes.known(child.pid) is None
    assert processes.known(0) is None
    assert processes.forget() == 1

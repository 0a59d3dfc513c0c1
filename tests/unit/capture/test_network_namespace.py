"""Other network namespaces: entered and left, followed as they come and go, known by their addresses."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from netally.capture.dissector import TCP
from netally.capture.network_namespace import REFRESH_SECONDS, NetworkNamespaces, inside
from tests.builders import packed
from tests.namespaces import Namespace, linked_namespaces
from tests.services import wait_until

pytestmark = pytest.mark.root

SERVER = "import socket, sys; s = socket.create_server((sys.argv[1], 7007)); print('ready', flush=True); s.accept()"


def serve(namespace: Namespace) -> None:
    process = namespace.start(sys.executable, "-S", "-E", "-c", SERVER, namespace.ipv4)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


def test_what_is_done_inside_stays_inside() -> None:
    here = Path("/proc/thread-self/ns/net").stat().st_ino
    with linked_namespaces() as (client, _):
        path = f"/run/netns/{client.name}"
        names = inside(path, lambda: {name for _, name in socket.if_nameindex()})
        assert names == {"lo", client.interface}
    assert Path("/proc/thread-self/ns/net").stat().st_ino == here


def test_a_namespace_that_is_not_there_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        inside("/run/netns/nothing", lambda: None)


def test_an_error_inside_comes_out() -> None:
    def fail() -> None:
        raise PermissionError(1, "no")

    with pytest.raises(PermissionError):
        inside("/proc/self/ns/net", fail)


def test_namespaces_are_followed_and_found_by_address() -> None:
    namespaces = NetworkNamespaces()
    try:
        with linked_namespaces() as (_, server):
            address = packed(server.ipv4)
            serve(server)
            namespaces.refresh(0.0, ())
            ports = {
                found.local_port for diag in namespaces.holding(address) for found in diag.sockets(TCP)
            }  # fmt: skip
            assert 7007 in ports
            assert len(namespaces.every()) >= 1
            # An address of this namespace never leads into another one.
            namespaces.refresh(REFRESH_SECONDS, {address})
            assert namespaces.holding(address) == []
            before = len(namespaces.every())
            server.close()
        now = 2 * REFRESH_SECONDS

        def closed() -> bool:
            nonlocal now
            now += REFRESH_SECONDS
            namespaces.refresh(now, {address})
            return len(namespaces.every()) < before

        wait_until(closed)
    finally:
        namespaces.close()
    assert namespaces.every() == []


def test_it_is_refreshed_at_intervals_only() -> None:
    namespaces = NetworkNamespaces()
    try:
        namespaces.refresh(0.0, ())
        with linked_namespaces() as (_, server):
            serve(server)
            before = namespaces.every()
            namespaces.refresh(REFRESH_SECONDS / 2, ())
            assert namespaces.every() == before
    finally:
        namespaces.close()

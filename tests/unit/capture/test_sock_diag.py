"""Sockets by inet_diag, on real sockets of this process."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netally.capture.dissector import TCP, UDP
from netally.capture.sock_diag import TCP_LISTEN, EndedSockets, Socket, SocketDiag, parse_socket
from tests.builders import packed
from tests.services import wait_until

LOOPBACK4, LOOPBACK6 = packed("127.0.0.1"), packed("::1")


@pytest.fixture
def diag() -> Iterator[SocketDiag]:
    diag = SocketDiag()
    yield diag
    diag.close()


def inode(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino


@pytest.fixture(params=[(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def connection(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket, bytes]]:
    """(client, accepted, address)."""
    family, address = request.param
    with socket.socket(family) as listener:
        listener.bind((address, 0))
        listener.listen()
        with socket.create_connection(listener.getsockname()[:2]) as client:
            accepted, _ = listener.accept()
            with accepted:
                yield client, accepted, packed(address)


def test_each_end_of_a_connection_is_found(
    diag: SocketDiag, connection: tuple[socket.socket, socket.socket, bytes]
) -> None:
    client, accepted, address = connection
    ours, theirs = client.getsockname()[1], client.getpeername()[1]
    found = diag.lookup(TCP, address, ours, address, theirs)
    assert found is not None
    assert (found.inode, found.uid, found.remote_port) == (inode(client), os.getuid(), theirs)
    other = diag.lookup(TCP, address, theirs, address, ours)
    assert other is not None
    assert other.inode == inode(accepted)
    assert {inode(client), inode(accepted)} <= {each.inode for each in diag.sockets(TCP)}


def test_counters_are_exact_payload(diag: SocketDiag, connection: tuple[socket.socket, socket.socket, bytes]) -> None:
    client, accepted, _ = connection
    client.sendall(b"x" * 1000)
    accepted.sendall(accepted.recv(2000)[:300])
    client.recv(2000)
    counters = next(each.counters for each in diag.sockets(TCP, counters=True) if each.inode == inode(client))
    assert counters is not None
    assert (counters.sent - counters.retransmitted, counters.received) == (1000, 300)
    assert counters.segments_out >= 3


def test_a_listener_answers_for_a_connection_that_is_not_there(diag: SocketDiag) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        found = diag.lookup(TCP, LOOPBACK4, listener.getsockname()[1], packed("192.0.2.1"), 12345)
        assert found is not None
        assert (found.state, found.inode) == (TCP_LISTEN, inode(listener))


def test_udp_gives_our_socket_not_the_peer_s(diag: SocketDiag) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as one, socket.socket(type=socket.SOCK_DGRAM) as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        one.connect(two.getsockname())
        two.connect(one.getsockname())
        found = diag.lookup(UDP, LOOPBACK4, one.getsockname()[1], LOOPBACK4, two.getsockname()[1])
        assert found is not None
        assert found.inode == inode(one)


def test_an_unconnected_udp_socket_is_found_by_its_port(diag: SocketDiag) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("0.0.0.0", 0))
        found = diag.lookup(UDP, LOOPBACK4, sock.getsockname()[1], packed("192.0.2.1"), 53)
        assert found is not None
        assert (found.inode, found.remote_port) == (inode(sock), 0)


def test_a_dual_stack_socket_shows_its_ipv4_addresses(diag: SocketDiag) -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = listener.accept()
            with accepted:
                dumped = next(each for each in diag.sockets(TCP) if each.inode == inode(accepted))
                assert (dumped.local, dumped.remote) == (LOOPBACK4, LOOPBACK4)
                found = diag.lookup(TCP, LOOPBACK4, port, LOOPBACK4, client.getsockname()[1])
                assert found is not None
                assert found.inode == inode(accepted)


def test_what_is_not_there_is_none(diag: SocketDiag) -> None:
    assert diag.lookup(TCP, LOOPBACK6, 1, LOOPBACK6, 2) is None


@given(st.binary(max_size=400))
def test_any_answer_is_read_without_error(data: bytes) -> None:
    parsed = parse_socket(memoryview(data), TCP)
    assert parsed is None or isinstance(parsed, Socket)


def test_a_connection_that_ends_tells_its_last_counters(
    connection: tuple[socket.socket, socket.socket, bytes], diag: SocketDiag
) -> None:
    client, accepted, address = connection
    ends = EndedSockets()
    try:
        port = client.getsockname()[1]
        cookie = next(found.cookie for found in diag.sockets(TCP) if (found.local_port, found.local) == (port, address))
        client.sendall(b"x" * 5_000)
        received = 0
        while received < 5_000:
            received += len(accepted.recv(65_536))
        client.close()
        accepted.close()
        heard: dict[int, Socket] = {}

        def told() -> bool:
            heard.update((found.cookie, found) for found in ends.read())
            return cookie in heard

        wait_until(told)
    finally:
        ends.close()
    last = heard[cookie]
    assert (last.local, last.local_port, last.remote, last.inode) == (address, port, address, 0)
    assert last.counters is not None
    assert last.counters.sent - last.counters.retransmitted == 5_000

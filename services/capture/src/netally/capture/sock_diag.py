"""Sockets of this network namespace by inet_diag (sock_diag(7), linux/inet_diag.h): inode, owner, TCP counters.

Works without privilege. Addresses are as on the wire: IPv4-mapped IPv6 comes out as IPv4.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from netally.capture.dissector import TCP, UDP
from netally.capture.netlink import SOCK_DIAG, NetlinkSocket, attributes, payloads

TCP_LISTEN: Final = 10
_TCP_TIME_WAIT: Final = 6
_ALL_STATES: Final = 0xFFFFFFFF & ~(1 << _TCP_TIME_WAIT)

_BY_FAMILY: Final = 20
_REQUEST: Final = struct.Struct("=BBBxI")
_SOCKET_ID: Final = struct.Struct("!HH16s16s")
_MESSAGE: Final = struct.Struct("=BBBB48sIIIII")
_NO_COOKIE: Final = b"\xff" * 8
_INFO: Final = 2
# Multicast groups as bind(2) takes them: bit of group - 1 (linux/sock_diag.h).
_TCP_DESTROY: Final = 1 << 0
_TCP6_DESTROY: Final = 1 << 2
_EVENT_BYTES: Final = 16 * 1024
_BURST: Final = 4_096
_MAPPED: Final = bytes(10) + b"\xff\xff"

# struct tcp_info (linux/tcp.h): u64 bytes_acked at 120, bytes_received 128, u32 segs_out 136, segs_in 140,
# u64 bytes_sent 200, bytes_retrans 208.
_INFO_RECEIVED: Final = struct.Struct("=QII")
_INFO_RECEIVED_AT: Final = 128
_INFO_SENT: Final = struct.Struct("=QQ")
_INFO_SENT_AT: Final = 200


class TcpCounters(NamedTuple):
    """Counters of a connection since it began. Bytes are payload, retransmissions counted in ``sent``."""

    sent: int
    retransmitted: int
    received: int
    segments_out: int
    segments_in: int


class Socket(NamedTuple):
    protocol: int
    local: bytes
    local_port: int
    remote: bytes
    remote_port: int
    """0 when not connected."""
    state: int
    uid: int
    inode: int
    """0 when nobody holds the socket any more."""
    cookie: int
    """Unique for the socket's life and long after."""
    counters: TcpCounters | None


class SocketDiag:
    """A question channel to the kernel. Raises OSError when inet_diag is missing from it."""

    def __init__(self) -> None:
        self._netlink = NetlinkSocket(SOCK_DIAG)

    def close(self) -> None:
        self._netlink.close()

    def sockets(self, protocol: int, *, counters: bool = False) -> Iterator[Socket]:
        """All IPv4 and IPv6 sockets of TCP or UDP, without TIME_WAIT. ``counters`` asks for tcp_info as well."""
        extension = 1 << (_INFO - 1) if counters else 0
        for family in (socket.AF_INET, socket.AF_INET6):
            body = _REQUEST.pack(family, protocol, extension, _ALL_STATES) + bytes(48)
            for payload in self._netlink.dump(_BY_FAMILY, body):
                found = parse_socket(payload, protocol)
                if found is not None:
                    yield found

    def lookup(self, protocol: int, local: bytes, local_port: int, remote: bytes, remote_port: int) -> Socket | None:
        """The socket that packets of this five-tuple belong to: the connected one, else a listening or unconnected one.

        UDP wants source and destination the other way round, else it answers with the peer's socket on loopback.
        """
        family = socket.AF_INET if len(local) == 4 else socket.AF_INET6
        here, there = (local_port, local), (remote_port, remote)
        first, second = (there, here) if protocol == UDP else (here, there)
        body = (
            _REQUEST.pack(family, protocol, 0, _ALL_STATES)
            + _SOCKET_ID.pack(first[0], second[0], first[1], second[1])
            + bytes(4)
            + _NO_COOKIE
        )
        payload = self._netlink.get(_BY_FAMILY, body)
        return None if payload is None else parse_socket(payload, protocol)


class EndedSockets:
    """TCP connections that end, with their last counters, as the kernel tells them (SKNLGRP_INET_TCP_DESTROY and
    SKNLGRP_INET6_TCP_DESTROY). Works without privilege. An ended socket has no inode any more, and one that was aborted
    no addresses either: its cookie is what it had before.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, SOCK_DIAG)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024 * 1024)
        self._socket.bind((0, _TCP_DESTROY | _TCP6_DESTROY))
        self.lost = 0
        """Times that connections ended faster than they were read."""

    def fileno(self) -> int:
        return self._socket.fileno()

    def read(self) -> Iterator[Socket]:
        """Those since the last call, a bounded number at a time."""
        for _ in range(_BURST):
            try:
                data = memoryview(self._socket.recv(_EVENT_BYTES))
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                # ENOBUFS: some are missing.
                self.lost += 1
                continue
            for payload in payloads(data):
                found = parse_socket(payload, TCP)
                if found is not None:
                    yield found

    def close(self) -> None:
        self._socket.close()


def parse_socket(payload: memoryview, protocol: int) -> Socket | None:
    """Socket of a struct inet_diag_msg with attributes; None when it is cut."""
    if len(payload) < _MESSAGE.size:
        return None
    family, state, _, _, identity, _, _, _, uid, inode = _MESSAGE.unpack_from(payload)
    local_port, remote_port, local, remote = _SOCKET_ID.unpack_from(identity)
    counters = None
    if protocol == TCP and len(payload) > _MESSAGE.size:
        for kind, value in attributes(payload[_MESSAGE.size :]):
            if kind == _INFO and len(value) >= _INFO_SENT_AT + _INFO_SENT.size:
                received, segments_out, segments_in = _INFO_RECEIVED.unpack_from(value, _INFO_RECEIVED_AT)
                sent, retransmitted = _INFO_SENT.unpack_from(value, _INFO_SENT_AT)
                counters = TcpCounters(sent, retransmitted, received, segments_out, segments_in)
    return Socket(
        protocol,
        _wire_address(local, family),
        local_port,
        _wire_address(remote, family),
        remote_port,
        state,
        uid,
        inode,
        int.from_bytes(identity[40:48], "little"),
        counters,
    )


def _wire_address(address: bytes, family: int) -> bytes:
    if family == socket.AF_INET:
        return address[:4]
    return address[12:] if address.startswith(_MAPPED) else address

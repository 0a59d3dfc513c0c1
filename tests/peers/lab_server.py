"""The world of the lab: ``lab_server INTERFACE FIRST COUNT [PORT…]`` serves TCP and UDP on a range of ports, and QUIC
on those named.

A TCP client says ``BYTES HOLD_MS`` in a line (or asks for that path by HTTP), is held for so long, gets so many bytes
and is closed. A datagram says how many bytes its answer shall have. ``connect ADDRESS PORT BYTES HOLD_MS`` on standard
input makes a connection of its own. At the end of input it writes one JSON line for each port: L3 bytes as they were on
the wire in both directions, seen by a packet socket beside all of this, and how long connections lived.
"""

from __future__ import annotations

import asyncio
import json
import re
import resource
import socket
import struct
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

ASKED = re.compile(rb"(\d+)[ /](\d+)")
VNET = struct.Struct("<BBHHHH")
SOL_PACKET, VNET_HDR, OUTGOING = 263, 15, 4
Served = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Truth:
    to_world: int = 0
    to_client: int = 0
    packets: int = 0
    sent: int = 0
    received: int = 0
    lived_ms: float = 0.0
    connections: int = 0


class Wire(threading.Thread):
    """Counts each packet by the port of the lab it belongs to."""

    def __init__(self, interface: str, first: int, count: int, truth: dict[int, Truth]) -> None:
        super().__init__(daemon=True)
        self.first, self.last, self.truth = first, first + count, truth
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setsockopt(SOL_PACKET, VNET_HDR, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 64 * 1024 * 1024)
        self.socket.bind((interface, 3))
        self.socket.settimeout(0.3)
        self.ending = False

    def run(self) -> None:
        while True:
            try:
                data, address = self.socket.recvfrom(70_000)
            except TimeoutError:
                if self.ending:
                    return
                continue
            self.count(data, outgoing=address[2] == OUTGOING)

    def count(self, data: bytes, *, outgoing: bool) -> None:
        _, gso_kind, _, gso_size, _, _ = VNET.unpack_from(data)
        at = VNET.size + 14
        (kind,) = struct.unpack_from("!H", data, at - 2)
        if kind == 0x8100:
            at += 4
            (kind,) = struct.unpack_from("!H", data, at - 2)
        if kind == 0x0800:
            length = int.from_bytes(data[at + 2 : at + 4], "big") or len(data) - at
            protocol, header = data[at + 9], (data[at] & 15) * 4
        elif kind == 0x86DD:
            length = int.from_bytes(data[at + 4 : at + 6], "big") + 40
            length = length if length > 40 else len(data) - at
            protocol, header = data[at + 6], 40
        else:
            return
        if protocol not in (6, 17):
            return
        ports = struct.unpack_from("!HH", data, at + header)
        port = next((port for port in ports if self.first <= port < self.last), None)
        if port is None:
            return
        headers = header + (8 if protocol == 17 else (data[at + header + 12] >> 4) * 4)
        segments = -(-(length - headers) // gso_size) if gso_kind & 0x7F and gso_size else 1
        length += (segments - 1) * headers
        found = self.truth[port]
        found.packets += segments
        if outgoing:
            found.to_client += length
        else:
            found.to_world += length


class Datagrams(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        asked = ASKED.search(data)
        if asked:
            self.transport.sendto(bytes(int(asked[1])), address)


async def connect(address: str, port: int, size: str, hold: str, found: Truth) -> None:
    """A connection from here to a server of the machine."""
    began = time.monotonic()
    reader, writer = await asyncio.open_connection(address, port)
    writer.write(f"{size} {hold}\n".encode())
    found.sent += len(size) + len(hold) + 2
    found.received += len(await reader.read(-1))
    writer.close()
    found.connections += 1
    found.lived_ms = (time.monotonic() - began) * 1000
    print("done", flush=True)


async def serve_quic(ports: Iterable[int], served: Callable[[int], Served]) -> None:
    """The same over a stream of QUIC."""
    # Only here: what it imports costs as much as all the rest.
    from aioquic.asyncio.server import serve
    from aioquic.quic.configuration import QuicConfiguration

    from tests.certificates import write_certificate

    configuration = QuicConfiguration(alpn_protocols=["lab"], is_client=False)
    with tempfile.TemporaryDirectory() as directory:
        certificate, key = write_certificate(Path(directory))
        configuration.load_cert_chain(certificate, key)
    serving: set[asyncio.Future[None]] = set()

    def handler(serve_one: Served) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        return lambda reader, writer: serving.add(asyncio.ensure_future(serve_one(reader, writer)))

    for port in ports:
        await serve("0.0.0.0", port, configuration=configuration, stream_handler=handler(served(port)))


async def main() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (8_192, 8_192))
    interface, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    quic = {int(port) for port in sys.argv[4:]}
    truth: dict[int, Truth] = defaultdict(Truth)
    wire = Wire(interface, first, count, truth)
    wire.start()

    def served(port: int) -> Served:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            began = time.monotonic()
            found = truth[port]
            try:
                line = await reader.readline()
                found.received += len(line)
                asked = ASKED.search(line)
                size, hold = (int(asked[1]), int(asked[2])) if asked else (0, 0)
                await asyncio.sleep(hold / 1000)
                head = b"HTTP/1.0 200 OK\r\n\r\n" if line.startswith(b"GET ") else b""
                writer.write(head + bytes(size))
                found.sent += len(head) + size
                if port in quic:
                    writer.write_eof()
                else:
                    await writer.drain()
                    writer.close()
                    await writer.wait_closed()
            except OSError:
                pass
            found.connections += 1
            found.lived_ms = max(found.lived_ms, (time.monotonic() - began) * 1000)

        return serve

    loop = asyncio.get_running_loop()
    if quic:
        await serve_quic(quic, served)
    for port in sorted(set(range(first, first + count)) - quic):
        await asyncio.start_server(served(port), None, port, reuse_address=True)
        for family, any_address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            sock = socket.socket(family, socket.SOCK_DGRAM)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((any_address, port))
            await loop.create_datagram_endpoint(Datagrams, sock=sock)
    print("ready", flush=True)
    connecting: set[asyncio.Task[None]] = set()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        _, address, port, size, hold = line.split()
        connecting.add(asyncio.create_task(connect(address, int(port), size, hold, truth[int(port)])))
    wire.ending = True
    wire.join()
    for port, found in sorted(truth.items()):
        print(json.dumps({"port": port, **vars(found)}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())

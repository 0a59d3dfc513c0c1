"""Traffic at a steady rate between two programs: TCP at so many bits a second, or datagrams at so many a second.

python -m tests.peers.steady_traffic sink PORT                               takes both, answers nothing
python -m tests.peers.steady_traffic stream ADDRESS PORT BITS_PER_SECOND
python -m tests.peers.steady_traffic datagrams ADDRESS PORT PACKETS_PER_SECOND FLOWS BYTES

Senders wait for a line ``go SECONDS`` on standard input, send so long, and say how many bytes or packets it were and in
how many seconds; again and again until the input ends.
"""

from __future__ import annotations

import resource
import socket
import sys
import threading
import time
from collections.abc import Callable

CHUNK = 64 * 1024
BURST_SECONDS = 0.002


def sink(port: int) -> None:
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.setsockopt(socket.SOL_SOCKET, 33, 8 * 1024 * 1024)
    datagrams.bind(("", port))
    threading.Thread(target=swallow, args=(datagrams,), daemon=True).start()
    with socket.create_server(("", port)) as server:
        print("ready", flush=True)
        while True:
            connection, _ = server.accept()
            threading.Thread(target=swallow, args=(connection,), daemon=True).start()


def swallow(sock: socket.socket) -> None:
    buffer = bytearray(1024 * 1024)
    while sock.recv_into(buffer) or sock.type == socket.SOCK_DGRAM:
        pass


def paced(seconds: float, rate: float, send: Callable[[], int]) -> tuple[int, float]:
    """(sum of what ``send`` returns, seconds)."""
    begun, sent = time.monotonic(), 0
    while (elapsed := time.monotonic() - begun) < seconds:
        if sent < elapsed * rate:
            sent += send()
        else:
            time.sleep(BURST_SECONDS)
    return sent, time.monotonic() - begun


def main() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (8_192, 8_192))
    if sys.argv[1] == "sink":
        sink(int(sys.argv[2]))
        return
    address, rate = (sys.argv[2], int(sys.argv[3])), float(sys.argv[4])
    if sys.argv[1] == "stream":
        stream = socket.create_connection(address)
        chunk = bytes(CHUNK)
        rate /= 8

        def send() -> int:
            return stream.send(chunk)
    else:
        flows, payload = int(sys.argv[5]), bytes(int(sys.argv[6]))
        sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(flows)]
        for each in sockets:
            each.connect(address)
        number = 0

        def send() -> int:
            nonlocal number
            number += 1
            return bool(sockets[number % flows].send(payload))

    print("ready", flush=True)
    while line := sys.stdin.readline():
        print(*paced(float(line.split()[1]), rate, send), flush=True)


if __name__ == "__main__":
    main()

"""A UDP server that answers each datagram with as many bytes as the first four of it say (big endian).

python -m tests.peers.udp_sink 9000
"""

from __future__ import annotations

import socket
import struct
import sys


def main() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as server:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.bind(("::", int(sys.argv[1])))
        print("ready", flush=True)
        while True:
            data, client = server.recvfrom(65536)
            server.sendto(b"\x5a" * struct.unpack("!I", data[:4])[0], client)


if __name__ == "__main__":
    main()

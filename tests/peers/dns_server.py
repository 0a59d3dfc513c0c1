"""A DNS server that answers every A and AAAA query with the addresses it was given (RFC 1035, UDP only).

python -m tests.peers.dns_server 10.9.0.1 53 10.9.0.1 fd09::1
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys


def answer(query: bytes, ipv4: str, ipv6: str) -> bytes:
    """Response to one query message: A and AAAA are answered with a TTL of 60 s, other types with no records."""
    end = 12
    while query[end]:
        end += query[end] + 1
    question = query[12 : end + 5]
    kind = struct.unpack("!H", query[end + 1 : end + 3])[0]
    data = {1: ipaddress.ip_address(ipv4).packed, 28: ipaddress.ip_address(ipv6).packed}.get(kind)
    records = b"" if data is None else b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(data)) + data
    return query[:2] + struct.pack("!HHHHH", 0x8180, 1, 1 if data else 0, 0, 0) + question + records


def main() -> None:
    host, port, ipv4, ipv6 = sys.argv[1:5]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((host, int(port)))
        print("ready", flush=True)
        while True:
            query, client = server.recvfrom(4096)
            server.sendto(answer(query, ipv4, ipv6), client)


if __name__ == "__main__":
    main()

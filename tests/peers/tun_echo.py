"""A tunnel whose other end is this program: packets into it come back with both ends exchanged (TUNSETIFF,
Documentation/networking/tuntap.rst). IPv4 and UDP without options only.

    python -m tests.peers.tun_echo tun0 10.66.0.1/24
"""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import sys

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
UDP = 17


def main() -> None:
    name, address = sys.argv[1:3]
    tunnel = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tunnel, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    subprocess.run(["ip", "address", "add", address, "dev", name], check=True)
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    print("ready", flush=True)
    while True:
        packet = os.read(tunnel, 65_536)
        if packet[0] == 0x45 and packet[9] == UDP:
            # Checksums are sums, so exchanging what they sum over leaves them right.
            os.write(tunnel, packet[:12] + packet[16:20] + packet[12:16] + packet[22:24] + packet[20:22] + packet[24:])


if __name__ == "__main__":
    main()

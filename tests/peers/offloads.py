"""Switches an interface's segmentation offloads, as ``ethtool -K NAME tso off gso off gro off`` does.

python -m tests.peers.offloads NAME on|off
"""

from __future__ import annotations

import array
import fcntl
import socket
import struct
import sys

# linux/sockios.h, linux/ethtool.h
SIOCETHTOOL = 0x8946
SET_TSO, SET_GSO, SET_GRO = 0x1F, 0x24, 0x2C


def main() -> None:
    name, state = sys.argv[1:]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        for command in (SET_TSO, SET_GSO, SET_GRO):
            value = array.array("B", struct.pack("=II", command, int(state == "on")))
            request = struct.pack("16sP", name.encode(), value.buffer_info()[0])
            fcntl.ioctl(channel, SIOCETHTOOL, request)


if __name__ == "__main__":
    main()

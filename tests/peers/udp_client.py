"""A UDP client: sends COUNT datagrams of SIZE bytes to a name, asking for REPLY bytes back each.

    python tests/peers/udp_client.py stream.netally.test 9000 200 1000 400

Run by path, so that its process looks like a script of a user: standard library only.
"""

import socket
import struct
import sys
import time


def main() -> None:
    name, port, count, size, reply = sys.argv[1], *(int(argument) for argument in sys.argv[2:6])
    address = socket.getaddrinfo(name, port, socket.AF_INET, socket.SOCK_DGRAM)[0][4]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect(address)
        for _ in range(count):
            client.send(struct.pack("!I", reply) + b"\x3c" * (size - 4))
            client.recv(65536)
            time.sleep(0.005)  # paces the traffic; nothing is waited for
    print("done", flush=True)


if __name__ == "__main__":
    main()

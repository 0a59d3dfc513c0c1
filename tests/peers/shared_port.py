"""A TCP server whose children accept, on a port that others may share (SO_REUSEPORT). Each connection gets one line.

python -m tests.peers.shared_port 9500 3     three children that got the socket from their parent
"""

from __future__ import annotations

import os
import socket
import sys


def main() -> None:
    port, children = int(sys.argv[1]), int(sys.argv[2])
    with socket.create_server(("0.0.0.0", port), reuse_port=True, backlog=128) as listener:
        for _ in range(children - 1):
            if os.fork() == 0:
                break
        else:
            print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"served\n")
                connection.recv(1)


if __name__ == "__main__":
    main()

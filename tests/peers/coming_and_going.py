"""Programs that come and go: ``coming_and_going ADDRESS PORT PER_SECOND`` opens so many connections a second to
`tests.peers.steady_traffic sink`, and closes them. Each fifth is a UDP socket of three datagrams, each tenth a program
of its own; twenty connections stay, and send something each second. Ends with its input.
"""

from __future__ import annotations

import itertools
import select
import socket
import subprocess
import sys
import time

STAYING = 20
PAYLOAD = bytes(2_000)


def main() -> None:
    address, rate = (sys.argv[1], int(sys.argv[2])), float(sys.argv[3])
    staying = [socket.create_connection(address) for _ in range(STAYING)]
    print("ready", flush=True)
    begun = told = time.monotonic()
    for number in itertools.count():
        due = begun + number / rate - time.monotonic()
        if select.select([sys.stdin], [], [], max(0.0, due))[0]:
            return
        if number % 10 == 9:
            script = f"exec 3<>/dev/tcp/{address[0]}/{address[1]}; echo hello >&3"
            subprocess.run(["bash", "-c", script], check=True)
        elif number % 5 == 4:
            with socket.socket(type=socket.SOCK_DGRAM) as sock:
                sock.connect(address)
                for _ in range(3):
                    sock.send(PAYLOAD[:500])
        else:
            with socket.create_connection(address) as sock:
                sock.sendall(PAYLOAD)
        if time.monotonic() - told > 1.0:
            told = time.monotonic()
            for each in staying:
                each.sendall(PAYLOAD)


if __name__ == "__main__":
    main()

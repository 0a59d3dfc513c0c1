"""Sends the frames of `tests.bench.capture` into an interface at a steady rate: sendmmsg(2) through ctypes, hundreds of
frames a call.

    python -m tests.bench.packet_flood INTERFACE DESTINATION_MAC PACKETS_PER_SECOND SECONDS

Says ``ready``, waits for a line, sends, and says how many frames were sent in how many seconds.
"""

from __future__ import annotations

import ctypes
import socket
import sys
import time

import numpy as np

from tests.bench.capture import make_frames

SOL_PACKET = 263
PACKET_QDISC_BYPASS = 20
SLICE = 0.001


def main() -> None:
    interface, mac, rate, seconds = sys.argv[1], bytes.fromhex(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    frames = [mac + mac[:5] + b"\x01" + frame[12:] for frame in make_frames()]
    lengths = np.array([len(frame) for frame in frames], np.uint64)
    data = np.frombuffer(b"".join(frames), np.uint8)
    # struct iovec: base, length. struct mmsghdr: name, length, iovec, count, control, length, flags, sent.
    vectors = np.empty((len(frames), 2), np.uint64)
    vectors[:, 0] = np.uint64(data.ctypes.data) + np.concatenate(([np.uint64(0)], np.cumsum(lengths)[:-1]))
    vectors[:, 1] = lengths
    messages = np.zeros((len(frames), 8), np.uint64)
    messages[:, 2] = np.uint64(vectors.ctypes.data) + np.arange(len(frames), dtype=np.uint64) * np.uint64(16)
    messages[:, 3] = 1
    send = ctypes.CDLL(None, use_errno=True).sendmmsg
    send.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int]
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
        sender.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        sender.bind((interface, 0))
        print("ready", flush=True)
        sys.stdin.readline()
        begun, sent, place = time.monotonic(), 0, 0
        while (elapsed := time.monotonic() - begun) < seconds:
            due = min(int(elapsed * rate) - sent, len(frames) - place)
            if due <= 0:
                time.sleep(SLICE)
                continue
            done = send(sender.fileno(), messages.ctypes.data + place * 64, due, 0)
            if done > 0:
                sent += done
                place = (place + done) % len(frames)
        print(sent, time.monotonic() - begun, flush=True)


if __name__ == "__main__":
    main()

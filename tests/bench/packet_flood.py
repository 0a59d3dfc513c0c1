"""Sends small frames of `tests.bench.capture` into an interface at a steady rate: a PACKET_TX_RING, from which the
kernel takes hundreds of frames a call without copying them (Documentation/networking/packet_mmap.rst).

    python -m tests.bench.packet_flood INTERFACE DESTINATION_MAC PACKETS_PER_SECOND SECONDS PROCESSOR

Says ``ready``, waits for a line, sends, and says how many frames were sent in how many seconds. Runs on one processor
and before ordinary programs, so that what else the machine does slows it little.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import socket
import struct
import sys
import time

import numpy as np

from tests.bench.capture import SMALL, make_frames

SOL_PACKET = 263
PACKET_VERSION, PACKET_TX_RING, PACKET_QDISC_BYPASS = 10, 13, 20
TPACKET_V2 = 1
BLOCK, SLOT, SLOTS = 1 << 20, 256, 16_384
DATA_AT = 32
"""Behind struct tpacket2_hdr: status, length, …"""
SEND_REQUEST = 1
BATCH = 256
SLICE = 0.0005


def main() -> None:
    interface, mac, rate, seconds = sys.argv[1], bytes.fromhex(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    os.sched_setaffinity(0, {int(sys.argv[5])})
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
        sender.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V2)
        sender.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        sender.setsockopt(SOL_PACKET, PACKET_TX_RING, struct.pack("4I", BLOCK, SLOT * SLOTS // BLOCK, SLOT, SLOTS))
        ring = mmap.mmap(sender.fileno(), SLOT * SLOTS)
        words = np.frombuffer(ring, np.uint32).reshape(SLOTS, SLOT // 4)
        for number, frame in enumerate(make_frames(sizes=SMALL)[:SLOTS]):
            start = number * SLOT + DATA_AT
            ring[start : start + len(frame)] = mac + mac[:5] + b"\x01" + frame[12:]
            words[number, 1] = len(frame)
        sender.bind((interface, 0))
        print("ready", flush=True)
        sys.stdin.readline()
        begun, sent, place = time.monotonic(), 0, 0
        while (elapsed := time.monotonic() - begun) < seconds:
            due = min(int(elapsed * rate) - sent, SLOTS - place, BATCH)
            if due <= 0:
                time.sleep(SLICE)
                continue
            if not words[place : place + due, 0].any():
                words[place : place + due, 0] = SEND_REQUEST
                sent += due
                place = (place + due) % SLOTS
            sender.send(b"")
        while words[:, 0].any():
            sender.send(b"")
        print(sent, time.monotonic() - begun)


if __name__ == "__main__":
    main()

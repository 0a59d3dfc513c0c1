"""What a wire does to packets, as programs on an interface (tcx, Linux 6.6): nothing else has to be installed for it.

python -m tests.peers.wire_programs INTERFACE loss PERCENT     packets are lost at random, both ways, before they arrive
python -m tests.peers.wire_programs INTERFACE vlan NUMBER      what leaves gets a tag, what arrives loses it

Says ``ready``, and ends with its input.
"""

from __future__ import annotations

import socket
import struct
import sys

from netally.capture.ebpf import bpf_calls

# linux/bpf.h
SCHED_CLS, TCX_INGRESS, TCX_EGRESS = 3, 46, 47
PRANDOM, VLAN_PUSH, VLAN_POP = 7, 18, 19
NEXT, DROP = -1, 2
CALL, EXIT, MOVE, JUMP_ABOVE = 0x85, 0x95, 0xB7, 0x25
TAGGED = socket.htons(0x8100)


def instruction(code: int, register: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return struct.pack("<BBhi", code, register, offset, value)


def losing(percent: float) -> bytes:
    return (
        instruction(CALL, value=PRANDOM)
        # Of 32 random bits the upper half is left out: the limit is a signed number.
        + instruction(0x57, value=0x7FFFFFFF)
        + instruction(JUMP_ABOVE, offset=2, value=int(percent / 100 * 0x7FFFFFFF))
        + instruction(MOVE, value=DROP)
        + instruction(EXIT)
        + instruction(MOVE, value=NEXT)
        + instruction(EXIT)
    )


def tagging(number: int) -> bytes:
    arguments = instruction(MOVE, 2, value=TAGGED) + instruction(MOVE, 3, value=number)
    return arguments + instruction(CALL, value=VLAN_PUSH) + instruction(MOVE, value=NEXT) + instruction(EXIT)


def untagging() -> bytes:
    return instruction(CALL, value=VLAN_POP) + instruction(MOVE, value=NEXT) + instruction(EXIT)


def main() -> None:
    interface, what, amount = sys.argv[1:]
    index = socket.if_nametoindex(interface)
    if what == "loss":
        programs = {TCX_INGRESS: losing(float(amount)), TCX_EGRESS: losing(float(amount))}
    else:
        programs = {TCX_INGRESS: untagging(), TCX_EGRESS: tagging(int(amount))}
    for attach, code in programs.items():
        # A link to an interface is asked for as one to a control group is.
        bpf_calls.attach_to_cgroup(bpf_calls.load_program(what, SCHED_CLS, 0, code, "Apache-2.0"), index, attach)
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()

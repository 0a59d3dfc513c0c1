"""How this machine can be captured, found by trying, and what would raise it. `probe` prints it for people's tools."""

from __future__ import annotations

import importlib.util
import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from netally.capture.ebpf import kernel_programs
from netally.capture.interfaces import Choice, Interface, address_text, choose
from netally.capture.sock_diag import SocketDiag
from netally.capture.system import is_macos, list_interfaces
from netally.contracts.codes import Mode

ADVICE: Final = (
    "Run as root (`sudo make run`), or give the agent a copy of Python that nobody else may run (it can read every "
    "file) and the capabilities: `sudo setcap cap_net_raw,cap_net_admin,cap_sys_ptrace,cap_dac_read_search+ep COPY`."
)
_CAP_SYS_PTRACE: Final = 19


class CaptureMode(NamedTuple):
    mode: Mode
    reason: str
    """Why not a better one, in plain words; empty for the best this agent has."""
    advice: str
    """What would raise it; empty when nothing is to be done."""


class ProbedInterface(msgspec.Struct, frozen=True):
    name: str
    captured: bool
    addresses: list[str]
    reason: str
    """Why it is not captured; empty when it is."""


class Probe(msgspec.Struct, frozen=True):
    """What ``python -m netally.capture probe`` prints."""

    mode: str
    reason: str
    interfaces: list[ProbedInterface]
    advice: str


def find_mode(wanted: str = "") -> CaptureMode:
    """Best mode that works here, none better than ``wanted``. Opens sockets and loads programs for a moment, and leaves
    nothing behind.
    """
    if is_macos():
        return _on_macos()
    if wanted == Mode.UNPRIVILEGED.label:
        return _without_packets("NETALLY_CAPTURE_MODE asks for unprivileged")
    found = _by_packets()
    if found.mode != Mode.PACKETS:
        return found
    if wanted == Mode.PACKETS.label:
        asked = "NETALLY_CAPTURE_MODE asks for packets"
        return found._replace(reason=f"{asked}; {found.reason}" if found.reason else asked)
    refused = kernel_programs.problem()
    if not refused:
        return CaptureMode(Mode.EBPF, "", "") if not found.reason else found._replace(mode=Mode.EBPF)
    reason = f"packets are looked at one by one and processes looked up, because {refused}"
    return found._replace(
        reason=f"{reason}; {found.reason}" if found.reason else reason, advice=_raise_to_ebpf(refused)
    )


def _on_macos() -> CaptureMode:
    if os.geteuid():
        return CaptureMode(
            Mode.NONE, "packets of macOS can be seen by root only", "Run the agent as root (`sudo make run`)."
        )
    if importlib.util.find_spec("scapy") is None:
        return CaptureMode(
            Mode.NONE,
            "packets of macOS are read by way of scapy, which is not installed",
            "Install it beside the agent: `pip install 'netally-capture[macos]'`.",
        )
    return CaptureMode(
        Mode.PACKETS,
        "macOS: packets are read one by one by way of scapy, some thousand a second at most, and processes are listed "
        "once a second, so that shorter connections have none; nobody has tried this on a Mac yet",
        "",
    )


def _raise_to_ebpf(refused: str) -> str:
    if "capabilities" in refused:
        return "Run the agent as root (`sudo make run`), or with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN besides."
    return ""


def _by_packets() -> CaptureMode:
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except PermissionError:
        return _without_packets("packets cannot be seen: the capability CAP_NET_RAW is missing")
    except (OSError, AttributeError) as error:
        return _without_packets(f"packets cannot be seen: this kernel has no packet sockets ({error})")
    if not _may_see_other_processes():
        return CaptureMode(
            Mode.PACKETS,
            "every packet is counted, but only this user's processes can be named (CAP_SYS_PTRACE is missing)",
            ADVICE,
        )
    return CaptureMode(Mode.PACKETS, "", "")


def _without_packets(reason: str) -> CaptureMode:
    try:
        SocketDiag().close()
    except OSError as error:
        return CaptureMode(Mode.NONE, f"{reason}; nor can sockets be listed ({error})", ADVICE)
    return CaptureMode(
        Mode.UNPRIVILEGED,
        f"{reason}. Counted are TCP connections by the kernel's own figures, with this user's processes and without "
        "domains; UDP and short connections show only in the interface totals",
        ADVICE,
    )


def _may_see_other_processes() -> bool:
    try:
        status = Path("/proc/self/status").read_text("ascii")
        effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
        return bool(int(effective, 16) >> _CAP_SYS_PTRACE & 1)
    except (OSError, StopIteration, ValueError, IndexError):
        return False


def probe(wanted: Iterable[str], mode: str = "") -> Probe:
    """Mode and interfaces as the agent would start with."""
    found = find_mode(mode)
    interfaces: list[Interface] = []
    reason = found.reason
    try:
        interfaces = list_interfaces()
    except OSError as error:
        reason = reason or f"the interfaces cannot be listed: {error.strerror}"
    choices: dict[str, Choice] = choose(interfaces, wanted)
    return Probe(
        mode=found.mode.label,
        reason=reason,
        interfaces=[
            ProbedInterface(
                interface.name,
                choices[interface.name].captured,
                [address_text(address) for address in interface.addresses],
                choices[interface.name].reason,
            )
            for interface in interfaces
        ],
        advice=found.advice,
    )

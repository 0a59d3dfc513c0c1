"""The mode this machine gets, and what people are told when it is not the best."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import socket
import subprocess
import sys

import pytest

from netally.capture import capture_mode
from netally.capture.capture_mode import find_mode, probe
from netally.capture.ebpf import kernel_programs
from netally.contracts.codes import Mode


def test_root_sees_packets() -> None:
    if os.geteuid() == 0:
        asked = find_mode("packets")
        assert (asked.mode, asked.reason) == (Mode.PACKETS, "NETALLY_CAPTURE_MODE asks for packets")
        assert find_mode("unprivileged").mode == Mode.UNPRIVILEGED
        refused = kernel_programs.problem()
        found = find_mode()
        assert found.mode == (Mode.PACKETS if refused else Mode.EBPF)
        assert refused in found.reason
    else:
        assert find_mode().mode in (Mode.UNPRIVILEGED, Mode.PACKETS)


def without_privilege() -> dict[str, object]:
    """What `probe` says as nobody, without any capability."""
    program = (
        "import os, sys\n"
        "import msgspec\n"
        "from netally.capture.capture_mode import probe\n"
        "if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "sys.stdout.buffer.write(msgspec.json.encode(probe([])))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def test_without_privilege_the_reason_and_the_way_up_are_said() -> None:
    answer = without_privilege()
    assert answer["mode"] == "unprivileged"
    assert "CAP_NET_RAW" in str(answer["reason"])
    assert "sudo make run" in str(answer["advice"])
    interfaces = answer["interfaces"]
    assert isinstance(interfaces, list)
    assert "lo" in [interface["name"] for interface in interfaces]


def test_a_kernel_without_any_way_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    def missing() -> None:
        raise OSError(93, "Protocol not supported")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(capture_mode, "SocketDiag", missing)
    found = find_mode()
    assert found.mode == Mode.NONE
    assert "nor can sockets be listed" in found.reason


def test_the_probe_names_what_is_not_captured_and_why() -> None:
    answer = probe(["nothing-of-this-name"])
    for interface in answer.interfaces:
        assert interface.captured == (interface.name == "lo")
        assert interface.captured == (interface.reason == "")


@pytest.mark.parametrize(
    ("user", "scapy", "mode", "words"),
    [
        (0, True, Mode.PACKETS, "nobody has tried this on a Mac yet"),
        (0, False, Mode.NONE, "scapy, which is not installed"),
        (501, True, Mode.NONE, "by root only"),
    ],
)
def test_macos_says_how_it_captures_and_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, user: int, scapy: bool, mode: Mode, words: str
) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object() if scapy else None)
    found = find_mode()
    assert found.mode == mode
    assert words in found.reason

"""The system that is found is the one that runs."""

from __future__ import annotations

import platform

import psutil
import pytest

from netally.capture import system
from netally.capture.macos.frames import open_frames
from netally.capture.macos.sockets import ListedProcesses, ListedSockets
from netally.capture.process_table import ProcessTable
from netally.capture.sources import PacketSource


def test_on_linux_the_kernel_is_asked() -> None:
    opened = system.open_system()
    try:
        assert isinstance(opened.processes, ProcessTable)
        assert opened.open_source is PacketSource
        names = [each.name for each in opened.read_interfaces()]
        assert "lo" in names
        assert [each.name for each in system.list_interfaces()] == names
    finally:
        opened.close()


def test_on_macos_psutil_and_scapy_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    opened = system.open_system()
    assert isinstance(opened.sockets, ListedSockets)
    assert isinstance(opened.processes, ListedProcesses)
    assert opened.namespaces is None
    assert opened.open_source is open_frames
    assert {each.name for each in opened.read_interfaces()} == set(psutil.net_if_addrs())
    opened.close()

"""Interfaces as psutil lists them on a Mac, recorded."""

from __future__ import annotations

import socket

import psutil
import pytest

from netally.capture.interfaces import InterfaceCounters, choose
from netally.capture.macos.interfaces import read_interfaces
from tests.builders import packed

AF_LINK = 18
NAMES = ("lo0", "gif0", "en0", "awdl0", "bridge100", "utun3")


class Address:
    def __init__(self, family: int, address: str) -> None:
        self.family, self.address = family, address


class State:
    def __init__(self, *, isup: bool) -> None:
        self.isup = isup


class Counters:
    def __init__(self, *values: int) -> None:
        self.bytes_sent, self.bytes_recv, self.packets_sent, self.packets_recv = values


@pytest.fixture(autouse=True)
def _mac(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = {
        "lo0": [Address(socket.AF_INET, "127.0.0.1"), Address(socket.AF_INET6, "::1"),
                Address(socket.AF_INET6, "fe80::1%lo0")],
        "gif0": [],
        "en0": [Address(AF_LINK, "f0:18:98:00:00:01"), Address(socket.AF_INET6, "fe80::8a9:1%en0"),
                Address(socket.AF_INET, "192.168.1.20"), Address(socket.AF_INET6, "2001:db8::20")],
        "awdl0": [Address(socket.AF_INET6, "fe80::c0de%awdl0")],
        "bridge100": [Address(socket.AF_INET, "192.168.64.1")],
        "utun3": [Address(socket.AF_INET, "10.9.0.2")],
    }  # fmt: skip
    states = {name: State(isup=name != "gif0") for name in NAMES}
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: addresses)
    monkeypatch.setattr(psutil, "net_if_stats", lambda: states)
    monkeypatch.setattr(psutil, "net_io_counters", lambda pernic: {"en0": Counters(100, 2_000, 1, 20)})
    monkeypatch.setattr(socket, "if_nametoindex", lambda name: NAMES.index(name) + 1)


def test_each_interface_is_told_with_addresses_and_counters() -> None:
    found = {each.name: each for each in read_interfaces()}
    assert list(found) == list(NAMES)
    card = found["en0"]
    assert card.ethernet
    assert card.has_global
    assert card.addresses == (packed("fe80::8a9:1"), packed("192.168.1.20"), packed("2001:db8::20"))
    assert card.counters == InterfaceCounters(packets_in=20, packets_out=1, bytes_in=2_000, bytes_out=100)
    assert found["lo0"].loopback
    assert not found["lo0"].ethernet
    assert found["utun3"].tunnel


def test_the_card_and_loopback_are_captured() -> None:
    choices = choose(read_interfaces())
    assert [name for name, choice in choices.items() if choice.captured] == ["lo0", "en0"]

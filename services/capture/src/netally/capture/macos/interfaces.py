"""Interfaces, addresses and counters as psutil tells them, in the shape that rtnetlink gives on Linux."""

from __future__ import annotations

import ipaddress
import socket
from typing import Final

import psutil

from netally.capture.interfaces import Interface, InterfaceCounters

_TUNNELS: Final = ("utun", "ipsec", "gif", "stf")
_VIRTUAL: Final = {"bridge": "bridge", "feth": "dummy", "awdl": "dummy", "llw": "dummy", "anpi": "dummy"}
"""Beginnings of names: bridges of virtual machines, and links for devices beside this one."""
_ADDRESS_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)


def read_interfaces() -> list[Interface]:
    """By index. OSError when the system does not tell."""
    counters = psutil.net_io_counters(pernic=True)
    states = psutil.net_if_stats()
    found = []
    for name, entries in psutil.net_if_addrs().items():
        addresses = [
            ipaddress.ip_address(each.address.partition("%")[0]) for each in entries if each.family in _ADDRESS_FAMILIES
        ]
        own = counters.get(name)
        loopback = any(address.is_loopback for address in addresses)
        tunnel = name.startswith(_TUNNELS)
        found.append(
            Interface(
                ifindex=socket.if_nametoindex(name),
                name=name,
                kind=next((kind for start, kind in _VIRTUAL.items() if name.startswith(start)), ""),
                up=name in states and states[name].isup,
                loopback=loopback,
                ethernet=not loopback and not tunnel,
                link=0,
                master=0,
                addresses=tuple(address.packed for address in addresses),
                has_global=any(not (address.is_link_local or address.is_loopback) for address in addresses),
                counters=InterfaceCounters(own.packets_recv, own.packets_sent, own.bytes_recv, own.bytes_sent)
                if own is not None
                else InterfaceCounters(0, 0, 0, 0),
                tunnel=tunnel,
            )
        )
    return sorted(found)

"""Network interfaces of this namespace, which of them are captured, and their counters (rtnetlink(7)).

Captured are uplinks: a packet that passes several interfaces (a container's veth, a bridge, the card) is counted once,
where it leaves or enters the machine. Loopback is captured as well, in a scope of its own. A tunnel's packets leave
inside another interface's: one class of interfaces is captured, the lowest that there is.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from netally.capture.link_layer import ETHERNET, RAW
from netally.capture.netlink import NetlinkSocket, attributes

_GET_LINK: Final = 18
_GET_ADDRESS: Final = 22
_LINK_MESSAGE: Final = struct.Struct("=BxHiII")
_ADDRESS_MESSAGE: Final = struct.Struct("=BBBBI")
_IFLA_NAME, _IFLA_LINK, _IFLA_MASTER, _IFLA_INFO, _IFLA_STATS64 = 3, 5, 10, 18, 23
_IFLA_LINK_NAMESPACE: Final = 37
_INFO_KIND: Final = 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_STATS: Final = struct.Struct("=QQQQ")
_IFF_UP: Final = 1
_IFF_LOOPBACK: Final = 8
# Hardware types (linux/if_arp.h): frames with an Ethernet header, and links without any header that are no tunnels.
_ARPHRD_ETHER: Final = 1
_ARPHRD_LOOPBACK: Final = 772
_ARPHRD_PPP: Final = 512
_ARPHRD_RAWIP: Final = 519
_SCOPE_GLOBAL: Final = 0
_PURELY_VIRTUAL: Final = frozenset(("veth", "tun", "dummy", "ifb"))


class InterfaceCounters(NamedTuple):
    """As the kernel counts them, link headers included."""

    packets_in: int
    packets_out: int
    bytes_in: int
    bytes_out: int


class Interface(NamedTuple):
    ifindex: int
    name: str
    kind: str
    """``veth``, ``bridge``, ``vlan`` …; empty for a real card and for loopback."""
    up: bool
    loopback: bool
    ethernet: bool
    """Whether frames begin with an Ethernet header (loopback's do); else with the IP header, as the kernel shows them
    on tunnels and on point-to-point links.
    """
    link: int
    """Index of the interface below (VLAN and the like), 0 for none."""
    master: int
    """Index of the bridge or bond it belongs to, 0 for none."""
    addresses: tuple[bytes, ...]
    """Packed."""
    has_global: bool
    """Whether one of the addresses reaches beyond the link."""
    counters: InterfaceCounters
    tunnel: bool = False
    """Whether its packets go inside packets of another interface."""
    peer_namespace: int = -1
    """Number this namespace has for that of the interface's other end (veth); -1 for none."""

    @property
    def link_type(self) -> int:
        """As `netally.capture.link_layer` numbers them."""
        return ETHERNET if self.ethernet else RAW


class Choice(NamedTuple):
    captured: bool
    reason: str
    """Why not, in plain words; empty when it is captured."""


def read_interfaces(netlink: NetlinkSocket) -> list[Interface]:
    """Interfaces with addresses and counters, by index."""
    addresses: dict[int, list[tuple[bytes, int]]] = {}
    for payload in netlink.dump(_GET_ADDRESS, bytes(_ADDRESS_MESSAGE.size)):
        _, _, _, scope, index = _ADDRESS_MESSAGE.unpack_from(payload)
        values = dict(attributes(payload[_ADDRESS_MESSAGE.size :]))
        value = values.get(_IFA_LOCAL, values.get(_IFA_ADDRESS))
        if value is not None:
            addresses.setdefault(index, []).append((bytes(value), scope))
    found = []
    for payload in netlink.dump(_GET_LINK, bytes(_LINK_MESSAGE.size)):
        interface = _parse_link(payload, addresses)
        if interface is not None:
            found.append(interface)
    return sorted(found)


def _parse_link(payload: memoryview, addresses: Mapping[int, list[tuple[bytes, int]]]) -> Interface | None:
    _, hardware, index, flags, _ = _LINK_MESSAGE.unpack_from(payload)
    values = dict(attributes(payload[_LINK_MESSAGE.size :]))
    name = bytes(values.get(_IFLA_NAME, b"")).rstrip(b"\0").decode("utf-8", "replace")
    if not name:
        return None
    info = dict(attributes(values[_IFLA_INFO])) if _IFLA_INFO in values else {}
    stats = values.get(_IFLA_STATS64)
    own = addresses.get(index, [])
    return Interface(
        ifindex=index,
        name=name,
        kind=bytes(info.get(_INFO_KIND, b"")).rstrip(b"\0").decode("ascii", "replace"),
        up=bool(flags & _IFF_UP),
        loopback=bool(flags & _IFF_LOOPBACK),
        ethernet=hardware in (_ARPHRD_ETHER, _ARPHRD_LOOPBACK),
        link=_number(values.get(_IFLA_LINK)),
        master=_number(values.get(_IFLA_MASTER)),
        addresses=tuple(address for address, _ in own),
        has_global=any(scope == _SCOPE_GLOBAL for _, scope in own),
        counters=InterfaceCounters(*_STATS.unpack_from(stats)) if stats is not None else InterfaceCounters(0, 0, 0, 0),
        tunnel=hardware not in (_ARPHRD_ETHER, _ARPHRD_LOOPBACK, _ARPHRD_PPP, _ARPHRD_RAWIP),
        peer_namespace=_number(values[_IFLA_LINK_NAMESPACE]) if _IFLA_LINK_NAMESPACE in values else -1,
    )


def _number(value: memoryview | None) -> int:
    return int.from_bytes(value[:4], "little") if value is not None else 0


def choose(interfaces: Iterable[Interface], wanted: Iterable[str] = ()) -> dict[str, Choice]:
    """Which interfaces to capture, by name. ``wanted`` names them outright (loopback is captured all the same)."""
    every = list(interfaces)
    names = set(wanted)
    choices = {}
    for interface in every:
        reason = _why_not(interface, every, names)
        choices[interface.name] = Choice(not reason, reason)
    captured = {interface.ifindex for interface in every if choices[interface.name].captured}
    for interface in every:
        if not names and interface.link in captured and interface.kind not in ("veth", ""):
            choices[interface.name] = Choice(False, "its packets pass the interface below it, which is captured")
    chosen = [interface for interface in every if choices[interface.name].captured and not interface.loopback]
    lowest = min(map(_class_of, chosen), default=0)
    for interface in chosen:
        if _class_of(interface) > lowest:
            choices[interface.name] = Choice(
                False, "it is a tunnel or dial-up link: its packets are counted where they leave the machine"
            )
    return choices


def _class_of(interface: Interface) -> int:
    """Cards before dial-up links (which may run over a card) before tunnels (which run over either)."""
    return 2 if interface.tunnel else 0 if interface.ethernet else 1


def _why_not(interface: Interface, every: list[Interface], names: set[str]) -> str:
    if interface.loopback:
        return "" if interface.up else "it is down"
    if names:
        return "" if interface.name in names else "NETALLY_INTERFACES does not name it"
    if not interface.up:
        return "it is down"
    if interface.master:
        return "it belongs to a bridge or bond"
    if not interface.has_global:
        return "it has no address that reaches beyond the link"
    if interface.kind in ("dummy", "ifb") or (interface.kind == "tun" and interface.ethernet):
        return "it leads nowhere outside this machine"
    if interface.kind == "bridge" and all(
        member.kind in _PURELY_VIRTUAL for member in every if member.master == interface.ifindex
    ):
        return "it joins containers or virtual machines only: their packets are counted where they leave the machine"
    return ""


def address_text(address: bytes) -> str:
    """Text of a packed address."""
    return socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)

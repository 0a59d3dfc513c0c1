"""Who asked, as a proxy in front of a service tells it: ``X-Forwarded-For``, ``-Host`` and ``-Proto``.

They are believed from the addresses that were said to be proxies, and from nobody else: anyone can write a header. The
API believes this machine as well, where the web service is.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Client(NamedTuple):
    address: str
    host: str
    """As the client wrote it: name, and port where there is one."""
    scheme: str


class Proxies:
    """Networks whose word on their clients is taken."""

    def __init__(self, networks: Sequence[_Network] = (), *, this_machine: bool = True) -> None:
        self._networks = tuple(networks)
        self._this_machine = this_machine

    def believe(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
            found = found.ipv4_mapped
        return (self._this_machine and found.is_loopback) or any(found in network for network in self._networks)


def proxies(text: str, *, this_machine: bool = True) -> Proxies:
    """Addresses and networks with commas between them. Raises ValueError for one that is none, in plain words."""
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            found.append(ipaddress.ip_network(part, strict=False))
        except ValueError:
            raise ValueError(f"{part!r} is neither an address nor a network such as 10.0.0.0/24") from None
    return Proxies(found, this_machine=this_machine)


def client_of(peer: str, scheme: str, headers: Mapping[str, str], trusted: Proxies) -> Client:
    """The client of a request from ``peer``; ``headers`` with lower-case names."""
    host = headers.get("host", "")
    if not trusted.believe(peer):
        return Client(peer, host, scheme)
    address = peer
    # From the right: each proxy appends whom it saw, and whatever stands left of one that is not ours was made up.
    for one in reversed([part.strip() for part in headers.get("x-forwarded-for", "").split(",") if part.strip()]):
        address = one[:64]
        if not trusted.believe(address):
            break
    said = headers.get("x-forwarded-proto", "")
    return Client(address, headers.get("x-forwarded-host", "") or host, said if said in ("http", "https") else scheme)

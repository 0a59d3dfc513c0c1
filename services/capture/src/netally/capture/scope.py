"""Where the other end of a flow lies: on this machine, in a private network, or in the internet."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from netally.contracts.codes import Scope

_PRIVATE = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared address space of carriers, RFC 6598
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "224.0.0.0/4",  # multicast stays in the network as a rule
        "255.255.255.255/32",
        "::/128",
        "fc00::/7",
        "fe80::/10",
        "ff00::/8",
    )
)


@lru_cache(maxsize=16_384)
def scope_of(address: bytes) -> Scope:
    """Scope of a packed remote address. Documentation and benchmark ranges count as internet: nothing else is known
    of them than that they are routed.
    """
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    if parsed.is_loopback:
        return Scope.LOOPBACK
    return Scope.PRIVATE if any(parsed in network for network in _PRIVATE) else Scope.INTERNET

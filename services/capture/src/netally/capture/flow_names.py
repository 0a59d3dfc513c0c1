"""What packets say of their flow's name: DNS messages and ClientHellos in, names out. Pure, for live capture and files.

A name found in the packet itself is returned; names that DNS gives to addresses are kept for `FlowNames.of_address`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from netally.capture import dns, tls
from netally.capture.client_stream import ClientStreams
from netally.capture.dissector import TCP, UDP, Packet
from netally.capture.names import AddressNames, clean_name
from netally.capture.packets import TCP_ACK, TCP_SYN
from netally.contracts.codes import DomainSource

DNS_PORTS: Final = (53, 5353)

StreamKey = tuple[bytes, int, bytes, int]


class Name(NamedTuple):
    """A name and how it was found."""

    domain: str
    source: DomainSource


class FlowNames:
    """``is_local`` tells this machine's own addresses: to DNS they are one client."""

    def __init__(self, is_local: Callable[[bytes], bool] = lambda _: False) -> None:
        self._is_local = is_local
        self._addresses = AddressNames()
        self._streams: ClientStreams[StreamKey] = ClientStreams()

    def of_address(self, client: bytes, address: bytes, now: float) -> str | None:
        """Name under which the client last got the address from DNS."""
        return self._addresses.name(self._client(client), address, now)

    def observe(self, packet: Packet, frame: bytes, time: float) -> Name | None:
        """Name that the packet gives its own flow, if any. ``frame`` is what the packet's offsets count in."""
        if packet.protocol == UDP:
            if packet.src_port in DNS_PORTS or packet.dst_port in DNS_PORTS:
                return self._dns(packet, frame[packet.payload : packet.payload_end], time)
            return None
        if packet.protocol == TCP and not packet.fragment_offset:
            return self._tcp(packet, frame, time)
        return None

    def _client(self, address: bytes) -> bytes:
        return b"" if self._is_local(address) else address

    def _tcp(self, packet: Packet, frame: bytes, time: float) -> Name | None:
        key = (packet.src, packet.src_port, packet.dst, packet.dst_port)
        if packet.tcp_flags & TCP_SYN:
            if not packet.tcp_flags & TCP_ACK:
                self._streams.begin(key, packet.tcp_seq + 1, time)
            return None
        if packet.payload >= packet.payload_end:
            return None
        if packet.src_port in DNS_PORTS or packet.dst_port in DNS_PORTS:
            # RFC 1035 section 4.2.2: two bytes of length. A message over several segments is read up to the first cut.
            return self._dns(packet, frame[packet.payload + 2 : packet.payload_end], time)
        payload = frame[packet.payload : packet.payload_end]
        if key not in self._streams:
            if not tls.looks_like_hello(payload):
                return None
            self._streams.begin(key, packet.tcp_seq, time)
        stream = self._streams.add(key, packet.tcp_seq, payload, time)
        if not stream:
            return None
        hello = tls.parse_client_hello(stream)
        if hello == tls.MORE:
            return None
        self._streams.end(key)
        if not isinstance(hello, tls.ClientHello) or hello.server_name is None:
            return None
        domain = clean_name(hello.server_name)
        return Name(domain, DomainSource.TLS_SNI) if domain else None

    def _dns(self, packet: Packet, payload: bytes, time: float) -> Name | None:
        message = dns.parse_message(payload)
        if message is None:
            return None
        if message.is_response:
            for record in message.addresses:
                domain = clean_name(message.asked_name(record.name))
                if domain:
                    self._addresses.learn(self._client(packet.dst), record.address, domain, record.ttl, time)
        domain = clean_name(message.question)
        return Name(domain, DomainSource.DNS_QUERY) if domain else None

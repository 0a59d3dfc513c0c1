"""What packets say of their flow's name: DNS messages, ClientHellos and HTTP requests in, names out. Pure, for live
capture and files.

A name found in the packet itself is returned; names that DNS gives to addresses are kept for `FlowNames.of_address`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netally.capture import dns, http_host, tls
from netally.capture.client_stream import MAX_STREAM, ClientStreams
from netally.capture.dissector import TCP, UDP, Packet
from netally.capture.names import AddressNames, beats, clean_host, clean_name, clean_query
from netally.capture.packets import TCP_ACK, TCP_SYN
from netally.contracts.codes import DomainSource

if TYPE_CHECKING:
    from netally.capture import quic

DNS_PORTS: Final = (53, 5353, 5355)
"""DNS, mDNS (RFC 6762) and LLMNR (RFC 4795), which share a format."""

MAX_OUTER_NAMES: Final = 4_096
"""(client, public name) pairs of Encrypted ClientHello kept; there are few public names."""

StreamKey = tuple[bytes, int, bytes, int]


class Name(NamedTuple):
    """A name and how it was found."""

    domain: str
    source: DomainSource
    answered: bool = False
    """For a DNS query: found in an answer that holds records."""

    def beats(self, old: Name | None) -> bool:
        """Whether this name replaces one found before: by its source; of several DNS queries the first answered."""
        if old is None:
            return True
        if self.source == old.source:
            return self.answered and not old.answered
        return beats(self.source, old.source)


class FlowNames:
    """``is_local`` tells this machine's own addresses: to DNS they are one client."""

    def __init__(self, is_local: Callable[[bytes], bool] = lambda _: False) -> None:
        self._is_local = is_local
        self._addresses = AddressNames()
        self._outer = AddressNames(MAX_OUTER_NAMES)
        self._streams: ClientStreams[StreamKey] = ClientStreams()
        self._quic: quic.QuicHellos | None = None

    def forget(self) -> int:
        """Drop every name that DNS has told; how many entries that were."""
        entries = len(self._addresses) + len(self._outer)
        self._addresses.clear()
        self._outer.clear()
        return entries

    def of_address(self, client: bytes, address: bytes, now: float) -> str | None:
        """Name under which the client last got the address from DNS."""
        return self._addresses.name(self._client(client), address, now)

    def low_words(self) -> NDArray[np.uint64]:
        """Last eight bytes of each address that DNS named for anyone."""
        return self._addresses.low_words()

    def observe(self, packet: Packet, frame: bytes, time: float) -> Name | None:
        """Name that the packet gives its own flow, if any. ``frame`` is what the packet's offsets count in."""
        if packet.fragment_offset:
            return None
        if packet.protocol == TCP:
            return self._tcp(packet, frame, time)
        if packet.protocol == UDP and packet.payload < packet.payload_end:
            if packet.src_port in DNS_PORTS or packet.dst_port in DNS_PORTS:
                return self._dns(packet, frame[packet.payload : packet.payload_end], time)
            return self._udp(packet, frame[packet.payload : packet.payload_end], time)
        return None

    def _client(self, address: bytes) -> bytes:
        return b"" if self._is_local(address) else address

    def _tcp(self, packet: Packet, frame: bytes, time: float) -> Name | None:
        key = (packet.src, packet.src_port, packet.dst, packet.dst_port)
        sequence = packet.tcp_seq
        if packet.tcp_flags & TCP_SYN:
            sequence += 1
            if not packet.tcp_flags & TCP_ACK:
                self._streams.begin(key, sequence, time)
        if packet.payload >= packet.payload_end:
            return None
        is_dns = packet.src_port in DNS_PORTS or packet.dst_port in DNS_PORTS
        stream = None
        if key in self._streams:
            stream = self._streams.add(key, sequence, frame[packet.payload : packet.payload_end], time)
        if stream is None:
            payload = frame[packet.payload : packet.payload_end]
            if not (is_dns or tls.looks_like_hello(payload) or http_host.looks_like_request(payload)):
                return None
            self._streams.begin(key, sequence, time)
            stream = self._streams.add(key, sequence, payload, time)
        if not stream:
            return None
        if is_dns:
            return self._dns_stream(packet, key, stream, time)
        return self._hello(packet, key, stream)

    def _hello(self, packet: Packet, key: StreamKey, stream: bytes) -> Name | None:
        """Name of a TLS or HTTP client's stream; the stream is given up when it has none."""
        hello = tls.parse_client_hello(stream)
        if hello == tls.MORE:
            return None
        if isinstance(hello, tls.ClientHello):
            self._streams.end(key)
            return self._server_name(packet, hello, DomainSource.TLS_SNI)
        host = http_host.parse_request_host(stream)
        if host == http_host.MORE:
            return None
        self._streams.end(key)
        domain = None if host == http_host.NOT_HTTP else clean_host(host)
        return Name(domain, DomainSource.HTTP) if domain else None

    def _udp(self, packet: Packet, payload: bytes, time: float) -> Name | None:
        # Here and not above: the ciphers cost 8 MB, and a machine may never meet QUIC.
        from netally.capture import quic

        if quic.is_candidate(payload):
            if self._quic is None:
                self._quic = quic.QuicHellos()
            hello = self._quic.feed((packet.src, packet.src_port, packet.dst, packet.dst_port), payload, time)
            if hello is None:
                return None
            if not hello.client_hello:
                domain = clean_host(hello.server_name.decode("latin-1"))
                return Name(domain, DomainSource.QUIC_SNI) if domain else None
            parsed = tls.parse_hello_body(hello.client_hello[4:], complete=hello.complete)
            return self._server_name(packet, parsed, DomainSource.QUIC_SNI)
        return self._server_name(packet, tls.parse_dtls_hello(payload), DomainSource.TLS_SNI)

    def _server_name(self, packet: Packet, hello: tls.ClientHello | str, source: DomainSource) -> Name | None:
        if not isinstance(hello, tls.ClientHello) or hello.server_name is None:
            return None
        domain = clean_host(hello.server_name)
        if domain is None:
            return None
        if hello.encrypted and self._outer.name(self._client(packet.src), domain.encode(), 0.0):
            source = DomainSource.ECH_OUTER
        return Name(domain, source)

    def _dns_stream(self, packet: Packet, key: StreamKey, stream: bytes, time: float) -> Name | None:
        """RFC 1035 section 4.2.2: each message behind two bytes of length. The first answered one gives the name."""
        name: Name | None = None
        while len(stream) >= 2:
            size = 2 + int.from_bytes(stream[:2], "big")
            if len(stream) < min(size, MAX_STREAM):
                break
            found = self._dns(packet, stream[2:size], time)
            if found is not None and found.beats(name):
                name = found
            self._streams.consume(key, size)
            stream = stream[size:]
        return name

    def _dns(self, packet: Packet, payload: bytes, time: float) -> Name | None:
        message = dns.parse_message(payload)
        if message is None:
            return None
        if message.is_response:
            client = self._client(packet.dst)
            for record in message.addresses:
                domain = clean_name(message.asked_name(record.name))
                if domain:
                    self._addresses.learn(client, record.address, domain, record.ttl, time)
            for public in message.ech_names:
                domain = clean_name(public)
                if domain:
                    self._outer.learn(client, domain.encode(), domain, 0.0, time)
        domain = clean_query(message.question)
        answered = message.is_response and message.records > 0
        return Name(domain, DomainSource.DNS_QUERY, answered) if domain else None

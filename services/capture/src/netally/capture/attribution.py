"""Processes and names for flows: asks the kernel's socket tables and what DNS said, writes into the flow table.

Three chances for a process: at once when a connection opens (short ones), when a new flow is first counted (UDP), and
at the sweep each second (everything else, and accepted connections, whose socket exists only after the handshake).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from netally.capture.dissector import TCP, UDP, Packet
from netally.capture.flow_names import FlowNames, Name
from netally.capture.flow_table import FlowTable, Slots
from netally.capture.names import beats
from netally.capture.network_namespace import NetworkNamespaces
from netally.capture.packets import (
    A_IS_CLIENT,
    A_IS_LOCAL,
    A_SENT_FIRST,
    B_IS_CLIENT,
    B_IS_LOCAL,
    TCP_ACK,
    TCP_SYN,
    FlowEnds,
    address_words,
    among,
    ends_of,
)
from netally.capture.sock_diag import TCP_LISTEN, Socket, SocketDiag
from netally.contracts.codes import DomainSource, ProcessSource
from netally.contracts.flow import App

MAX_LOOKUPS: Final = 200
"""Single socket questions for the new flows of one block; the sweep answers for the rest."""
DNS_PORT: Final = 53
MAX_UNRESOLVED: Final = 20_000

FiveTuple = tuple[int, bytes, int, bytes, int]
"""Protocol, local address and port, remote address and port."""


class Sockets(Protocol):
    """Who can be asked for the sockets of this machine."""

    def sockets(self, protocol: int, *, counters: bool = False) -> Iterator[Socket]: ...
    def lookup(
        self, protocol: int, local: bytes, local_port: int, remote: bytes, remote_port: int
    ) -> Socket | None: ...
    def close(self) -> None: ...


class Processes(Protocol):
    """Who can be asked for the process of a socket, by the socket's inode."""

    misses: int

    def known(self, inode: int) -> App | None: ...
    def program(self, pid: int) -> App | None: ...
    def find(self, inode: int, uid: int, *, thorough: bool = True) -> App | None: ...
    def hear(self) -> None: ...
    def sweep(self) -> None: ...
    def look_into_owners(self) -> None: ...
    def forget(self) -> int: ...


class View(NamedTuple):
    """A flow as this machine sees it."""

    protocol: int
    local: bytes
    local_port: int
    remote: bytes
    remote_port: int
    interface: int


class Attribution:
    """``diag`` None (inet_diag missing) leaves processes unknown."""

    def __init__(
        self,
        table: FlowTable,
        names: FlowNames,
        processes: Processes,
        diag: Sockets | None,
        first_ephemeral: int,
        namespaces: NetworkNamespaces | None = None,
    ) -> None:
        self._namespaces = namespaces
        self._elsewhere: SocketsElsewhere | None = None
        self.kernel_tells = False
        """Whether processes come with the counts: then nothing is asked as packets pass."""
        self.own_addresses: Collection[bytes] = ()
        """Addresses of this network namespace."""
        self._table = table
        self._names = names
        self._processes = processes
        self._diag = diag
        self._first_ephemeral = first_ephemeral
        self._listeners: dict[tuple[int, int], list[Socket]] = {}
        """By protocol and port: several where programs share one (SO_REUSEPORT), or listen on different addresses."""
        self._connected: dict[FiveTuple, Socket] = {}
        self.listening: NDArray[np.int64] = np.zeros(0, np.int64)
        """Ports this machine serves: protocol << 16 | port."""

    # --- as packets pass ----------------------------------------------------------------------------------------

    def tapped(self, packet: Packet, frame: bytes, *, time: float, interface: int, outgoing: bool | None) -> None:
        """A packet of the tap: the opening of a connection, or one that names its flow."""
        opens = packet.protocol == TCP and packet.tcp_flags & (TCP_SYN | TCP_ACK) == TCP_SYN
        # A question to DNS, or what opens a connection of QUIC: the tap passes no other UDP that leaves a client.
        asks = packet.protocol == UDP and packet.src_port != DNS_PORT
        slot = None
        if (opens or asks) and outgoing is not False and not self.kernel_tells:
            # Before anything else: the socket may live for a millisecond only.
            app = self._holder(
                View(packet.protocol, packet.src, packet.src_port, packet.dst, packet.dst_port, interface)
            )
            slot = self._table.touch(packet, time=time, interface=interface, outgoing=outgoing)
            if app is not None and self._table.process[slot] is None:
                self._table.set_process(slot, app, ProcessSource.SOCK_DIAG)
        name = self._names.observe(packet, frame, time)
        if name is not None:
            if slot is None:
                slot = self._table.touch(packet, time=time, interface=interface, outgoing=outgoing)
            self._give_name(slot, name)

    def _give_name(self, slot: int, name: Name) -> None:
        table = self._table
        source = int(table.name_source[slot])
        if beats(name.source, source):
            table.set_name(slot, name.domain, name.source)
        elif name.source == source == DomainSource.DNS_QUERY and table.name[slot] != name.domain:
            # A resolver's socket that asks for many names: none of them is the flow's.
            table.set_name(slot, None, source)

    def named(self, slots: Slots, now: float) -> None:
        """The same where processes are told by others: only names are looked for."""
        for slot in slots[:MAX_LOOKUPS].tolist():
            self._name_by_address(slot, self.view(slot), now)

    def counted(self, slots: Slots, now: float) -> None:
        """Flows that are new by the last block."""
        for slot in slots[:MAX_LOOKUPS].tolist():
            view = self.view(slot)
            self._name_by_address(slot, view, now)
            # A TCP flow without its SYN is older than the agent: the sweep knows it.
            if view.protocol == UDP and self._table.process[slot] is None and self._may_be_ours(view):
                app = self._holder(view)
                if app is not None:
                    self._table.set_process(slot, app, ProcessSource.SOCK_DIAG)

    def view(self, slot: int) -> View:
        """Local end first; on loopback, where both are local, the client's."""
        return self._view(self._table.key(slot), int(self._table.events[slot]))

    def _views(self, slots: Slots) -> list[tuple[int, View]]:
        """Many at once, without numpy's cost for each."""
        table = self._table
        columns = zip(slots.tolist(), table.words[slots].tolist(), table.events[slots].tolist(), strict=True)
        return [(slot, self._view(ends_of(words), events)) for slot, words, events in columns]

    def _view(self, ends: FlowEnds, events: int) -> View:
        if events & (A_IS_LOCAL | B_IS_LOCAL):
            a_local = bool(events & A_IS_LOCAL)
        elif ends.protocol == TCP:
            a_local = bool(events & A_IS_CLIENT) or (ends.a_port > ends.b_port and not events & 2)
        else:
            a_local = bool(events & A_SENT_FIRST)
        if a_local:
            return View(ends.protocol, ends.a, ends.a_port, ends.b, ends.b_port, ends.interface)
        return View(ends.protocol, ends.b, ends.b_port, ends.a, ends.a_port, ends.interface)

    def _name_by_address(self, slot: int, view: View, now: float) -> None:
        if view.protocol in (TCP, UDP) and self._table.name_source[slot] == DomainSource.NONE:
            domain = self._names.of_address(view.local, view.remote, now)
            if domain is not None:
                self._table.set_name(slot, domain, DomainSource.DNS)

    def _holder(self, view: View) -> App | None:
        """Process of the socket that this flow's packets belong to now; None when there is none, or it is not found."""
        if self._diag is None or view.protocol not in (TCP, UDP):
            return None
        # An address of a container leads into its namespace.
        others = self._namespaces.holding(view.local) if self._namespaces is not None else []
        found = None
        asked: Sequence[Sockets] = others or (self._diag,)
        for diag in asked:
            try:
                found = diag.lookup(view.protocol, view.local, view.local_port, view.remote, view.remote_port)
            except OSError:
                continue
            if found is not None:
                break
        if found is None or found.state == TCP_LISTEN:
            return None
        # A socket for one question to DNS is gone before a longer search ends, which others would wait for.
        lasting = view.protocol == TCP or view.remote_port != DNS_PORT
        app = self._processes.find(found.inode, found.uid, thorough=lasting)
        if app is None or found.remote_port or others:
            return app
        # A port that several sockets share: the kernel's answer is one of them, not the one that sends.
        rivals = self._listeners_of(view)
        return app if len(rivals) < 2 or self._common_app(rivals) == app else None

    # --- at intervals -------------------------------------------------------------------------------------------

    def sweep(self, now: float, *, force: bool = False) -> None:
        """Read the socket tables and settle what is open. Costs nothing but a look when nothing is."""
        if self._namespaces is not None:
            self._namespaces.refresh(time.monotonic(), self.own_addresses)
        self._elsewhere = None
        self._processes.hear()
        unresolved = self._unresolved()
        if self._diag is None or not (force or len(unresolved)):
            return
        try:
            self._read_sockets(self._diag)
        except OSError:
            return
        views = [(slot, view) for slot, view in self._views(unresolved) if self._may_be_ours(view)]
        wanted = [(slot, found) for slot, view in views if (found := self._sockets_of(view))]
        inodes = {each.inode for _, found in wanted for each in found}
        inodes |= {each.inode for _, view in views for each in self._listeners_of(view)}
        if force or any(self._processes.known(inode) is None for inode in inodes):
            self._processes.sweep()
        if any(self._processes.known(each.inode) is None for _, found in wanted for each in found):
            self._processes.look_into_owners()
        for slot, found in wanted:
            self._give_process(slot, self._common_app(found))

    def settle(self, now: float) -> None:
        """Last chance before a cut: names that DNS told meanwhile, and listeners for connections that are gone."""
        table = self._table
        active = table.active()
        nameless = active[table.name_source[active] == DomainSource.NONE]
        for slot, view in self._views(nameless[self._has_end_among(nameless, self._names.low_words())]):
            self._name_by_address(slot, view, now)
        for slot, view in self._views(self._unresolved()):
            if not self._may_be_ours(view) or (self._namespaces is not None and self._namespaces.holding(view.local)):
                continue
            if view.protocol == UDP or not self._opened_here(slot, view):
                self._give_process(slot, self._common_app(self._listeners_of(view)))

    def _may_be_ours(self, view: View) -> bool:
        """Whether a socket of this machine may be its end: what is only passed on has none. A gateway has many such."""
        local = view.local
        if not self.own_addresses or local in self.own_addresses or (len(local) == 4 and local[0] == 127):
            return True
        # Groups and broadcasts are heard by whoever listens.
        if local[0] == 0xFF if len(local) == 16 else local[0] >= 224 or local[-1] == 0xFF:
            return True
        return self._namespaces is not None and bool(self._namespaces.holding(local))

    def _opened_here(self, slot: int, view: View) -> bool:
        """Whether the local end sent the SYN: then nobody who listens on its port is its owner."""
        events = int(self._table.events[slot])
        ends = self._table.key(slot)
        local_is_a = (ends.a, ends.a_port) == (view.local, view.local_port)
        return bool(events & (A_IS_CLIENT if local_is_a else B_IS_CLIENT))

    def _give_process(self, slot: int, app: App | None) -> None:
        if app is not None:
            self._table.set_process(slot, app, ProcessSource.SOCK_DIAG)

    def _unresolved(self) -> Slots:
        active = self._table.active()
        protocol = (self._table.words[active, 4] >> np.uint64(24)) & np.uint64(0xFF)
        owned = (protocol == TCP) | (protocol == UDP)
        missing: Slots = active[owned & (self._table.process_source[active] == ProcessSource.NONE)]
        return missing[self._near(missing)][:MAX_UNRESOLVED]

    def _near(self, slots: Slots) -> NDArray[np.bool_]:
        """Whether `_may_be_ours` can be true at all, for many at once."""
        if not self.own_addresses:
            return np.ones(len(slots), np.bool_)
        addresses = [*self.own_addresses, *(self._namespaces.addresses if self._namespaces is not None else ())]
        near = self._has_end_among(slots, np.array(sorted(address_words(each)[1] for each in addresses), np.uint64))
        words = self._table.words[slots]
        six = (words[:, 4] & np.uint64(1)) != 0
        for high, low in ((0, 1), (2, 3)):
            first = words[:, low] >> np.uint64(24)
            four = (first == 127) | (first >= 224) | (words[:, low] & np.uint64(0xFF) == 0xFF)
            near |= np.where(six, words[:, high] >> np.uint64(56) == 0xFF, four)
        return near

    def _has_end_among(self, slots: Slots, low_words: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Whether an end's address may be one of those with these low words, which ascend."""
        words = self._table.words[slots]
        return among(words[:, 1], low_words) | among(words[:, 3], low_words)

    def _sockets_of(self, view: View) -> list[Socket]:
        """The socket of a flow; several where it may be any of those that share a port."""
        exact = self._connected.get((view.protocol, view.local, view.local_port, view.remote, view.remote_port))
        if exact is not None:
            return [exact]
        # What stays on this machine's own addresses is no container's.
        if self._namespaces is not None and view.remote not in self.own_addresses:
            if self._elsewhere is None:
                self._elsewhere = SocketsElsewhere(self._namespaces)
            elsewhere = self._elsewhere.of(view)
            if elsewhere is not None:
                return [elsewhere]
        return [] if view.protocol == TCP else self._listeners_of(view)

    def _listeners_of(self, view: View) -> list[Socket]:
        """Sockets that wait for what comes to the flow's local end: those on its address, else those on any."""
        found = self._listeners.get((view.protocol, view.local_port), [])
        return [each for each in found if each.local == view.local] or [each for each in found if not any(each.local)]

    def _common_app(self, sockets: Collection[Socket]) -> App | None:
        """Program that holds all of them; None when there are several, or one is not known."""
        apps = {self._processes.known(each.inode) for each in sockets}
        return apps.pop() if len(apps) == 1 else None

    def _read_sockets(self, diag: Sockets) -> None:
        self._listeners, self._connected = {}, {}
        serving = set()
        for protocol in (TCP, UDP):
            for found in diag.sockets(protocol):
                if found.remote_port:
                    self._connected[protocol, found.local, found.local_port, found.remote, found.remote_port] = found
                elif protocol == UDP or found.state == TCP_LISTEN:
                    self._listeners.setdefault((protocol, found.local_port), []).append(found)
                    # A UDP client that does not connect looks like a server, but for its port.
                    if protocol == TCP or found.local_port < self._first_ephemeral:
                        serving.add(protocol << 16 | found.local_port)
        self.listening = np.array(sorted(serving), np.int64)


class SocketsElsewhere:
    """Connections of all other namespaces, as one look into them found them."""

    def __init__(self, namespaces: NetworkNamespaces) -> None:
        self._namespaces = namespaces
        self._exact: dict[FiveTuple, Socket] = {}
        self._bound: dict[tuple[SocketDiag, int, int], Socket] = {}
        self._translated: dict[tuple[int, int, bytes, int], Socket | None] = {}
        for diag in namespaces.every():
            for protocol in (TCP, UDP):
                try:
                    for found in diag.sockets(protocol):
                        self._add(diag, found)
                except OSError:
                    continue

    def _add(self, diag: SocketDiag, found: Socket) -> None:
        if not found.remote_port:
            self._bound.setdefault((diag, found.protocol, found.local_port), found)
            return
        self._exact[found.protocol, found.local, found.local_port, found.remote, found.remote_port] = found
        key = found.protocol, found.local_port, found.remote, found.remote_port
        self._translated[key] = None if key in self._translated else found

    def of(self, view: View) -> Socket | None:
        """Socket of a flow: with its own addresses where they are routed; else the only one with this port and peer,
        because address translation keeps the port as long as it is free.
        """
        exact = self._exact.get((view.protocol, view.local, view.local_port, view.remote, view.remote_port))
        if exact is not None:
            return exact
        holding = self._namespaces.holding(view.local)
        for diag in holding:
            found = self._bound.get((diag, view.protocol, view.local_port))
            if found is not None:
                return found
        if holding:
            return None
        return self._translated.get((view.protocol, view.local_port, view.remote, view.remote_port))


def first_ephemeral_port() -> int:
    """Lowest port the kernel gives to clients (ip_local_port_range, ip(7))."""
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return 32_768

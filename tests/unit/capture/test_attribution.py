"""Attribution: names and processes reach the flows they belong to, by every way there is."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest
from scapy.layers.dns import DNS, DNSQR, DNSRR
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet as ScapyPacket

from netally.capture import process_table
from netally.capture.attribution import Attribution, first_ephemeral_port
from netally.capture.dissector import dissect
from netally.capture.flow_names import FlowNames
from netally.capture.flow_table import FlowTable
from netally.capture.link_layer import ETHERNET
from netally.capture.network_namespace import NetworkNamespaces
from netally.capture.packets import ColumnsBuilder
from netally.capture.process_table import ProcessTable
from netally.capture.sock_diag import Socket, SocketDiag
from netally.contracts.codes import DomainSource, ProcessSource
from tests.builders import packed

ME, DNS_SERVER, PEER = "10.0.0.5", "10.0.0.1", "93.184.216.34"
LO = 1


@pytest.fixture(autouse=True)
def _all_are_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that runs other things meanwhile starts many processes after those of a test."""
    monkeypatch.setattr(process_table, "NEWEST", 1_000_000)
    monkeypatch.setattr(process_table, "KNOWN_OWNERS", 1_000_000)


class Machine:
    def __init__(self, diag: SocketDiag | None) -> None:
        self.table = FlowTable()
        self.names = FlowNames(is_local=lambda address: address in (packed(ME), packed("127.0.0.1")))
        self.processes = ProcessTable()
        self.attribution = Attribution(self.table, self.names, self.processes, diag, first_ephemeral_port())

    def tap(self, packet: ScapyPacket, *, outgoing: bool | None, time: float = 1.0) -> None:
        frame = bytes(Ether() / packet)
        dissected = dissect(ETHERNET, frame)
        assert dissected is not None
        self.attribution.tapped(dissected, frame, time=time, interface=LO, outgoing=outgoing)

    def count(self, packet: ScapyPacket, *, outgoing: bool | None, time: float = 1.0) -> int:
        dissected = dissect(ETHERNET, bytes(Ether() / packet))
        assert dissected is not None
        builder = ColumnsBuilder()
        builder.add(dissected, length=dissected.length, time=time, interface=LO, outgoing=outgoing)
        self.attribution.counted(self.table.observe(builder.take()), time)
        return self.table.touch(dissected, time=time, interface=LO, outgoing=outgoing)

    def domain(self, slot: int) -> tuple[str | None, DomainSource]:
        return self.table.name[slot], DomainSource(self.table.name_source[slot])


@pytest.fixture
def machine() -> Iterator[Machine]:
    diag = SocketDiag()
    yield Machine(diag)
    diag.close()


def answer(name: str, address: str, port: int = 33_333) -> ScapyPacket:
    message = DNS(qr=1, qd=DNSQR(qname=name), an=DNSRR(rrname=name, rdata=address, ttl=60))
    return IP(src=DNS_SERVER, dst=ME) / UDP(sport=53, dport=port) / message


def query(name: str, port: int = 33_333) -> ScapyPacket:
    return IP(src=ME, dst=DNS_SERVER) / UDP(sport=port, dport=53) / DNS(qd=DNSQR(qname=name))


def test_a_new_flow_has_the_name_that_dns_gave_its_address(machine: Machine) -> None:
    machine.tap(answer("example.org", PEER), outgoing=False)
    slot = machine.count(IP(src=ME, dst=PEER) / TCP(sport=40_000, dport=443), outgoing=True)
    assert machine.domain(slot) == ("example.org", DomainSource.DNS)


def test_an_answer_that_comes_later_names_the_flow_at_the_cut(machine: Machine) -> None:
    slot = machine.count(IP(src=ME, dst=PEER) / UDP(sport=40_000, dport=4444), outgoing=True)
    machine.tap(answer("example.org", PEER), outgoing=False, time=2.0)
    machine.attribution.settle(2.0)
    assert machine.domain(slot) == ("example.org", DomainSource.DNS)


def test_other_protocols_get_no_name_from_an_address(machine: Machine) -> None:
    machine.tap(answer("example.org", PEER), outgoing=False)
    slot = machine.count(IP(src=PEER, dst=ME, proto=47) / b"GRE", outgoing=False)
    assert machine.domain(slot) == (None, DomainSource.NONE)


def test_a_dns_flow_has_its_question(machine: Machine) -> None:
    machine.tap(query("example.org"), outgoing=True)
    slot = machine.count(query("example.org"), outgoing=True)
    assert machine.domain(slot) == ("example.org", DomainSource.DNS_QUERY)


def test_a_resolver_s_socket_with_many_questions_has_none(machine: Machine) -> None:
    machine.tap(query("one.example"), outgoing=True)
    machine.tap(query("two.example"), outgoing=True)
    machine.tap(query("one.example"), outgoing=True)
    slot = machine.count(query("one.example"), outgoing=True)
    assert machine.domain(slot)[0] is None


@pytest.fixture
def connected() -> Iterator[tuple[socket.socket, int, int]]:
    """A client's socket on loopback, its port and the server's."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        accepted, _ = listener.accept()
        with accepted:
            yield client, client.getsockname()[1], listener.getsockname()[1]


def loopback(sport: int, dport: int, flags: str = "A") -> ScapyPacket:
    return IP(src="127.0.0.1", dst="127.0.0.1") / TCP(sport=sport, dport=dport, flags=flags)


def test_an_opening_connection_gets_its_process_at_once(
    machine: Machine, connected: tuple[socket.socket, int, int]
) -> None:
    _, client, server = connected
    machine.tap(loopback(client, server, "S"), outgoing=None)
    slot = machine.count(loopback(client, server, "S"), outgoing=None)
    assert machine.table.process[slot] is not None
    assert machine.table.process_source[slot] == ProcessSource.SOCK_DIAG


def test_a_connection_older_than_the_agent_gets_its_process_by_the_sweep(
    machine: Machine, connected: tuple[socket.socket, int, int]
) -> None:
    _, client, server = connected
    slot = machine.count(loopback(client, server), outgoing=None)
    assert machine.table.process[slot] is None
    machine.attribution.sweep(1.0)
    app = machine.table.process[slot]
    assert app is not None
    assert app.executable


def test_udp_gets_its_process_when_first_counted(machine: Machine) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        packet = IP(src="127.0.0.1", dst=PEER) / UDP(sport=sock.getsockname()[1], dport=4444)
        slot = machine.count(packet, outgoing=True)
    assert machine.table.process[slot] is not None


def test_a_connection_of_quic_gets_its_process_as_it_opens(machine: Machine) -> None:
    initial = bytes.fromhex("c000000001") + bytes(1_195)
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        packet = IP(src="127.0.0.1", dst=PEER) / UDP(sport=sock.getsockname()[1], dport=443) / initial
        machine.tap(packet, outgoing=True)
    # The socket is gone when the flow is counted.
    slot = machine.count(packet, outgoing=True)
    assert machine.table.process[slot] is not None


def test_an_accepted_connection_that_is_gone_belongs_to_its_listener(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        machine.attribution.sweep(1.0, force=True)
        slot = machine.count(IP(src=PEER, dst="127.0.0.1") / TCP(sport=50_000, dport=port, flags="S"), outgoing=False)
        machine.attribution.sweep(1.0)
        assert machine.table.process[slot] is None
        machine.attribution.settle(1.0)
        assert machine.table.process[slot] is not None


SHARER = """
import socket, sys
kind = socket.SOCK_STREAM if sys.argv[1] == "6" else socket.SOCK_DGRAM
with socket.socket(type=kind) as sock:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", int(sys.argv[2])))
    if kind == socket.SOCK_STREAM:
        sock.listen()
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
@pytest.mark.parametrize("shared", [False, True])
def test_a_port_that_two_programs_share_names_neither(
    machine: Machine, tmp_path: Path, kind: socket.SocketKind, shared: bool
) -> None:
    protocol = 6 if kind == socket.SOCK_STREAM else 17
    with socket.socket(type=kind) as ours, contextlib.ExitStack() as stack:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        ours.bind(("127.0.0.1", 0))
        port = ours.getsockname()[1]
        if kind == socket.SOCK_STREAM:
            ours.listen()
        if shared:
            script = tmp_path / "other.py"
            script.write_text(SHARER)
            other = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, script, str(protocol), str(port)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            assert other.stdout is not None
            assert other.stdout.readline() == "ready\n"
        machine.attribution.sweep(1.0, force=True)
        transport = TCP(sport=50_000, dport=port) if protocol == 6 else UDP(sport=50_000, dport=port)
        slot = machine.count(IP(src=PEER, dst="127.0.0.1") / transport, outgoing=False)
        machine.attribution.sweep(1.0)
        machine.attribution.settle(1.0)
    assert (machine.table.process[slot] is None) == shared


def test_who_listens_on_a_port_now_is_not_who_connected_from_it(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        machine.attribution.sweep(1.0, force=True)
        gone = IP(src="127.0.0.1", dst=PEER) / TCP(sport=port, dport=443, flags="S")
        slot = machine.count(gone, outgoing=True)
        machine.attribution.settle(1.0)
    assert machine.table.process[slot] is None


def test_what_is_only_passed_on_is_not_asked_for(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(SocketDiag, "lookup", lambda _, *five: asked.append(five))
    machine.attribution.own_addresses = {packed(ME)}
    machine.count(IP(src="10.9.9.9", dst=PEER) / UDP(sport=40_000, dport=4444), outgoing=True)
    machine.count(IPv6(src="fd00::1", dst="fd00::2") / UDP(sport=40_000, dport=4444), outgoing=False)
    assert asked == []
    machine.count(IP(src=PEER, dst=ME) / UDP(sport=4444, dport=40_000), outgoing=False)
    machine.count(IP(src=PEER, dst="239.1.2.3") / UDP(sport=4444, dport=40_000), outgoing=False)
    assert [(local, port) for _, local, port, _, _ in asked] == [(packed(ME), 40_000), (packed("239.1.2.3"), 40_000)]


@pytest.mark.parametrize("own", [ME, "127.0.0.1", "fd00::1"])
def test_the_sweep_looks_for_whatever_may_be_this_machine_s(
    machine: Machine, connected: tuple[socket.socket, int, int], own: str
) -> None:
    _, client, server = connected
    machine.attribution.own_addresses = {packed(own)}
    slot = machine.count(loopback(client, server), outgoing=True)
    foreign = machine.count(IP(src="10.9.9.9", dst=PEER) / UDP(sport=40_000, dport=4444), outgoing=True)
    machine.attribution.sweep(1.0)
    assert machine.table.process[slot] is not None
    assert machine.table.process[foreign] is None


def test_listeners_are_known_and_udp_clients_are_none(machine: Machine) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket(type=socket.SOCK_DGRAM) as served,
        socket.socket(type=socket.SOCK_DGRAM) as client,
    ):
        served.bind(("127.0.0.1", 5_999))
        client.bind(("127.0.0.1", 0))
        machine.attribution.sweep(1.0, force=True)
        listening = set(machine.attribution.listening.tolist())
        assert 6 << 16 | listener.getsockname()[1] in listening
        assert 17 << 16 | 5_999 in listening
        assert 17 << 16 | client.getsockname()[1] not in listening


class Elsewhere(NetworkNamespaces):
    """This machine's own sockets, as if they were a container's with these addresses."""

    def __init__(self, diag: SocketDiag, addresses: tuple[bytes, ...]) -> None:
        super().__init__()
        self._diag, self._addresses = diag, addresses

    def refresh(self, now: float, own_addresses: Collection[bytes]) -> None:
        """Follows nothing."""

    def holding(self, address: bytes) -> list[SocketDiag]:
        return [self._diag] if address in self._addresses else []

    def every(self) -> list[SocketDiag]:
        return [self._diag]


class Nothing(SocketDiag):
    """A namespace without sockets."""

    def sockets(self, protocol: int, *, counters: bool = False) -> Iterator[Socket]:
        return iter(())

    def lookup(self, protocol: int, local: bytes, local_port: int, remote: bytes, remote_port: int) -> Socket | None:
        return None


def behind(machine: Machine, *addresses: str) -> SocketDiag:
    """Machine whose sockets are all in another namespace, which has these addresses; close what is returned."""
    diag, nothing = SocketDiag(), Nothing()
    elsewhere = Elsewhere(diag, tuple(packed(address) for address in addresses))
    machine.attribution = Attribution(
        machine.table, machine.names, machine.processes, nothing, first_ephemeral_port(), elsewhere
    )
    nothing.close()
    return diag


def test_a_container_s_connection_is_asked_for_where_its_address_is(
    machine: Machine, connected: tuple[socket.socket, int, int]
) -> None:
    _, client, server = connected
    diag = behind(machine, "127.0.0.1")
    machine.tap(loopback(client, server, "S"), outgoing=True)
    slot = machine.count(loopback(client, server, "S"), outgoing=True)
    diag.close()
    assert machine.table.process[slot] is not None


def test_a_container_s_connection_older_than_the_agent_is_found_by_the_sweep(
    machine: Machine, connected: tuple[socket.socket, int, int]
) -> None:
    _, client, server = connected
    diag = behind(machine, "127.0.0.1")
    slot = machine.count(loopback(client, server), outgoing=True)
    machine.attribution.sweep(1.0)
    diag.close()
    assert machine.table.process[slot] is not None


def test_behind_address_translation_port_and_peer_name_the_socket(
    machine: Machine, connected: tuple[socket.socket, int, int]
) -> None:
    _, client, server = connected
    diag = behind(machine)
    translated = IP(src=ME, dst="127.0.0.1") / TCP(sport=client, dport=server, flags="A")
    another = IP(src=ME, dst=PEER) / TCP(sport=client, dport=server, flags="A")
    slot, other = machine.count(translated, outgoing=True), machine.count(another, outgoing=True)
    machine.attribution.sweep(1.0)
    diag.close()
    assert machine.table.process[slot] is not None
    assert machine.table.process[other] is None


def test_without_inet_diag_processes_stay_unknown() -> None:
    machine = Machine(None)
    slot = machine.count(loopback(40_000, 80), outgoing=None)
    machine.attribution.sweep(1.0, force=True)
    machine.attribution.settle(1.0)
    assert machine.table.process[slot] is None


def test_the_clients_ports_begin_where_the_kernel_says() -> None:
    assert 1024 <= first_ephemeral_port() < 65_536

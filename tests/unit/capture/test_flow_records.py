"""Flow records: bytes in and out from this machine's side, one record a key, causes that add up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from netally.capture.dissector import TCP, UDP, Packet
from netally.capture.flow_records import UNKNOWN_APP, Records, make_records, split
from netally.capture.flow_table import FlowTable
from netally.capture.naming_rules import parse_rules
from netally.capture.packets import TCP_ACK, TCP_SYN, ColumnsBuilder
from netally.contracts.codes import Cause, DomainSource, ProcessSource, Role, Scope
from netally.contracts.flow import App, FlowRecord
from tests.builders import CURL, FIREFOX, packed

ME, PEER = packed("10.0.0.5"), packed("93.184.216.34")
LO, ETH = 1, 2
NOBODY_LISTENS = np.zeros(0, np.int64)


class Wire:
    """Packets of this machine into a table."""

    def __init__(self, limit: int = 200_000) -> None:
        self.table = FlowTable(limit)

    def send(self, *, back: bool = False, size: int = 100, at: int = ETH, **changes: Any) -> int:
        values: dict[str, Any] = {
            "protocol": TCP,
            "src": ME,
            "dst": PEER,
            "src_port": 40_000,
            "dst_port": 443,
            "tcp_flags": TCP_ACK,
        }
        values |= changes
        if back:
            values["src"], values["dst"] = values["dst"], values["src"]
            values["src_port"], values["dst_port"] = values["dst_port"], values["src_port"]
        packet = Packet(length=size, tcp_seq=0, payload=0, payload_end=0, **values)
        builder = ColumnsBuilder()
        builder.add(packet, length=size, time=1.0, interface=at, outgoing=None if at == LO else not back)
        self.table.observe(builder.take())
        return self.table.touch(packet, time=1.0, interface=at)

    def records(self, listening: Any = NOBODY_LISTENS) -> Records:
        return make_records(self.table, self.table.cut(2.0), listening, {LO}, {ME, packed("127.0.0.1")})


def only(records: Records) -> FlowRecord:
    assert len(records.records) == 1
    return records.records[0]


def test_other_naming_rules_name_what_is_known_already() -> None:
    wire = Wire()
    for port, name in ((443, "chrome"), (444, "chromium")):
        slot = wire.send(dst_port=port, size=60)
        wire.table.process[slot] = App(name, f"/usr/bin/{name}")
    assert {app.name for app in wire.records().apps} == {"", "chrome", "chromium"}
    wire.send(dst_port=443, size=60)
    wire.send(dst_port=444, size=60)
    cut = wire.table.cut(2.0)
    found = make_records(wire.table, cut, NOBODY_LISTENS, {LO}, {ME}, parse_rules("name=chrom* -> Browsers"))
    assert found.apps == [UNKNOWN_APP, App("Browsers")]
    assert [record.app for record in found.records] == [1, 1]


def test_a_client_s_connection() -> None:
    wire = Wire()
    slot = wire.send(tcp_flags=TCP_SYN, size=60)
    wire.send(back=True, size=1500)
    wire.send(back=True, size=1500)
    wire.table.set_name(slot, "example.org", DomainSource.TLS_SNI)
    wire.table.set_process(slot, CURL, ProcessSource.SOCK_DIAG)
    made = wire.records()
    assert only(made) == FlowRecord(
        app=1,
        domain=1,
        site=0,
        scope=Scope.INTERNET,
        protocol=6,
        server_port=443,
        role=Role.CLIENT,
        remote=PEER,
        bytes_in=3000,
        bytes_out=60,
        packets_in=2,
        packets_out=1,
        connections=1,
        domain_source=DomainSource.TLS_SNI,
        process_source=ProcessSource.SOCK_DIAG,
    )
    assert (made.apps[1], made.domains[1]) == (CURL, "example.org")
    assert made.causes == {(ETH, Cause.ATTRIBUTED): [3000, 60, 2, 1]}


def test_a_server_keeps_its_own_port() -> None:
    wire = Wire()
    wire.send(back=True, src_port=8080, dst_port=50_000, tcp_flags=TCP_SYN, size=60)
    wire.send(src_port=8080, dst_port=50_000, size=900)
    record = only(wire.records())
    assert (record.role, record.server_port) == (Role.SERVER, 8080)
    assert (record.bytes_in, record.bytes_out) == (60, 900)
    assert record.remote == PEER


def test_a_high_port_above_32767_stays_positive() -> None:
    wire = Wire()
    wire.send(src_port=40_000, dst_port=60_000, tcp_flags=TCP_SYN)
    assert only(wire.records()).server_port == 60_000


def test_a_known_listener_decides_when_no_syn_was_seen() -> None:
    wire = Wire()
    wire.send(src_port=50_000, dst_port=443)
    record = only(wire.records(np.array([TCP << 16 | 50_000])))
    assert (record.role, record.server_port) == (Role.SERVER, 50_000)


def test_connections_that_differ_in_the_client_s_port_are_one_record() -> None:
    wire = Wire()
    for port in (40_000, 40_001, 40_002):
        wire.send(src_port=port, tcp_flags=TCP_SYN, size=50)
    record = only(wire.records())
    assert (record.connections, record.bytes_out, record.packets_out) == (3, 150, 3)


def test_processes_are_told_apart() -> None:
    wire = Wire()
    for port, app in ((40_000, CURL), (40_001, FIREFOX), (40_002, CURL)):
        wire.table.set_process(wire.send(src_port=port), app, ProcessSource.SOCK_DIAG)
    made = wire.records()
    assert sorted((made.apps[row.app].name, row.bytes_out) for row in made.records) == [("curl", 200), ("firefox", 100)]


def test_loopback_is_seen_from_the_client_and_tallied_on_both_sides() -> None:
    wire = Wire()
    local = packed("127.0.0.1")
    wire.send(at=LO, src=local, dst=local, src_port=40_000, dst_port=5432, tcp_flags=TCP_SYN, size=60)
    wire.send(at=LO, src=local, dst=local, src_port=40_000, dst_port=5432, size=500, back=True)
    made = wire.records()
    record = only(made)
    assert (record.scope, record.role, record.server_port) == (Scope.LOOPBACK, Role.CLIENT, 5432)
    assert (record.bytes_in, record.bytes_out) == (500, 60)
    # Loopback's own counters show each packet as sent and as received.
    assert made.causes == {(LO, Cause.UNKNOWN): [560, 560, 2, 2]}


def test_own_address_reached_over_loopback_is_loopback() -> None:
    wire = Wire()
    wire.send(at=LO, src=ME, dst=ME, src_port=40_000, dst_port=80)
    assert only(wire.records()).scope == Scope.LOOPBACK


def test_causes() -> None:
    wire = Wire()
    named = wire.send(src_port=1001, size=1)
    owned = wire.send(src_port=1002, size=2)
    wire.send(src_port=1003, size=4)
    wire.send(protocol=1, src_port=0, dst_port=0, size=8)
    wire.send(src=packed("172.17.0.2"), src_port=1004, size=16)
    wire.send(protocol=UDP, dst=ME, src=packed("10.0.0.9"), back=True, src_port=5, dst_port=6, size=0)
    group = packed("224.0.0.251")
    builder = ColumnsBuilder()
    builder.add(
        Packet(UDP, packed("10.0.0.9"), group, 5353, 5353, 32, 0, 0, 0, 0),
        length=32,
        time=1.0,
        interface=ETH,
        outgoing=False,
    )
    wire.table.observe(builder.take())
    wire.table.set_name(named, "example.org", DomainSource.DNS)
    wire.table.set_process(owned, CURL, ProcessSource.SOCK_DIAG)
    causes = wire.records().causes
    assert {cause: sum(amounts[:2]) for (_, cause), amounts in causes.items()} == {
        Cause.NO_PROCESS: 1,
        Cause.NO_NAME: 2,
        Cause.UNKNOWN: 4 + 32,
        Cause.KERNEL: 8,
        Cause.FORWARDED: 16,
    }


@pytest.mark.parametrize(("nobody", "group"), [("0.0.0.0", "255.255.255.255"), ("::", "ff02::1:ff00:1")])
def test_who_has_no_address_yet_is_not_passed_on(nobody: str, group: str) -> None:
    wire = Wire()
    wire.send(src=packed(nobody), dst=packed(group), protocol=58, src_port=0, dst_port=0, size=72)
    assert [cause for _, cause in wire.records().causes] == [Cause.KERNEL]


def test_merged_flows_are_counted_without_names() -> None:
    wire = Wire(limit=64)
    for port in range(1, 201):
        wire.send(src_port=port, size=10)
    made = wire.records()
    assert sum(record.bytes_out for record in made.records) == 2000
    merged = next(record for record in made.records if record.role == Role.UNKNOWN)
    assert (merged.app, merged.domain, merged.remote, merged.server_port) == (0, 0, bytes(4), 0)
    assert sum(amounts[1] for amounts in made.causes.values()) == 2000


def test_nothing_gives_nothing() -> None:
    made = Wire().records()
    assert (made.records, made.causes) == ([], {})
    assert len(split(made)) == 1


def test_a_long_interval_is_split_with_tables_of_their_own() -> None:
    wire = Wire()
    for number in range(25):
        slot = wire.send(src_port=1000 + number, dst_port=2000 + number, tcp_flags=TCP_SYN, size=1)
        wire.table.set_name(slot, f"name{number}.example", DomainSource.TLS_SNI)
    made = wire.records()
    parts = split(made, limit=10)
    assert [len(part.records) for part in parts] == [10, 10, 5]
    names = {part.domains[record.domain] for part in parts for record in part.records}
    assert names == {f"name{number}.example" for number in range(25)}
    assert all(len(part.domains) <= 11 and part.domains[0] == "" for part in parts)

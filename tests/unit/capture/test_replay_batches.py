"""Batches of a capture: cut at multiples of moved times, every byte once, seen from the client, outside totals."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Packet

from netally.capture.replay import CaptureReader
from netally.capture.replay_batches import replay_batches
from netally.contracts.codes import DomainSource, Mode, Role, Scope
from netally.contracts.flow import MAX_RECORDS, FlowsObserved
from tests.captures import BEGIN, SECOND, make_client_hello, make_pcap, make_records

CLIENT, SERVER = "192.0.2.1", "198.51.100.2"
START = BEGIN // SECOND


def to_server(flags: str = "A", payload: bytes = b"", *, port: int = 5000, seq: int = 1) -> Packet:
    return IP(src=CLIENT, dst=SERVER) / TCP(sport=port, dport=443, flags=flags, seq=seq) / payload


def to_client(payload: bytes = b"", *, port: int = 5000) -> Packet:
    return IP(src=SERVER, dst=CLIENT) / TCP(sport=443, dport=port, flags="A") / payload


def batches(*timed: tuple[float, Packet], shift: float = 0.0, interval: int = 5) -> list[FlowsObserved]:
    frames = [(BEGIN + round(second * SECOND), bytes(packet), len(bytes(packet))) for second, packet in timed]
    reader = CaptureReader(io.BytesIO(make_pcap(frames, link_type=101)))
    cuts = replay_batches(reader, reader.names, host="replay-test", interval=interval, shift=shift)
    return [batch for parts in cuts for batch in parts]


def test_one_connection_from_its_clients_side() -> None:
    hello = make_records(make_client_hello("www.example"))
    (batch,) = batches((0, to_server("S", seq=0)), (0.1, to_server("PA", hello)), (0.2, to_client(b"x" * 100)))
    assert (batch.host, batch.start, batch.interval) == ("replay-test", START * 1000, 5)
    assert (batch.coverage.mode, batch.coverage.measured_ms, batch.tally) == (int(Mode.REPLAY), 5_000, [])
    (record,) = batch.records
    assert batch.domains[record.domain] == "www.example"
    assert record.domain_source == int(DomainSource.TLS_SNI)
    assert record.scope == int(Scope.REPLAY)
    assert (record.role, record.server_port) == (int(Role.CLIENT), 443)
    assert record.remote == bytes((198, 51, 100, 2))
    assert (record.bytes_in, record.packets_in) == (140, 1)
    assert (record.bytes_out, record.packets_out) == (80 + len(hello), 2)
    assert record.connections == 1


def test_times_are_moved_before_they_are_cut() -> None:
    packets = ((0, to_server()), (4.9, to_server()), (5.0, to_server()), (86_400, to_server()))
    assert [b.start // 1000 - START for b in batches(*packets)] == [0, 5, 86_400]
    moved = batches(*packets, shift=1_000_003)
    assert [b.start // 1000 - START for b in moved] == [1_000_000, 1_000_005, 1_086_400]
    assert [sum(r.packets_out for r in b.records) for b in moved] == [1, 2, 1]


def test_a_packet_out_of_order_counts_in_the_interval_under_way() -> None:
    result = batches((0, to_server()), (10, to_server()), (3, to_server()))
    assert [(b.start // 1000 - START, sum(r.packets_out for r in b.records)) for b in result] == [(0, 1), (10, 2)]


def test_a_name_found_early_stays_for_the_whole_connection() -> None:
    hello = make_records(make_client_hello("long.example"))
    result = batches((0, to_server("PA", hello)), (7_200, to_client(b"x")), (7_201, to_server()))
    assert [[b.domains[r.domain] for r in b.records] for b in result] == [["long.example"]] * 2


def test_many_flows_go_into_parts() -> None:
    packets = [
        (0.0, IP(src=CLIENT, dst=f"198.51.{index // 250}.{index % 250}") / UDP(sport=9, dport=8))
        for index in range(2_500)
    ]
    result = batches(*packets)
    assert [(b.coverage.part, b.coverage.parts, len(b.records)) for b in result] == [(0, 2, MAX_RECORDS), (1, 2, 500)]


def test_a_header_that_lies_about_its_length_is_not_believed() -> None:
    lie = IP(src=CLIENT, dst=SERVER, len=65_000) / UDP(sport=1, dport=2) / bytes(10)
    assert [record.bytes_out for record in batches((0, lie))[0].records] == [38]


def test_an_empty_capture_gives_nothing() -> None:
    assert batches() == []


@given(
    st.lists(
        st.tuples(st.floats(0, 60), st.integers(1, 4), st.booleans(), st.integers(0, 1_000)), min_size=1, max_size=40
    ),
    st.sampled_from([1, 5, 60]),
)
def test_every_byte_is_in_exactly_one_record(packets: list[tuple[float, int, bool, int]], interval: int) -> None:
    timed = [
        (second, to_server("A", bytes(size), port=port) if up else to_client(bytes(size), port=port))
        for second, port, up, size in packets
    ]
    records = [record for batch in batches(*timed, interval=interval) for record in batch.records]
    assert sum(record.bytes_in + record.bytes_out for record in records) == sum(40 + size for *_, size in packets)
    assert sum(record.packets_in + record.packets_out for record in records) == len(packets)

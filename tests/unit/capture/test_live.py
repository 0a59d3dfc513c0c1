"""The live sample: the last second's totals and movers, with names as far as they are known by then."""

from __future__ import annotations

import numpy as np

from netally.capture.dissector import Packet
from netally.capture.flow_table import FlowTable
from netally.capture.live import MOVERS, take_sample
from netally.capture.packets import ColumnsBuilder
from netally.contracts.agent import LiveFlow, LiveSample
from tests.builders import CURL, packed

ME, PEER = packed("10.0.0.5"), packed("93.184.216.34")


def send(table: FlowTable, port: int, size: int, *, interface: int = 2, peer: bytes = PEER) -> int:
    packet = Packet(6, ME, peer, port, 443, size, 0, 0, 0, 0)
    builder = ColumnsBuilder()
    builder.add(packet, length=size, time=1.0, interface=interface, outgoing=interface == 2 or None)
    table.observe(builder.take())
    return table.touch(packet, time=1.0, interface=interface)


def sample(table: FlowTable) -> LiveSample:
    return take_sample(table, np.zeros(0, np.int64), {1}, host="box", time_ms=5_000, span_ms=1_000)


def test_movers_have_names_and_are_summed_over_connections() -> None:
    table = FlowTable()
    for port in (40_000, 40_001):
        slot = send(table, port, 500)
        table.set_process(slot, CURL, 2)
        table.set_name(slot, "example.org", 2)
    send(table, 40_002, 200)
    got = sample(table)
    assert (got.bytes_in, got.bytes_out, got.packets_in, got.packets_out) == (0, 1200, 0, 3)
    assert got.flows == [
        LiveFlow("curl", "example.org", "93.184.216.34", 0, 1000),
        LiveFlow("", "", "93.184.216.34", 0, 200),
    ]


def test_loopback_is_left_out() -> None:
    table = FlowTable()
    send(table, 40_000, 500, interface=1)
    assert sample(table) == LiveSample("box", 5_000, 1_000, 0, 0, 0, 0, [])


def test_each_second_counts_once_also_across_a_cut() -> None:
    table = FlowTable()
    send(table, 40_000, 500)
    table.cut(1.5)
    assert sample(table).bytes_out == 500
    assert sample(table).bytes_out == 0


def test_the_largest_are_kept_the_totals_are_of_all() -> None:
    table = FlowTable()
    for number in range(3 * MOVERS):
        send(table, 40_000, 100 + number, peer=bytes((93, 0, number >> 8, number & 0xFF)))
    got = sample(table)
    assert len(got.flows) == MOVERS
    assert [flow.bytes_out for flow in got.flows] == [
        100 + number for number in reversed(range(2 * MOVERS, 3 * MOVERS))
    ]
    assert got.bytes_out == sum(100 + number for number in range(3 * MOVERS))

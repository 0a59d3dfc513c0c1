"""Frames of a recorded capture, as scapy's BPF socket hands them over."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netally.capture.attribution import Attribution, first_ephemeral_port
from netally.capture.capture_file import CaptureFile
from netally.capture.flow_names import FlowNames
from netally.capture.flow_table import FlowTable
from netally.capture.interfaces import Interface, InterfaceCounters
from netally.capture.link_layer import ETHERNET, NULL
from netally.capture.macos.frames import FrameSource
from netally.capture.macos.sockets import ListedProcesses
from netally.capture.replay import CaptureReader, read_flows

DATA = Path(__file__).parents[3] / "data"


class Recorded:
    """A BPF socket with these frames, then none. Drops come to light at the end."""

    def __init__(self, frames: list[bytes]) -> None:
        self._frames = iter(frames)
        self._end, self._other = os.pipe()
        self.dropped = 0

    def fileno(self) -> int:
        return self._end

    def recv_raw(self) -> tuple[Any, bytes | None, float | None]:
        frame = next(self._frames, None)
        return None, frame, None if frame is None else 1.5

    def get_stats(self) -> tuple[int | None, int | None]:
        return 0, self.dropped

    def close(self) -> None:
        if self._end >= 0:
            os.close(self._end)
            os.close(self._other)
        self._end = -1


@pytest.fixture
def table() -> FlowTable:
    return FlowTable()


@pytest.fixture
def attribution(table: FlowTable) -> Attribution:
    return Attribution(table, FlowNames(), ListedProcesses(), None, first_ephemeral_port())


def interface(*, loopback: bool = False) -> Interface:
    return Interface(
        ifindex=4, name="lo0" if loopback else "en0", kind="", up=True, loopback=loopback, ethernet=not loopback,
        link=0, master=0, addresses=(), has_global=True, counters=InterfaceCounters(0, 0, 0, 0),
    )  # fmt: skip


def frames_of(name: str) -> list[bytes]:
    with (DATA / name).open("rb") as stream:
        return [frame.data for frame in CaptureFile(stream)]


def flows_of(name: str) -> Iterator[tuple[str | None, int]]:
    with (DATA / name).open("rb") as stream:
        for line in read_flows(CaptureReader(stream)):
            yield line.domain, line.c2s_packets + line.s2c_packets


@pytest.mark.parametrize(
    ("name", "link_type"),
    [("http-and-late-tls.pcap", ETHERNET), ("tls-split.pcap", ETHERNET), ("link-null.pcap", NULL)],
)
async def test_recorded_frames_become_the_flows_that_replay_finds(
    table: FlowTable, attribution: Attribution, name: str, link_type: int
) -> None:
    socket = Recorded(frames_of(name))
    source = FrameSource(interface(loopback=link_type == NULL), table, attribution, lambda: 2.0, socket, link_type)
    try:
        source.read()
    finally:
        source.close()
    cut = table.cut(2.0)
    counted = sorted(
        (str(table.name[slot]), int(row[2] + row[3]))
        for slot, row in zip(cut.slots.tolist(), cut.counters, strict=True)
    )
    assert counted == sorted((str(domain), packets) for domain, packets in flows_of(name))
    assert not source.is_bound()


async def test_what_left_this_machine_is_told_by_its_address(table: FlowTable, attribution: Attribution) -> None:
    frame = frames_of("tls-split.pcap")[0]
    attribution.own_addresses = {frame[26:30]}
    source = FrameSource(interface(), table, attribution, lambda: 2.0, Recorded([frame]), ETHERNET)
    source.read()
    source.close()
    assert attribution.view(table.slots.tolist()[0]).local == frame[26:30]


async def test_frames_without_ip_and_lost_ones_are_told_once(table: FlowTable, attribution: Attribution) -> None:
    arp = bytes(12) + b"\x08\x06" + bytes(28)
    socket = Recorded([arp, arp[:10]])
    source = FrameSource(interface(), table, attribution, lambda: 2.0, socket, ETHERNET)
    source.read()
    socket.dropped = 3
    odd = source.take_odd()
    assert (odd.not_ip_packets, odd.not_ip_bytes, odd.drops) == ((2, 0), (28, 0), 3)
    assert source.take_odd().drops == 0
    assert source.drops == 3
    source.close()


async def test_a_paused_source_throws_frames_away(table: FlowTable, attribution: Attribution) -> None:
    source = FrameSource(interface(), table, attribution, lambda: 2.0, Recorded(frames_of("dns-names.pcap")), ETHERNET)
    source.pause(paused=True)
    source.read()
    source.close()
    assert len(table) == 0

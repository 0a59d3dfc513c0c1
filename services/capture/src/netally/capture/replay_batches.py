"""A capture's packets in, the batches of an agent that had seen them out. Pure; the same table and records as live.

Every flow is seen from its client's side: a file does not tell which machine wrote it. All records are of scope
``replay``, so that they stay outside totals.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
import numpy as np

from netally.capture.flow_names import FlowNames
from netally.capture.flow_records import make_records, split
from netally.capture.flow_table import FlowTable
from netally.capture.packets import ColumnsBuilder
from netally.capture.replay import BATCH, CapturedPacket, NameBook
from netally.contracts.codes import Mode, Scope
from netally.contracts.flow import BATCH_VERSION, Coverage, FlowsObserved

_NO_LISTENERS = np.zeros(0, np.int64)


def replay_batches(
    packets: Iterable[CapturedPacket],
    names: FlowNames,
    *,
    host: str,
    interval: int,
    shift: float,
    flow_limit: int = 200_000,
) -> Iterator[list[FlowsObserved]]:
    """The batches of each interval with traffic, ``shift`` seconds later than captured; epoch and sequence left open.

    A packet older than the interval under way (files of several interfaces are not always in order) counts in it.
    """
    table = FlowTable(flow_limit)
    book = NameBook(names)
    columns = ColumnsBuilder()
    start = None
    for captured in packets:
        time = captured.time + shift
        if start is None or time >= start + interval:
            if start is not None:
                table.observe(columns.take())
                yield _cut(table, book, host, start, interval)
            start = int(time // interval) * interval
        packet = captured.packet
        # No IP packet is longer than its frame, whatever its header claims.
        length = min(packet.length, captured.frame.length)
        words = columns.add(packet, length=length, time=time, interface=packet.vlan)
        book.note(words, captured)
        if len(columns) >= BATCH:
            table.observe(columns.take())
    if start is not None:
        table.observe(columns.take())
        yield _cut(table, book, host, start, interval)


def _cut(table: FlowTable, book: NameBook, host: str, start: int, interval: int) -> list[FlowsObserved]:
    end = float(start + interval)
    cut = table.cut(end)
    for slot in cut.slots.tolist():
        name = book.name(tuple(table.words[slot].tolist()))
        if name is not None:
            table.set_name(slot, name.domain, int(name.source))
    records = make_records(table, cut, _NO_LISTENERS, (), ())
    table.forget_idle(end)
    parts = split(records)
    return [
        FlowsObserved(
            version=BATCH_VERSION,
            host=host,
            epoch="",
            sequence=0,
            start=start * 1000,
            interval=interval,
            apps=part.apps,
            domains=part.domains,
            records=[msgspec.structs.replace(record, scope=int(Scope.REPLAY)) for record in part.records],
            coverage=Coverage(int(Mode.REPLAY), interval * 1000, number, len(parts)),
            tally=[],
        )
        for number, part in enumerate(parts)
    ]

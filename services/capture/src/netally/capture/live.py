"""The last second as one live sample: totals and the largest movers. Pure but for reading the flow table."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import numpy as np
from numpy.typing import NDArray

from netally.capture.flow_records import see
from netally.capture.flow_table import FlowTable
from netally.capture.interfaces import address_text
from netally.capture.naming_rules import Rename, as_found
from netally.capture.packets import address_bytes
from netally.contracts.agent import LiveFlow, LiveSample

MOVERS: Final = 50


def take_sample(
    table: FlowTable,
    listening: NDArray[np.int64],
    loopbacks: Collection[int],
    *,
    host: str,
    time_ms: int,
    span_ms: int,
    rename: Rename = as_found,
) -> LiveSample:
    """What was counted since the last call. Loopback is outside totals and movers."""
    slots, counters = table.take_second()
    seen = see(table, slots, counters, listening, loopbacks)
    counts = ~seen.loopback
    totals = seen.amounts[counts].sum(axis=0, dtype=np.int64).tolist()
    rows = np.flatnonzero(counts)
    volume = seen.amounts[rows, 0] + seen.amounts[rows, 1]
    # More than are wanted: several connections may be one mover.
    largest = rows[np.argsort(-volume, kind="stable")[: 4 * MOVERS]]
    movers: dict[tuple[str, str, str], list[int]] = {}
    for row in largest.tolist():
        slot = int(slots[row])
        app = table.process[slot]
        remote = address_bytes(int(seen.remote[row, 0]), int(seen.remote[row, 1]), int(seen.family[row]))
        key = (rename(app).name if app is not None else "", table.name[slot] or "", address_text(remote))
        sums = movers.setdefault(key, [0, 0])
        sums[0] += int(seen.amounts[row, 0])
        sums[1] += int(seen.amounts[row, 1])
    flows = [LiveFlow(*key, *sums) for key, sums in movers.items()]
    flows.sort(key=lambda flow: flow.bytes_in + flow.bytes_out, reverse=True)
    return LiveSample(host, time_ms, span_ms, totals[0], totals[1], totals[2], totals[3], flows[:MOVERS])

"""Exactly once: which sequences of an agent's epoch are committed, and until when its figures are complete. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

PATIENCE_MS = 10 * 60 * 1000
"""How long a hole may keep `complete_until` back. Far above any redelivery: what is still missing then was lost (an
agent's full spool, a dead letter). The hole stays open for a late batch all the same."""
MAX_RUNS = 1_000
"""Most holes kept of an epoch. Beyond, the oldest hole is closed: what would fill it counts as a duplicate."""


class Run(NamedTuple):
    """Consecutive committed sequences above a hole."""

    first: int
    last: int
    end: int | None
    """End of the last interval whose last part is in the run, epoch milliseconds."""
    since: int
    """When the hole below was first seen, epoch milliseconds."""


class Ledger(NamedTuple):
    """State of one (host, epoch)."""

    low_water: int = 0
    """Everything up to here is committed."""
    complete_until: int | None = None
    """End of the last interval up to which every part is committed or given up, epoch milliseconds."""
    runs: tuple[Run, ...] = ()
    """What is committed above the first hole, in order, never touching each other or the low water."""


class Arrival(NamedTuple):
    sequence: int
    end: int | None
    """End of its interval when it is the last part, else None."""


def apply(ledger: Ledger, arrivals: Sequence[Arrival], now: int) -> tuple[Ledger, list[bool]]:
    """State after ``arrivals``, and for each whether it is new (else a duplicate, within the call as well)."""
    low, complete, runs = ledger.low_water, ledger.complete_until, list(ledger.runs)
    new = []
    for sequence, end in arrivals:
        place = bisect_right(runs, sequence, key=lambda run: run.first)
        if sequence <= low or (place and sequence <= runs[place - 1].last):
            new.append(False)
            continue
        new.append(True)
        below = runs[place - 1] if place and runs[place - 1].last == sequence - 1 else None
        above = runs[place] if place < len(runs) and runs[place].first == sequence + 1 else None
        if below is None and above is None:
            merged = Run(sequence, sequence, end, now)
        elif below is None and above is not None:
            merged = Run(sequence, above.last, _later(end, above.end), above.since)
        elif below is not None and above is None:
            merged = Run(below.first, sequence, _later(below.end, end), below.since)
        else:
            assert below is not None and above is not None  # noqa: S101, PT018  (for the type checker)
            merged = Run(below.first, above.last, _later(_later(below.end, end), above.end), below.since)
        runs[place - (below is not None) : place + (above is not None)] = [merged]
        if runs[0].first == low + 1:
            absorbed = runs.pop(0)
            low, complete = absorbed.last, _later(complete, absorbed.end)
    while len(runs) > MAX_RUNS:
        given_up = runs.pop(0)
        low, complete = given_up.last, _later(complete, given_up.end)
    for run in runs:
        if now - run.since < PATIENCE_MS:
            break
        complete = _later(complete, run.end)
    return Ledger(low, complete, tuple(runs)), new


def _later(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)

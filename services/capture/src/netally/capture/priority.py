"""When the agent gets its turn: before ordinary programs, as long as it needs little time.

Who opened a connection can be asked only while the socket lives, which may be a millisecond; on a busy machine the
agent would wait longer than that for a processor. SCHED_RR (sched(7)) lets it go first. So that it can never be what
keeps others waiting, it steps back to ordinary scheduling for as long as it needs more than `SHARE` of a core.
"""

from __future__ import annotations

import contextlib
import os
import resource
import time
from collections.abc import Callable
from typing import Final

SHARE: Final = 0.25
_LEVEL: Final = 1
"""The least of the levels: whatever else runs in real time goes before."""


class Priority:
    """Of this process. Does nothing where the system refuses (no CAP_SYS_NICE) or has no such thing (macOS)."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, spent: Callable[[], float] = time.process_time
    ) -> None:
        self._clock = clock
        self._spent = spent
        self._clock_before, self._spent_before = clock(), spent()
        self.first = False
        """Whether this process goes before ordinary ones."""

    def begin(self) -> None:
        """Go first from now on, if that is allowed."""
        # Lets it step forward again after privileges are given up.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            resource.setrlimit(resource.RLIMIT_RTPRIO, (_LEVEL, _LEVEL))
        self._clock_before, self._spent_before = self._clock(), self._spent()
        self._go(first=True)

    def adjust(self) -> None:
        """Once in a while: step back after much work, forward after little; threads begun meanwhile come along."""
        clock, spent = self._clock(), self._spent()
        share = (spent - self._spent_before) / max(clock - self._clock_before, 1e-3)
        self._clock_before, self._spent_before = clock, spent
        self._go(first=share <= SHARE)

    def end(self) -> None:
        """Be as ordinary as others."""
        self._go(first=False)

    def _go(self, *, first: bool) -> None:
        if not hasattr(os, "sched_setscheduler"):
            return
        # What this process starts is ordinary.
        policy = os.SCHED_RR | os.SCHED_RESET_ON_FORK if first else os.SCHED_OTHER
        level = os.sched_param(_LEVEL if first else 0)
        # All threads: one that waits for a processor while it holds the interpreter keeps the others waiting too.
        for thread in os.listdir("/proc/self/task"):  # noqa: PTH208
            with contextlib.suppress(OSError):
                os.sched_setscheduler(int(thread), policy, level)
                self.first = first

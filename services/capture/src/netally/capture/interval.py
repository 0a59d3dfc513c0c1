"""When intervals begin and end: at wall-clock multiples, with lengths measured by the monotonic clock. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

STEP: Final = 1.0
"""Seconds that wall and monotonic clock may part before it counts as a clock step."""


class Interval(NamedTuple):
    """An interval under way."""

    start: int
    """Epoch seconds, a multiple of ``length``."""
    length: int
    began: float
    """Monotonic time at which measuring began, later than ``start`` for the first interval."""
    ends: float
    """Monotonic time at which it ends."""

    @property
    def end(self) -> int:
        """Epoch seconds."""
        return self.start + self.length

    def measured_ms(self, monotonic: float) -> int:
        """Milliseconds measured up to now, at most the interval."""
        return round(min(max(monotonic - self.began, 0.0), self.length) * 1000)

    def stepped(self, wall: float, monotonic: float) -> bool:
        """Whether the wall clock was set (or the machine slept) since the interval began."""
        return abs(self.drift(wall, monotonic)) > STEP

    def drift(self, wall: float, monotonic: float) -> float:
        """Seconds that the wall clock is ahead of the monotonic one since the interval began."""
        return (wall - self.end) - (monotonic - self.ends)


def interval_at(wall: float, monotonic: float, length: int) -> Interval:
    """The interval that the moment lies in."""
    start = int(wall // length) * length
    return Interval(start, length, monotonic, monotonic + (start + length - wall))


def following(interval: Interval, wall: float, monotonic: float) -> Interval:
    """The next interval, without a gap unless the clock was set.

    Woken a moment before the end by the wall clock, it is the next interval all the same.
    """
    if interval.stepped(wall, monotonic):
        return interval_at(wall, monotonic, interval.length)
    return Interval(interval.end, interval.length, interval.ends, interval.ends + interval.length)

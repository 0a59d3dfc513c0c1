"""The tiers of history, their relations, and the arithmetic of their buckets. Times are epoch milliseconds.

``raw`` is what agents sent; ``1m``, ``1h`` and ``1d`` are sums over minutes, hours (UTC) and days (of the deployment's
time zone), each computed from the one below.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class Tier(msgspec.Struct, frozen=True):
    name: str
    below: str
    """The tier it is computed from."""
    relations: tuple[str, ...]
    """In the order in which they are refreshed: each after those it reads."""
    settle: int
    """How long after its end a bucket is stored, so that what usually comes late is in it at once."""
    slice: int
    """Longest range refreshed in one transaction."""


RAW = ("flow", "tally", "coverage", "tab_activity")
TIERS = (
    Tier("1m", "raw", ("flow_1m", "coverage_1m", "tally_1m", "tab_activity_1m"), 20 * SECOND, 6 * HOUR),
    Tier("1h", "1m", ("flow_1h", "traffic_1h", "coverage_1h", "tally_1h", "tab_activity_1h"), 2 * MINUTE, 2 * DAY),
    Tier("1d", "1h", ("flow_1d", "traffic_1d", "coverage_1d", "tally_1d", "tab_activity_1d"), 10 * MINUTE, 32 * DAY),
)
NAMES = ("raw", *(tier.name for tier in TIERS))
ABOVE = {tier.below: tier for tier in TIERS}


def find(name: str) -> Tier:
    """The rollup tier of that name. Raises ValueError in plain words."""
    for tier in TIERS:
        if tier.name == name:
            return tier
    raise ValueError(f"there is no rollup {name!r}; there are {', '.join(tier.name for tier in TIERS)}")


def floor(time: int, tier: str, zone: ZoneInfo) -> int:
    """Start of the tier's bucket that holds the time."""
    if tier == "1d":
        local = datetime.fromtimestamp(time / SECOND, zone)
        return int(datetime(local.year, local.month, local.day, tzinfo=zone).timestamp()) * SECOND
    width = HOUR if tier == "1h" else MINUTE
    return time // width * width


def following(bucket: int, tier: str, zone: ZoneInfo) -> int:
    """Start of the next bucket. A day has 23 to 25 hours."""
    if tier == "1d":
        local = datetime.fromtimestamp(bucket / SECOND, zone).date() + timedelta(days=1)
        return int(datetime(local.year, local.month, local.day, tzinfo=zone).timestamp()) * SECOND
    return bucket + (HOUR if tier == "1h" else MINUTE)


def ceiling(time: int, tier: str, zone: ZoneInfo) -> int:
    """Start of the first bucket that begins at the time or later."""
    start = floor(time, tier, zone)
    return start if start == time else following(start, tier, zone)


def ranges(buckets: Iterable[int], tier: str, zone: ZoneInfo) -> Iterator[tuple[int, int]]:
    """Buckets as ranges ``[start, end)`` without overlap, ascending; neighbours are joined."""
    start = end = None
    for bucket in sorted(set(buckets)):
        if end is None or bucket > end:
            if start is not None and end is not None:
                yield start, end
            start = bucket
        end = following(bucket, tier, zone)
    if start is not None and end is not None:
        yield start, end


def slices(start: int, end: int, tier: Tier, zone: ZoneInfo) -> Iterator[tuple[int, int]]:
    """A range cut at bucket bounds into pieces of at most the tier's ``slice``, ascending."""
    while start < end:
        cut = min(end, max(floor(start + tier.slice, tier.name, zone), following(start, tier.name, zone)))
        yield start, cut
        start = cut


def covering(start: int, end: int, tier: str, zone: ZoneInfo) -> list[int]:
    """Starts of the tier's buckets that overlap ``[start, end)``."""
    found = []
    bucket = floor(start, tier, zone)
    while bucket < end:
        found.append(bucket)
        bucket = following(bucket, tier, zone)
    return found

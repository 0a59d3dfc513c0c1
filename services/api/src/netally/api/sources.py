"""How processes and names were found, which raw flows alone tell."""

from __future__ import annotations

from netally.api import ranges
from netally.api.reading import Reading
from netally.contracts.codes import DomainSource, ProcessSource
from netally.contracts.queries import SourceShare

_LONGEST_MS = 2 * ranges.HOUR_MS
"""Of a longer range the last part is looked at: raw flows are many."""


async def read_sources(
    reading: Reading,
    span: ranges.TimeRange,
    *,
    of_process: bool,
    apps: list[int] | None = None,
    domains: list[int] | None = None,
) -> tuple[list[SourceShare], int | None]:
    """Bytes by source, most first, and from when on they were looked up; none where raw flows are gone."""
    end = min(span.end, max(reading.now, span.start + 1))
    start = max(span.start, end - _LONGEST_MS)
    if not reading.stored.holds("raw", start):
        return [], None
    raw = reading.snapped(start, end, "raw")
    rows = await reading.rows("sources", reading.counted(raw, apps=apps, domains=domains))
    words = ProcessSource.labels() if of_process else DomainSource.labels()
    found = [
        SourceShare(source=words.get(row["source"], str(row["source"])), bytes=row["bytes"])
        for row in rows
        if row["is_process"] == of_process
    ]
    return found, raw.start

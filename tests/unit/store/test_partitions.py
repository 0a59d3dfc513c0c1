"""Days of times."""

from __future__ import annotations

from netally.store.partitions import DAY_MS, days_of


def test_a_day_begins_at_midnight_utc() -> None:
    assert days_of([0, DAY_MS - 1]) == {0}
    assert days_of([DAY_MS]) == {1}
    assert days_of([]) == set()

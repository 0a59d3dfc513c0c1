"""The ages that a setting of raw's age leads to."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from netally.aggregator.maintenance import ages_with_raw
from netally.store.retention import Ages, check


def test_the_default_is_the_default() -> None:
    assert ages_with_raw(7) == Ages()


@pytest.mark.parametrize("days", [7, 30, 31, 400])
def test_longer_raw_makes_the_others_long_enough(days: int) -> None:
    with capture_logs() as logs:
        check(ages_with_raw(days), spool_days=5)
    assert logs == []


def test_raw_shorter_than_the_spools_is_said() -> None:
    with capture_logs() as logs:
        assert ages_with_raw(3).raw == 3
    assert "keep raw for more than 6 days" in logs[0]["reason"]

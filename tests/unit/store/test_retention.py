"""Ages: which contradict each other, what they cost, and which fit into a size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netally.store.retention import FOR_EVER_DAYS, GIGABYTE, Ages, ages_within, check, costs, oldest_accepted
from netally.store.tiers import DAY

RATES = {"raw": 10**9, "1m": 10**8, "1h": 10**7, "1d": 10**5}


def test_the_defaults_agree_with_the_agents_spools() -> None:
    ages = Ages()
    check(ages, spool_days=5)
    assert (ages.raw, ages.minutes, ages.hours, ages.days) == (7, 30, 365, None)


@pytest.mark.parametrize(
    ("ages", "spool", "reason"),
    [
        (Ages(raw=1), 0, "at least 2 days"),
        (Ages(raw=6), 5, "keep raw for more than 6 days"),
        (Ages(raw=7), 7.5, "such an agent would lose them"),
        (Ages(raw=40, minutes=30), 5, "1m must be kept at least as long as raw"),
        (Ages(minutes=60, hours=59), 5, "1h must be kept for at least 60 days"),
        (Ages(raw=30, minutes=30, hours=31), 5, "1h must be kept for at least 32 days"),
        (Ages(days=300), 5, "1d must be kept at least as long as 1h"),
    ],
)
def test_contradictions_are_explained(ages: Ages, spool: float, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check(ages, spool)


def test_what_raw_will_drop_tomorrow_is_no_longer_accepted() -> None:
    assert oldest_accepted(Ages(raw=7), 100 * DAY) == 94 * DAY


def test_costs_are_rate_times_age_and_for_ever_is_ten_years() -> None:
    found = {cost.tier: cost.bytes for cost in costs(Ages(), RATES)}
    assert found == {"raw": 7 * 10**9, "1m": 30 * 10**8, "1h": 365 * 10**7, "1d": FOR_EVER_DAYS * 10**5}


@given(st.integers(9 * GIGABYTE, 1_000 * GIGABYTE))
def test_ages_for_a_size_fit_and_are_the_longest(budget: int) -> None:
    ages = ages_within(budget, RATES, spool_days=5)
    check(ages, spool_days=5)
    assert sum(cost.bytes for cost in costs(ages, RATES)) <= budget
    if ages.raw < 70:
        more = Ages(ages.raw + 1, ages.minutes + 5, ages.hours + 60)
        assert sum(cost.bytes for cost in costs(more, RATES)) > budget


def test_a_size_that_holds_no_history_is_refused() -> None:
    with pytest.raises(ValueError, match="even the shortest history"):
        ages_within(GIGABYTE, RATES, spool_days=5)

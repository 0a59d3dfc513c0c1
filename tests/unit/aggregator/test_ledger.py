"""Each sequence is new once, whatever the order and however often it comes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netally.aggregator.ledger import MAX_RUNS, PATIENCE_MS, Arrival, Ledger, Run, apply

NOW = 1_000_000_000


def arrive(ledger: Ledger, *sequences: int, now: int = NOW) -> Ledger:
    """After batches each of which is a whole interval of 5 s: sequence 1 ends at 5,000."""
    return apply(ledger, [Arrival(sequence, sequence * 5_000) for sequence in sequences], now)[0]


deliveries = st.lists(st.lists(st.integers(1, 30), max_size=8), max_size=20)


@given(deliveries)
def test_each_sequence_is_new_exactly_once(groups: list[list[int]]) -> None:
    ledger, taken = Ledger(), []
    for group in groups:
        ledger, new = apply(ledger, [Arrival(sequence, None) for sequence in group], NOW)
        taken += [sequence for sequence, is_new in zip(group, new, strict=True) if is_new]
    assert sorted(taken) == sorted({sequence for group in groups for sequence in group})


@given(deliveries)
def test_the_state_says_just_what_arrived(groups: list[list[int]]) -> None:
    ledger = Ledger()
    for group in groups:
        ledger = arrive(ledger, *group)
    kept = set(range(1, ledger.low_water + 1))
    for run in ledger.runs:
        kept |= set(range(run.first, run.last + 1))
    assert kept == {sequence for group in groups for sequence in group}


@given(deliveries)
def test_runs_are_in_order_and_never_touch(groups: list[list[int]]) -> None:
    ledger = Ledger()
    for group in groups:
        ledger = arrive(ledger, *group)
        edges = [ledger.low_water, *(edge for run in ledger.runs for edge in (run.first, run.last))]
        assert all(run.first <= run.last for run in ledger.runs)
        assert all(one + 1 < other for one, other in zip(edges[::2], edges[1::2], strict=False))


@given(deliveries)
def test_complete_is_the_end_of_what_came_without_a_hole(groups: list[list[int]]) -> None:
    ledger = Ledger()
    for group in groups:
        ledger = arrive(ledger, *group)
    assert ledger.complete_until == (ledger.low_water * 5_000 or None)


def test_in_order_it_stays_one_number() -> None:
    assert arrive(Ledger(), *range(1, 101)) == Ledger(100, 500_000, ())


def test_an_interval_in_parts_is_complete_with_its_last_part() -> None:
    ledger, _ = apply(Ledger(), [Arrival(1, 5_000), Arrival(2, None)], NOW)
    assert ledger.complete_until == 5_000
    ledger, _ = apply(ledger, [Arrival(3, 10_000)], NOW)
    assert ledger.complete_until == 10_000


def test_a_filled_hole_closes() -> None:
    ledger = arrive(Ledger(), 1, 2, 4, 5)
    assert ledger == Ledger(2, 10_000, (Run(4, 5, 25_000, NOW),))
    assert arrive(ledger, 3) == Ledger(5, 25_000, ())


def test_a_hole_holds_completeness_back_only_so_long() -> None:
    ledger = arrive(Ledger(), 1, 3)
    assert arrive(ledger, 4, now=NOW + PATIENCE_MS - 1).complete_until == 5_000
    later = arrive(ledger, 4, now=NOW + PATIENCE_MS)
    assert later.complete_until == 20_000
    # The batch is welcome all the same.
    assert apply(later, [Arrival(2, 10_000)], NOW + PATIENCE_MS)[1] == [True]


def test_a_hole_grows_no_younger_while_its_run_grows() -> None:
    ledger = arrive(Ledger(), 1, 10, now=NOW)
    ledger = arrive(ledger, 11, 9, now=NOW + 60_000)
    assert ledger.runs == (Run(9, 11, 55_000, NOW),)


def test_holes_without_number_are_bounded_from_the_oldest_on() -> None:
    ledger = arrive(Ledger(), *range(2, 2 * (MAX_RUNS + 6), 2))
    assert len(ledger.runs) == MAX_RUNS
    assert ledger.low_water == 10
    assert apply(ledger, [Arrival(9, None)], NOW)[1] == [False]

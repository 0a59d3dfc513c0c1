from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from netally.contracts.codes import Cause
from netally.contracts.queries import CauseSum
from netally.web.conservation import CAUSES, GROUPS, conservation, slices
from netally.web.figures import NBSP


def causes(**sizes: int) -> list[CauseSum]:
    return [CauseSum(name, size, 0, 0, 0) for name, size in sizes.items()]


def test_every_cause_of_the_vocabulary_has_its_words() -> None:
    assert set(CAUSES) == set(Cause.labels().values())
    assert {group for group, _ in CAUSES.values()} == set(GROUPS)


def test_shares_amounts_and_the_sum() -> None:
    drawn = conservation(causes(attributed=948_300_000, no_process=33_200_000, unknown=30_600_000, lost_ring=500_000))
    assert drawn is not None
    plain = [(group.mark, group.share.replace(NBSP, " "), group.amount.replace(NBSP, " ")) for group in drawn.groups]
    assert plain == [
        ("plain", "93.65 %", "948.3 MB"),
        ("bare", "3.28 %", "33.2 MB"),
        ("anon", "3.02 %", "30.6 MB"),
        ("lost", "0.05 %", "500.0 kB"),
    ]
    assert drawn.sum_words.replace(NBSP, " ").endswith("= 948.3 + 33.2 + 30.6 + 0.5 MB")
    assert drawn.rest_words.replace(NBSP, " ") == "the last 6.35 %, 16 × wider"
    assert [piece.mark for piece in drawn.rest] == ["bare", "anon", "lost"]


def test_a_loss_that_is_not_zero_can_be_seen() -> None:
    drawn = conservation(causes(attributed=10**12, lost_ring=1))
    assert drawn is not None
    assert drawn.bar[-1].mark == "lost"
    assert drawn.bar[-1].width > 0.1


def test_nothing_counted_is_no_bar() -> None:
    assert conservation([]) is None
    assert conservation(causes(attributed=0)) is None


def test_a_negative_difference_is_told_and_not_drawn() -> None:
    drawn = conservation(causes(attributed=1_000_000, header_difference=-2_000))
    assert drawn is not None
    assert [piece.mark for piece in drawn.bar] == ["plain"]
    (group,) = [group for group in drawn.groups if group.name == GROUPS["no socket"][1]]
    assert group.amount.startswith("−")


@given(st.lists(st.integers(0, 10**15), min_size=1, max_size=12).filter(any))
def test_pieces_fill_the_bar(sizes: list[int]) -> None:
    pieces = slices([("plain", size) for size in sizes])
    assert abs(sum(piece.width for piece in pieces) - 100) < 0.1
    assert all(piece.width > 0 for piece in pieces)
    assert all(abs(one.x + one.width - other.x) < 0.01 for one, other in itertools.pairwise(pieces))

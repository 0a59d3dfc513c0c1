"""Replay against captures whose flows are known: every flow exact, names right, every difference explained."""

from __future__ import annotations

import pytest

from tests.accuracy import FileScore, ndpi_scores, own_scores, totals


def unexplained(scores: list[FileScore]) -> list[str]:
    return [" | ".join(difference) for score in scores for difference in score.differences if not difference.reason]


@pytest.fixture(scope="module")
def own() -> list[FileScore]:
    return own_scores()


@pytest.fixture(scope="module")
def ndpi() -> list[FileScore]:
    return ndpi_scores()


def test_own_captures_are_exact(own: list[FileScore]) -> None:
    assert [difference for score in own for difference in score.differences] == []
    flows, exact, names, right = totals(own)
    assert (exact, right) == (flows, names)
    assert len(own) >= 16


def test_every_flow_of_known_captures_is_exact(ndpi: list[FileScore]) -> None:
    flows, exact, _, _ = totals(ndpi)
    assert exact == flows


def test_names_of_known_captures_are_right(ndpi: list[FileScore]) -> None:
    _, _, names, right = totals(ndpi)
    assert right >= 0.98 * names


def test_every_difference_has_a_reason(ndpi: list[FileScore]) -> None:
    assert unexplained(ndpi) == []

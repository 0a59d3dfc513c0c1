"""What `make soak` finds in an hour, in the short form: a little of it, with ten times as many connections."""

from __future__ import annotations

import pytest

from tests.lab.soak import Sample, growing, soak

FLAT = [Sample(50.0 + number % 2 * 0.5, 40, 3, 0.01, 0.02 + number % 3 * 0.005) for number in range(60)]


def test_flat_is_told_from_growing() -> None:
    assert growing(FLAT) == []
    # What is learned at first is no leak.
    assert growing([each._replace(resident=40.0 + min(number, 15)) for number, each in enumerate(FLAT)]) == []
    for name, slope in (
        ("resident", 0.2),
        ("descriptors", 0.5),
        ("threads", 0.2),
        ("map_fill", 0.002),
        ("share", 0.002),
    ):
        leaking = [each._replace(**{name: getattr(each, name) + number * slope}) for number, each in enumerate(FLAT)]
        assert [words.split()[0] for words in growing(leaking)] == [name]
    assert "more than" in growing([*FLAT, FLAT[0]._replace(map_fill=0.9)])[0]


@pytest.mark.root
@pytest.mark.alone
def test_some_seconds_of_many_connections_are_flat() -> None:
    samples = soak(24, 150, 1)
    assert growing(samples) == []
    assert len(samples) >= 15

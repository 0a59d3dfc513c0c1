"""Labels of flows: each slot has its own, and what nobody has is not kept."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from netally.capture.flow_labels import FlowLabels

SLOTS = 40


@given(st.lists(st.tuples(st.integers(0, SLOTS - 1), st.one_of(st.none(), st.text(max_size=2))), max_size=60))
def test_labels_are_what_was_set_last(changes: list[tuple[int, str | None]]) -> None:
    labels: FlowLabels[str] = FlowLabels(SLOTS)
    model: list[str | None] = [None] * SLOTS
    for slot, label in changes:
        labels[slot] = label
        model[slot] = label
    assert labels[np.arange(SLOTS)] == model
    assert [labels[slot] for slot in range(SLOTS)] == model


def test_many_labels_one_after_the_other_take_no_more_room() -> None:
    labels: FlowLabels[str] = FlowLabels(SLOTS)
    labels[7] = "stays"
    for number in range(20_000):
        labels[number % 5] = f"label {number}"
    assert len(labels) <= 1024
    assert labels[7] == "stays"
    assert labels[4] == "label 19999"


def test_it_grows_and_several_are_set_at_once() -> None:
    labels: FlowLabels[str] = FlowLabels(2)
    labels[1] = "one"
    labels.grow(3)
    assert labels[4] is None
    labels[np.array([0, 4])] = "both"
    assert labels[np.arange(5)] == ["both", "one", None, None, "both"]
    labels[np.array([0, 1])] = None
    assert labels[np.arange(5)] == [None, None, None, None, "both"]

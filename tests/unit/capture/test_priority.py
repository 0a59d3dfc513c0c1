"""Who goes first: before ordinary programs while little time is needed, and no longer."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from netally.capture.priority import SHARE, Priority


class Times:
    """A clock and the processor time that goes with it."""

    def __init__(self) -> None:
        self.clock = self.spent = 0.0

    def passed(self, share: float) -> None:
        self.clock += 1.0
        self.spent += share


@pytest.fixture
def times() -> Iterator[Times]:
    yield Times()
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def policy() -> int:
    return os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK


@pytest.mark.root
def test_steps_back_while_it_needs_much(times: Times) -> None:
    priority = Priority(lambda: times.clock, lambda: times.spent)
    priority.begin()
    assert policy() == os.SCHED_RR
    times.passed(SHARE + 0.1)
    priority.adjust()
    assert policy() == os.SCHED_OTHER
    times.passed(SHARE - 0.1)
    priority.adjust()
    assert policy() == os.SCHED_RR


@pytest.mark.root
def test_children_are_ordinary(times: Times) -> None:
    Priority(lambda: times.clock, lambda: times.spent).begin()
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writer, str(policy()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert int(os.read(reader, 10)) == os.SCHED_OTHER
    os.close(reader)
    os.close(writer)


def test_does_nothing_where_the_system_refuses(monkeypatch: pytest.MonkeyPatch, times: Times) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    priority = Priority(lambda: times.clock, lambda: times.spent)
    priority.begin()
    times.passed(0.0)
    priority.adjust()
    assert not priority.first
    monkeypatch.undo()

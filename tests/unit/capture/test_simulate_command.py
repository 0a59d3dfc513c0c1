"""The command line of a simulation: what it refuses, what it says, who is late."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from netally.capture import simulate_command
from netally.capture.simulate_command import Agents, Summary, words
from netally.capture.simulated_traffic import Interval, make_fleet
from tests.builders import START


def test_numbers_that_make_no_sense_are_refused_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate_command.main(["--hosts", "0"]) == 1
    assert "--hosts must be 1 to 100000" in capsys.readouterr().err


def test_a_bus_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("NETALLY_NATS_URL", "nats://127.0.0.1:1")
    monkeypatch.setattr(simulate_command, "CONNECT_WITHIN", 0.2)
    assert simulate_command.main(["--hosts", "2", "--minutes", "0.1"]) == 1
    assert "Is Netally running" in capsys.readouterr().err


def test_sequences_have_no_holes() -> None:
    fleet = make_fleet(7, 3)
    agents = Agents(fleet, START)
    made = [
        one
        for step in range(200)
        if (one := agents.make(fleet[1], Interval(START + step * 5_000, 5_000), False, ZoneInfo("UTC"))) is not None
    ]
    assert [one.sequence for one in made] == list(range(1, len(made) + 1))
    assert len({one.epoch for one in made}) == 1


def test_the_summary_names_what_waits() -> None:
    assert "batches wait" in list(words(Summary(hosts=3, batches=5, waiting=2)))[-1]
    assert len(list(words(Summary(hosts=3, batches=5)))) == 2

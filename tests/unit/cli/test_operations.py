from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from netally.cli.main import cli
from netally.cli.operations import details, milliseconds, retention, run
from netally.contracts.commands import COMMANDS


def test_every_command_but_export_can_be_run() -> None:
    # Tokens have a group of their own, which keeps the secret.
    assert set(run.commands) == set(COMMANDS) - {"export", "create-token", "revoke-token"}
    for name in run.commands:
        assert CliRunner().invoke(cli, ["run", name, "--help"]).exit_code == 0


def test_times() -> None:
    assert milliseconds("1795305600000") == 1_795_305_600_000
    assert milliseconds("2026-11-22T01:00:00+01:00") == 1_795_305_600_000
    with pytest.raises(click.BadParameter):
        milliseconds("yesterday")


def test_for_ever_is_null_and_absent_is_absent() -> None:
    assert retention(9, None, None, "forever", None) == {"raw": 9, "days": None}
    assert retention(None, None, None, "400", None) == {"days": 400}
    with pytest.raises(click.BadParameter):
        retention(None, None, None, "many", None)


def test_results_in_lines() -> None:
    assert details({"tiers": {"1h": {"buckets": 2, "oldest": None}}, "silent": ["a"]}) == [
        "1h: buckets 2, oldest –",
        "no answer: a",
    ]
    assert details({"instances": [{"instance": "a", "dropped": {"names": 3}}, {"instance": "b", "dropped": {}}]}) == [
        "a: names 3",
        "b: nothing to forget",
    ]

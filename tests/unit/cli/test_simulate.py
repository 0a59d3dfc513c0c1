"""``netally simulate``: the program's help, its signals, and the comparison with what the API counts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from netally.cli import simulate
from netally.cli.api_client import ApiClient
from netally.cli.simulate import differences, report_loss, run_to_its_end

SUMMARY = {"begin": 1_000, "end": 6_000, "host_bytes": {"sim-1": [10, 2], "sim-2": [0, 0]}}


class Api:
    def __init__(self, *answers: list[dict[str, Any]]) -> None:
        self.answers = list(answers)

    def ask(self, method: str, path: str) -> dict[str, Any]:
        assert (method, path) == ("GET", "/api/hosts?from=1000&to=6000")
        return {"hosts": self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]}


def counted(bytes_in: int) -> list[dict[str, Any]]:
    return [{"name": "sim-1", "bytes_in": bytes_in, "bytes_out": 2}]


def test_help_is_that_of_the_program(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "netally.cli", "simulate", "--help"],
        env={"PATH": "/bin", "NETALLY_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "--fill-only" in done.stdout


def test_hosts_that_are_counted_otherwise_are_named() -> None:
    assert differences(SUMMARY["host_bytes"], counted(10)) == []  # type: ignore[arg-type]
    assert differences({"sim-1": [11, 2]}, counted(10)) == ["sim-1: sent [11, 2], counted [10, 2]"]
    assert differences({"sim-9": [1, 0]}, counted(10)) == ["sim-9: sent [1, 0], counted [0, 0]"]


def test_what_is_still_on_its_way_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert report_loss(cast("ApiClient", Api(counted(4), counted(10))), SUMMARY) == 0
    assert "nothing lost" in capsys.readouterr().out


def test_a_loss_is_said_and_is_the_status(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(simulate, "ARRIVES_WITHIN", 0.0)
    assert report_loss(cast("ApiClient", Api(counted(4))), SUMMARY) == 1
    assert "sim-1: sent [10, 2], counted [4, 2]" in capsys.readouterr().out


def test_the_status_of_the_program_is_passed_on() -> None:
    assert run_to_its_end([sys.executable, "-c", "raise SystemExit(3)"], os.environ) == 3

"""``netally demo``: what it keeps from a real instance's settings, and how much history it finds missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from netally.cli import data_directory
from netally.cli.demo import days_missing, demo, demo_environment
from netally.cli.plain_error import PlainError

DAY = 86_400_000
NOW = 1_795_305_600_000


def test_nothing_of_a_real_instance_reaches_the_demo() -> None:
    real = {
        "PATH": "/bin",
        "NETALLY_DATABASE_URL": "postgresql://real/",
        "NETALLY_NATS_URL": "nats://real",
        "NETALLY_ADMIN_TOKEN": "secret",
        "NETALLY_WEB_PORT": "7500",
    }
    found = demo_environment(real, Path("/demo"), 7600)
    assert found["PATH"] == "/bin"
    assert not {"NETALLY_DATABASE_URL", "NETALLY_NATS_URL", "NETALLY_ADMIN_TOKEN"} & set(found)
    assert (found["NETALLY_WEB_PORT"], found["NETALLY_API_PORT"]) == ("7600", "7601")
    assert found["NETALLY_CONFIG"].startswith("/demo/")


def test_only_what_is_missing_is_filled() -> None:
    def row(end: int | None) -> dict[str, int | None]:
        return {"complete_until": end}

    assert days_missing([], 2, 365, NOW) == 365
    assert days_missing([row(NOW - DAY)], 2, 365, NOW) == 365
    assert days_missing([row(NOW - 2 * DAY), row(NOW - 9 * DAY)], 2, 365, NOW) == 2
    assert days_missing([row(None), row(None)], 2, 90, NOW) == 90


def test_a_second_one_on_the_same_directory_is_refused(tmp_path: Path) -> None:
    with data_directory.locked(tmp_path):
        done = CliRunner().invoke(demo, ["--data-dir", str(tmp_path)])
    assert isinstance(done.exception, PlainError)
    assert "already runs" in str(done.exception)


@pytest.mark.parametrize("wrong", [["--hosts", "0"], ["--days", "9999"]])
def test_numbers_out_of_range_are_refused(wrong: list[str]) -> None:
    assert CliRunner().invoke(demo, wrong).exit_code == 2

"""deploy/systemd: units that systemd understands, and how exposed they are by its own reckoning."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
LARGEST = {"netally-agent.service": 5.5, "netally-hub.service": 2.5}
"""Exposure from 0 (safe) to 10, by ``systemd-analyze security``. The agent reads packets and foreign sockets."""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units as on a machine that has the programs they name."""
    for unit in UNITS:
        text = unit.read_text().replace("/opt/netally/bin/", f"{tmp_path}/").replace("User=netally", "User=daemon")
        (tmp_path / unit.name).write_text(text.replace("Group=netally", "Group=daemon"))
    for program in ("python", "netally"):
        (tmp_path / program).write_text("#!/bin/sh\n")
        (tmp_path / program).chmod(0o755)
    return tmp_path


def analyze(*arguments: str | Path) -> str:
    assert shutil.which("systemd-analyze"), "systemd-analyze is missing; tests/run installs it"
    done = subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_understands_every_line(unit: Path, installed: Path) -> None:
    said = analyze("verify", "--man=no", "--recursive-errors=no", installed / unit.name)
    assert unit.name not in said


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_it_is_hardened(unit: Path, installed: Path) -> None:
    said = analyze("security", "--offline=true", "--no-pager", installed / unit.name)
    exposure = re.search(r"exposure level for [^:]+: ([\d.]+)", said)
    assert exposure is not None
    assert float(exposure[1]) <= LARGEST[unit.name]


def test_what_the_agent_may_do_in_each_deployment_is_the_same() -> None:
    unit = (ROOT / "deploy/systemd/netally-agent.service").read_text()
    compose = (ROOT / "deploy/compose/compose.yaml").read_text()
    daemon_set = (ROOT / "deploy/kubernetes/base/agent.yaml").read_text()
    bounding = re.search(r"CapabilityBoundingSet=(.+)", unit)
    assert bounding is not None
    wanted = {name.removeprefix("CAP_") for name in bounding[1].split()}
    for text in (compose, daemon_set):
        added = re.search(r"(?:cap_add|add): \[(.+)\]", text)
        assert added is not None
        assert {name.strip() for name in added[1].split(",")} == wanted

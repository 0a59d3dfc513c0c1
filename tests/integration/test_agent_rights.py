"""The agent with the capabilities that systemd, compose and Kubernetes leave it: it sees what root sees."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.root

UNIT = Path(__file__).resolve().parents[2] / "deploy" / "systemd" / "netally-agent.service"


def probed(*before: str) -> Any:
    command = [*before, sys.executable, "-m", "netally.capture", "probe"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)


def within(*capabilities: str) -> Any:
    """With these and no others, and none to be had."""
    kept = ",".join(["-all", *(f"+{name.removeprefix('CAP_').lower()}" for name in capabilities)])
    return probed("setpriv", "--no-new-privs", f"--bounding-set={kept}", "--inh-caps=-all")


def test_the_unit_leaves_it_what_its_best_mode_needs() -> None:
    found = re.search(r"^CapabilityBoundingSet=(.+)$", UNIT.read_text(), re.M)
    assert found is not None
    granted = found[1].split()
    with_all, with_these = probed(), within(*granted)
    assert (with_these["mode"], with_these["reason"]) == (with_all["mode"], with_all["reason"])
    # The probe tells: without one of them it is another mode, or says what it cannot see.
    assert within("CAP_NET_RAW")["reason"] != with_all["reason"]

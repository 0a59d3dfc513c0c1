"""``python -m netally.capture probe`` and the other first words."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from netally.contracts.codes import Mode


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "netally.capture", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env={**os.environ, **environment},
    )


def test_one_json_object() -> None:
    done = run("probe")
    assert done.returncode == 0
    answer = json.loads(done.stdout)
    assert answer.keys() == {"mode", "reason", "interfaces", "advice"}
    assert answer["mode"] in Mode.labels().values()
    loopback = next(each for each in answer["interfaces"] if each["name"] == "lo")
    assert "127.0.0.1" in loopback["addresses"]


def test_wrong_words_and_wrong_settings_are_told_in_a_line() -> None:
    for done in (run("prbe"), run("probe", NETALLY_CAPTURE_PORT="many"), run(NETALLY_INTERVAL="7")):
        assert done.returncode == 2
        assert done.stdout == ""
        assert len(done.stderr.strip().splitlines()) == 1
        assert "Traceback" not in done.stderr

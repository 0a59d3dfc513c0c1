from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from netally.cli import leftovers
from netally.cli.leftovers import Leftover
from tests.services import wait_until


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["/bin/sleep", "600"])
    yield process
    process.kill()
    process.wait()


def recorded(process: subprocess.Popen[bytes], birth: str | None = None) -> Leftover:
    return Leftover("api", process.pid, birth or leftovers.birth(process.pid), int(signal.SIGTERM))


def test_a_leftover_is_ended_and_said(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    leftovers.remember(tmp_path, [recorded(sleeper)])
    said: list[str] = []
    leftovers.end_leftovers(tmp_path, lambda title, words: said.append(f"{title} {words}"))
    assert sleeper.wait(5) == -signal.SIGTERM
    assert said == [f"api still running from the last start (process {sleeper.pid}); ending it"]
    assert not (tmp_path / leftovers.FILE).exists()


def test_one_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    stubborn = subprocess.Popen(["/bin/sh", "-c", "trap '' TERM; echo ready; sleep 600"], stdout=subprocess.PIPE)
    assert stubborn.stdout is not None
    assert stubborn.stdout.readline() == b"ready\n"
    leftovers.remember(tmp_path, [recorded(stubborn)])
    leftovers.end_leftovers(tmp_path, lambda *_: None, patience=0.2)
    assert stubborn.wait(5) == -signal.SIGKILL
    stubborn.stdout.close()


def test_a_stranger_with_the_same_number_is_left_alone(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    boot, _, ticks = leftovers.birth(sleeper.pid).partition(":")
    for other in (f"{boot}:{int(ticks) - 1}", f"another-boot:{ticks}"):
        leftovers.remember(tmp_path, [recorded(sleeper, other)])
        leftovers.end_leftovers(tmp_path, lambda *_: pytest.fail("nobody of ours runs"))
    assert sleeper.poll() is None


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"pid": "x"}]'])
def test_a_broken_record_is_no_obstacle(tmp_path: Path, text: str) -> None:
    (tmp_path / leftovers.FILE).write_text(text)
    leftovers.end_leftovers(tmp_path, lambda *_: None)


def test_a_process_that_is_gone_or_a_zombie_has_no_birth() -> None:
    process = subprocess.Popen(["/bin/true"])
    wait_until(lambda: not leftovers.birth(process.pid))
    process.wait()
    assert leftovers.birth(process.pid) == ""


def test_a_name_with_parentheses_does_not_confuse(tmp_path: Path) -> None:
    program = tmp_path / "a) Z (b"
    program.symlink_to("/bin/sleep")
    process = subprocess.Popen([program, "600"])
    try:
        assert leftovers.birth(process.pid)
    finally:
        process.kill()
        process.wait()

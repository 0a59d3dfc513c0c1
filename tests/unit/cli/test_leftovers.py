from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from netally.cli import leftovers
from netally.cli.leftovers import Leftover


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["/bin/sleep", "600"])
    yield process
    process.kill()
    process.wait()


def recorded(process: subprocess.Popen[bytes], **changes: float) -> Leftover:
    created = changes.get("created", leftovers.created_at(process.pid))
    return Leftover("api", process.pid, created, int(signal.SIGTERM))


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
    leftovers.remember(tmp_path, [recorded(sleeper, created=leftovers.created_at(sleeper.pid) - 100)])
    leftovers.end_leftovers(tmp_path, lambda *_: pytest.fail("nobody of ours runs"))
    assert sleeper.poll() is None


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"pid": "x"}]'])
def test_a_broken_record_is_no_obstacle(tmp_path: Path, text: str) -> None:
    (tmp_path / leftovers.FILE).write_text(text)
    leftovers.end_leftovers(tmp_path, lambda *_: None)


def test_a_process_that_is_gone_has_no_creation_time() -> None:
    process = subprocess.Popen(["/bin/true"])
    process.wait()
    assert leftovers.created_at(process.pid) == 0.0

"""Children of a supervisor that was killed: remembered in the data directory, ended before the next start.

The kernel has told them to stop when their supervisor died. This takes care of one that does not, and of an agent whose
Python was given file capabilities: for such a program the kernel forgets the wish at execve (prctl(2)).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil

from netally.cli import data_directory

FILE = "children.json"
PATIENCE = 20.0
"""Seconds between the polite signal and SIGKILL."""


class Leftover(msgspec.Struct, frozen=True):
    """A started process. The time of its creation tells it from another that got the same number later."""

    name: str
    pid: int
    created: float
    stop_signal: int


def created_at(pid: int) -> float:
    """Creation time of a process, epoch seconds; 0 when it is gone already."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return 0.0


def remember(directory: Path, children: list[Leftover]) -> None:
    data_directory.write_private(directory / FILE, msgspec.json.encode(children).decode())


def forget(directory: Path) -> None:
    (directory / FILE).unlink(missing_ok=True)


def end_leftovers(directory: Path, say: Callable[[str, str], None], patience: float = PATIENCE) -> None:
    """End what is still running of the last start. Call it with the lock held: then they cannot be anybody's."""
    text = data_directory.read_private(directory / FILE)
    try:
        recorded = msgspec.json.decode(text, type=list[Leftover]) if text else []
    except msgspec.DecodeError:
        recorded = []
    running = [child for child in recorded if _is_running(child)]
    for child in running:
        say(child.name, f"still running from the last start (process {child.pid}); ending it")
        _signal(child, child.stop_signal)
    _wait(running, patience)
    for child in running:
        if _is_running(child):
            _signal(child, signal.SIGKILL)
    _wait(running, 5.0)
    forget(directory)


def _is_running(child: Leftover) -> bool:
    try:
        process = psutil.Process(child.pid)
        return process.create_time() == child.created and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _signal(child: Leftover, number: int) -> None:
    if _is_running(child):
        try:
            os.kill(child.pid, number)
        except ProcessLookupError:
            return


def _wait(children: list[Leftover], patience: float) -> None:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and any(_is_running(child) for child in children):
        time.sleep(0.05)

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

from netally.cli import data_directory

FILE = "children.json"
PATIENCE = 20.0
"""Seconds between the polite signal and SIGKILL."""


class Leftover(msgspec.Struct, frozen=True):
    """A started process."""

    name: str
    pid: int
    birth: str
    """`birth` of the process: tells it from another that got the same number later."""
    stop_signal: int


def birth(pid: int) -> str:
    """When a process began, as nobody can shift it: this boot's id and the clock ticks since (proc_pid_stat(5), field
    22). Empty when the process is gone or a zombie.
    """
    try:
        # The name, in parentheses, may hold anything; what follows the last one is in fixed places from field 3 on.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
    return "" if fields[0] == b"Z" else f"{boot}:{int(fields[19])}"


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
    return bool(child.birth) and birth(child.pid) == child.birth


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

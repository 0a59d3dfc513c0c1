"""Programs by process id: known from when they lived, else by the kernel's word."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from netally.capture.ebpf import programs as programs_module
from netally.capture.ebpf.programs import Programs
from netally.capture.process_table import ProcessTable


def test_a_program_heard_of_keeps_its_name_when_it_is_gone() -> None:
    programs = Programs(ProcessTable())
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    programs.heard(child.pid, "python3")
    child.communicate(b"\n")
    found = programs.of(child.pid, 0, "python3")
    assert found.executable == os.path.realpath(sys.executable)
    # Another program of that id, by exec: this one was never seen alive.
    assert programs.of(child.pid, 0, "curl").name == "curl"


def test_one_that_was_gone_at_once_is_named_by_the_kernel() -> None:
    programs = Programs(ProcessTable())
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert programs.of(gone.pid, os.getuid(), "curl").name == "curl"
    assert programs.forget() == 1
    assert programs.forget() == 0


def test_the_latest_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs_module, "_MAX_PROGRAMS", 3)
    programs = Programs(ProcessTable())
    for number in range(10):
        programs.of(os.getpid(), 0, f"thread {number}")
    assert programs.forget() == 3

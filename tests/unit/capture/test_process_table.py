"""Processes of sockets, on real processes: found in time, named right, no search without bound."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from netally.capture import process_table
from netally.capture.process_events import ProcessEvent, ProcessEvents
from netally.capture.process_table import ProcessTable

CONNECTOR = """
import socket, sys
sockets = [socket.socket() for _ in range(int(sys.argv[1]))]
import os
print(*(os.fstat(each.fileno()).st_ino for each in sockets), flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _all_are_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that runs other things meanwhile starts many processes after those of a test."""
    monkeypatch.setattr(process_table, "NEWEST", 1_000_000)
    monkeypatch.setattr(process_table, "KNOWN_OWNERS", 1_000_000)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "connector.py"
    path.write_text(CONNECTOR)
    return path


@pytest.fixture
def holder(script: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A process and the inodes of the sockets it holds."""
    process = subprocess.Popen([sys.executable, script, "3"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    inodes = [int(word) for word in process.stdout.readline().split()]
    yield process, inodes
    process.communicate()


def test_a_new_process_is_found_at_once(holder: tuple[subprocess.Popen[str], list[int]]) -> None:
    _, inodes = holder
    app = ProcessTable().find(inodes[0], os.getuid())
    assert app is not None
    assert app.name == "connector.py (python3)"
    assert app.executable == os.path.realpath(sys.executable)
    assert app.user == getpass.getuser()


def test_what_was_found_is_known_for_all_sockets_of_the_process(
    holder: tuple[subprocess.Popen[str], list[int]],
) -> None:
    _, inodes = holder
    table = ProcessTable()
    table.find(inodes[0], os.getuid())
    assert table.known(inodes[2]) is table.known(inodes[0])
    assert table.known(inodes[0]) is not None


def test_the_sweep_finds_every_socket_old_processes_too() -> None:
    table = ProcessTable()
    with socket.socket() as ours:
        table.sweep()
        app = table.known(os.fstat(ours.fileno()).st_ino)
        assert app is not None
        assert app.executable == os.path.realpath(sys.executable)
    with socket.socket() as first, socket.socket() as second:
        table.sweep()
        for each in (first, second):
            assert table.known(os.fstat(each.fileno()).st_ino) is app


def test_a_process_that_closes_one_socket_and_opens_another_is_looked_into_again() -> None:
    table = ProcessTable()
    with socket.socket():
        table.sweep()
    with socket.socket() as replacement:
        table.sweep()
        table.look_into_owners()
        assert table.known(os.fstat(replacement.fileno()).st_ino) is not None


def test_a_process_that_is_gone_keeps_its_name(holder: tuple[subprocess.Popen[str], list[int]]) -> None:
    process, inodes = holder
    table = ProcessTable()
    table.find(inodes[0], os.getuid())
    process.communicate()
    table.sweep()
    app = table.known(inodes[0])
    assert app is not None
    assert app.name.startswith("connector.py")


def test_a_socket_of_nobody_is_none_and_counted() -> None:
    table = ProcessTable()
    assert table.find(2**40, os.getuid()) is None
    assert table.misses == 1
    assert table.find(0, os.getuid()) is None
    assert table.misses == 1


def test_questions_without_answer_cannot_eat_the_machine(tmp_path: Path) -> None:
    clock = Clock()

    class SlowTable(ProcessTable):
        looks = 0

        def _look(self, inode: int, uid: int, *, thorough: bool) -> None:
            self.looks += 1
            clock.now += 0.05

    table = SlowTable(str(tmp_path), clock)
    for number in range(100):
        table.find(1000 + number, 0)
    # A tenth of a second at once, then a tenth of the time that passes.
    assert table.looks <= 4
    clock.now += 10.0
    for number in range(100):
        table.find(5000 + number, 0)
    assert table.looks <= 8


def test_a_process_table_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "123" / "fd").mkdir(parents=True)
    (tmp_path / "123" / "fd" / "3").symlink_to("socket:[77]")
    (tmp_path / "124").mkdir()
    table = ProcessTable(str(tmp_path))
    # No stat file: the process went between two looks.
    table.sweep()
    assert table.known(77) is None


def test_processes_that_let_nobody_look_are_passed_over(
    holder: tuple[subprocess.Popen[str], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Some machines keep even root away from process 1.
    process, inodes = holder
    listed = os.listdir

    def refuse(path: str) -> list[str]:
        if path == "/proc/1/fd":
            raise PermissionError
        return listed(path)

    monkeypatch.setattr(os, "listdir", refuse)
    monkeypatch.setattr(ProcessTable, "_pids", lambda _: [1, process.pid])
    table = ProcessTable()
    table.sweep()
    assert table.known(inodes[0]) is not None


class Told:
    """Events as the kernel would tell them."""

    def __init__(self) -> None:
        self.lost = 0
        self.waiting: list[ProcessEvent] = []

    def read(self) -> list[ProcessEvent]:
        events, self.waiting = self.waiting, []
        return events


def test_processes_that_are_told_need_no_listing(
    holder: tuple[subprocess.Popen[str], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    process, inodes = holder
    told = Told()
    monkeypatch.setattr(ProcessTable, "_pids", lambda _: [1])
    table = ProcessTable(events=cast("ProcessEvents", told))
    assert table.find(inodes[0], os.getuid()) is None
    told.waiting = [ProcessEvent(process.pid, started=True)]
    app = table.find(inodes[0], os.getuid())
    assert app is not None
    assert app.name == "connector.py (python3)"


def test_processes_that_ended_are_asked_no_more_and_lost_events_list_them_again(
    holder: tuple[subprocess.Popen[str], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    process, inodes = holder
    told = Told()
    table = ProcessTable(events=cast("ProcessEvents", told))
    told.waiting = [ProcessEvent(process.pid, started=False)]
    table.sweep()
    assert table.known(inodes[0]) is None
    told.lost = 1
    table.sweep()
    assert table.known(inodes[0]) is not None


SHARER = """
import os, socket, subprocess, sys
given = socket.socket()
os.set_inheritable(given.fileno(), True)
child = subprocess.Popen([sys.executable, sys.argv[1], "1"], close_fds=False)
print(os.fstat(given.fileno()).st_ino, child.pid, flush=True)
child.wait()
"""


def test_a_socket_got_from_the_parent_is_the_parent_s_and_one_s_own_is_one_s_own(script: Path, tmp_path: Path) -> None:
    opener = tmp_path / "opener.py"
    opener.write_text(SHARER)
    with subprocess.Popen(
        [sys.executable, opener, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().split() for _ in range(2)]
        given, child = next([int(word) for word in line] for line in lines if len(line) == 2)
        (own,) = next([int(word) for word in line] for line in lines if len(line) == 1)
        told = Told()
        table = ProcessTable(events=cast("ProcessEvents", told))
        # The child is the newest process: it is looked into first.
        told.waiting = [ProcessEvent(process.pid, started=True), ProcessEvent(child, started=True)]
        names = [app.name for inode in (given, own) if (app := table.find(inode, os.getuid())) is not None]
        process.communicate()
    assert names == ["opener.py (python3)", "connector.py (python3)"]


def test_a_wrong_owner_is_looked_up_anew_once_forgotten(holder: tuple[subprocess.Popen[str], list[int]]) -> None:
    _, inodes = holder
    # A clock that stands still: looking takes none of the time that there is for it, however many processes there are.
    table = ProcessTable(clock=lambda: 0.0)
    with socket.socket() as own:
        inode = os.fstat(own.fileno()).st_ino
        right, other = table.find(inodes[0], os.getuid()), table.find(inode, os.getuid())
        assert right is not None
        assert other is not None
        assert right != other
        table._owners[inodes[0]] = table._owners[inode]
        assert table.find(inodes[0], os.getuid()) == other
        assert table.forget() > 0
        assert table.find(inodes[0], os.getuid()) == right

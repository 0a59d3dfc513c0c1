from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from netally.cli import exec_launcher
from tests.services import wait_until


def spec(*argv: str, **changes: object) -> str:
    values: dict[str, object] = {
        "argv": list(argv),
        "parent": os.getpid(),
        "death_signal": int(signal.SIGTERM),
        "uid": None,
        "gid": None,
        "binds": [],
    }
    return json.dumps({**values, **changes})


def launch(launch_spec: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", exec_launcher.__file__, launch_spec]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_becomes_the_program_with_its_arguments_and_exit_status() -> None:
    done = launch(spec("/bin/sh", "-c", 'echo "$1"; umask; exit 7', "sh", "a b"))
    assert (done.stdout, done.returncode) == ("a b\n0077\n", 7)


def test_signals_that_python_ignores_are_not_ignored_by_the_program() -> None:
    done = launch(spec("/bin/sh", "-c", "grep SigIgn /proc/self/status"))
    ignored = int(done.stdout.split()[1], 16)
    assert not ignored & (1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1))


def test_a_program_that_is_not_there_is_said_in_one_line() -> None:
    done = launch(spec("/no/such/program"))
    assert done.returncode == exec_launcher.FAILED
    assert done.stderr == "cannot start /no/such/program: No such file or directory\n"


def test_nothing_is_started_for_a_parent_that_is_gone() -> None:
    done = launch(spec("/bin/sh", "-c", "echo started", parent=os.getpid() + 1))
    assert (done.stdout, done.returncode) == ("", 0)


@pytest.mark.parametrize("uid", [None, pytest.param(65534, marks=pytest.mark.root)])
def test_the_program_dies_with_its_starter(uid: int | None) -> None:
    """Also as another user: a change of user clears the wish, so it has to come after."""
    starter = (
        "import os, subprocess, sys, json\n"
        f"spec = json.loads({spec('/bin/sleep', '600', uid=uid, gid=uid)!r}); spec['parent'] = os.getpid()\n"
        f"child = subprocess.Popen([sys.executable, '-I', '-S', {exec_launcher.__file__!r}, json.dumps(spec)])\n"
        "print(child.pid, flush=True); child.wait()\n"
    )
    with subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        wait_until(lambda: Path(f"/proc/{child}/comm").read_text() == "sleep\n")
        process.kill()
    wait_until(lambda: not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text())


@pytest.mark.root
def test_an_unprivileged_program_keeps_nothing_of_root() -> None:
    done = launch(spec("/bin/sh", "-c", "id -u; id -G; grep CapEff /proc/self/status", uid=65534, gid=65534))
    assert done.stdout.split() == ["65534", "65534", "CapEff:", "0000000000000000"]


@pytest.mark.root
def test_a_bound_directory_is_reached_below_a_closed_one_and_only_by_the_program(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "inside").mkdir(mode=0o755)
    (tmp_path / "inside" / "file").write_text("here\n")
    place = f"{exec_launcher.STAGE}/netally-test"
    done = launch(spec("/bin/cat", f"{place}/file", uid=65534, gid=65534, binds=[[str(tmp_path / "inside"), place]]))
    assert (done.stdout, done.stderr) == ("here\n", "")
    assert not Path(place).exists()
    assert tmp_path.stat().st_mode & 0o777 == 0o700

from __future__ import annotations

import asyncio
import os
import signal
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from netally.cli import supervisor as supervisor_module
from netally.cli.programs import Program
from netally.cli.supervisor import CannotStartError, Supervisor, run_to_end
from tests.services import eventually


class Stage:
    """A supervisor in a directory, and what it said."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.said: list[str] = []
        self.supervisor = Supervisor(directory, lambda title, words: self.said.append(f"{title} {words}"))

    def script(self, name: str, text: str, *, stop_within: float = 5) -> Program:
        """A shell script that is ready once it has made the file ``<name>.ready``."""
        ready_file = self.directory / f"{name}.ready"

        async def ready(pid: int) -> str:
            return "" if ready_file.exists() and ready_file.read_text() == f"{pid}\n" else "no file"

        return Program(
            name=name,
            title=name.upper(),
            argv=[
                "/bin/sh",
                "-c",
                f"ready() {{ echo $$ > {ready_file}.new; mv {ready_file}.new {ready_file}; }}\n{text}",
            ],
            environ={"PATH": os.environ["PATH"], "ORDER": str(self.directory / "order")},
            ready=ready,
            stop_within=stop_within,
        )

    def pid(self, name: str) -> int:
        return int((self.directory / f"{name}.ready").read_text())


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    await stage.supervisor.stop(("a", "b"))


async def test_a_program_is_ready_when_it_says_so(stage: Stage) -> None:
    await stage.supervisor.start(stage.script("a", "echo hello; ready; exec sleep 600"), within=10)
    assert stage.said[0].startswith("A ready in ")
    log = stage.directory / "logs" / "a.log"
    assert log.read_text() == "hello\n"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    # Ctrl-C in the terminal goes to the process group: the child must not be in ours.
    assert os.getpgid(stage.pid("a")) != os.getpgid(0)


async def test_a_program_that_ends_at_once_says_why(stage: Stage) -> None:
    with pytest.raises(CannotStartError, match=r"A ended with status 3 while starting\. Its last words: no such table"):
        await stage.supervisor.start(stage.script("a", "echo 'no such table'; exit 3"), within=10)


async def test_one_that_waits_for_something_else_does_not_stop_the_rest(stage: Stage) -> None:
    program = stage.script("a", f"while [ ! -e {stage.directory}/go ]; do sleep 0.02; done; ready; exec sleep 600")
    await stage.supervisor.start(program, within=0.3)
    assert stage.said == ["A not ready after 0 s, going on without it: no file"]
    (stage.directory / "go").touch()

    async def said_ready() -> bool:
        return stage.said[-1] == "A ready"

    await eventually(said_ready)


async def test_a_program_that_dies_is_started_again_with_growing_pauses(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "SHORTEST_PAUSE", 0.2)
    monkeypatch.setattr(supervisor_module, "LONGEST_PAUSE", 0.3)
    program = stage.script("a", "echo working; ready; exec sleep 600")
    await stage.supervisor.start(program, within=10)
    pauses = []
    for _ in range(3):
        old = stage.pid("a")
        os.kill(old, signal.SIGKILL)
        began = time.monotonic()

        async def is_new(old: int = old) -> bool:
            return stage.pid("a") != old

        await eventually(is_new)
        pauses.append(time.monotonic() - began)
    assert stage.said[1].startswith("A was ended by SIGKILL; starting it again in 0 s. Its last words: working")
    assert pauses[0] >= 0.2
    assert pauses[2] >= 0.3


async def test_stopping_goes_by_stages_and_each_may_finish(stage: Stage) -> None:
    finish = "trap 'sleep 0.2; echo {0} >> $ORDER; exit 0' TERM; ready; while :; do sleep 0.02; done"
    for name in ("a", "b"):
        await stage.supervisor.start(stage.script(name, finish.format(name)), within=10)
    pids = [stage.pid(name) for name in ("a", "b")]
    await stage.supervisor.stop(("b",), ("a", "never started"))
    assert (stage.directory / "order").read_text() == "b\na\n"
    assert not any(exists(pid) for pid in pids)
    assert not (stage.directory / "children.json").exists()


async def test_one_that_does_not_stop_is_killed_and_that_is_said(stage: Stage) -> None:
    program = stage.script("a", "trap '' TERM; ready; while :; do sleep 0.02; done", stop_within=0.2)
    await stage.supervisor.start(program, within=10)
    pid = stage.pid("a")
    await stage.supervisor.stop(("a",))
    assert stage.said[-1] == "A did not stop within 0 s and was killed"
    assert not exists(pid)


async def test_children_are_remembered_for_the_next_start(stage: Stage) -> None:
    await stage.supervisor.start(stage.script("a", "ready; exec sleep 600"), within=10)
    assert f'"pid":{stage.pid("a")}' in (stage.directory / "children.json").read_text()


async def test_a_tool_gets_its_words_and_its_output_comes_back(stage: Stage) -> None:
    assert await run_to_end(stage.script("a", "cat; exit 4"), "one\ntwo\n") == (4, "one\ntwo\n")


async def test_a_tool_ends_when_the_work_is_given_up(stage: Stage) -> None:
    task = asyncio.create_task(run_to_end(stage.script("a", "ready; sleep 600")))

    async def runs() -> int:
        return stage.pid("a")

    pid = await eventually(runs)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not exists(pid)

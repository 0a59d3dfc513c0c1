"""Starts programs, waits until they are ready, starts them again when they die, and stops them in order."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from netally.cli import exec_launcher, leftovers, log_files
from netally.cli.programs import Program

SHORTEST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
LIVED_LONG = 60.0
"""Seconds after which a death counts as the first one again."""
ROTATION_EVERY = 5.0

Say = Callable[[str, str], None]
"""Tell the person: (which program, what about it)."""


class CannotStartError(Exception):
    """A program ended, or was not ready in time, before it ever was. The message says why in plain words."""


class _Child:
    """A program and its present process."""

    def __init__(self, program: Program, log: Path) -> None:
        self.program = program
        self.log = log
        self.log_start = 0
        self.process: asyncio.subprocess.Process | None = None
        self.birth = ""
        self.watcher: asyncio.Task[None] | None = None


class Supervisor:
    """All children of one ``netally up``. Use it from one event loop in the main thread: the kernel's parent-death
    signal belongs to the thread that started the child.
    """

    def __init__(self, data_directory: Path, say: Say) -> None:
        self._data_directory = data_directory
        self._say = say
        self._children: dict[str, _Child] = {}

    async def start(self, program: Program, *, within: float, began: float | None = None) -> None:
        """Start a program and wait until it is ready; ``began`` (monotonic) is when the work on that started.

        Raises CannotStartError when it ends before that. One that lives but is not ready after ``within`` seconds is
        left to go on waiting, and that is said: what it waits for may be on another machine and come later.
        """
        child = _Child(program, self._data_directory / "logs" / f"{program.name}.log")
        self._children[program.name] = child
        began = time.monotonic() if began is None else began
        await self._spawn(child)
        assert child.process is not None  # noqa: S101  (set by _spawn; for the type checker)
        reason = await self._wait_until_ready(child, child.process, within)
        if child.process.returncode is not None:
            why = log_files.last_line(child.log, child.log_start)
            raise CannotStartError(
                f"{program.title} {_how_it_ended(child.process.returncode)} while starting. "
                f"{f'Its last words: {why}. ' if why else ''}Its log is {child.log}."
            )
        if reason:
            self._say(program.title, f"not ready after {within:.0f} s, going on without it: {reason}")
        else:
            self._say(program.title, f"ready in {time.monotonic() - began:.1f} s")
        child.watcher = asyncio.create_task(self._keep_running(child, was_ready=not reason))

    async def stop(self, *stages: tuple[str, ...]) -> None:
        """Stop the named programs, one stage after the other; those of a stage together. Never raises."""
        watchers = [child.watcher for child in self._children.values() if child.watcher is not None]
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)
        for stage in stages:
            await asyncio.gather(*(self._end(self._children[name]) for name in stage if name in self._children))
        leftovers.forget(self._data_directory)

    async def rotate_logs(self) -> None:
        """Keep every log file within its bound; runs until cancelled."""
        while True:
            for child in self._children.values():
                with contextlib.suppress(OSError):
                    log_files.rotate(child.log)
            await asyncio.sleep(ROTATION_EVERY)

    async def _spawn(self, child: _Child) -> None:
        program = child.program
        log = log_files.open_log(child.log)
        try:
            child.log_start = os.fstat(log).st_size
            child.process = await asyncio.create_subprocess_exec(
                *launch_command(program),
                env=program.environ,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal is for the supervisor alone
            )
        finally:
            os.close(log)
        child.birth = leftovers.birth(child.process.pid)
        self._remember()

    def _remember(self) -> None:
        running = [
            leftovers.Leftover(child.program.name, child.process.pid, child.birth, int(child.program.stop_signal))
            for child in self._children.values()
            if child.process is not None and child.process.returncode is None
        ]
        leftovers.remember(self._data_directory, running)

    async def _wait_until_ready(self, child: _Child, process: asyncio.subprocess.Process, within: float) -> str:
        """Empty when ready, else the last reason why not (also when the process has ended)."""
        deadline = time.monotonic() + within
        reason = "it has not answered yet"
        while process.returncode is None and time.monotonic() < deadline:
            reason = await child.program.ready(process.pid)
            if not reason:
                return ""
            # Not wait_for, which in Python 3.11 can swallow a cancellation.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await process.wait()
        return reason

    async def _keep_running(self, child: _Child, *, was_ready: bool) -> None:
        pause = SHORTEST_PAUSE
        title = child.program.title
        while child.process is not None:
            began = time.monotonic()
            if not was_ready:
                reason = await self._wait_until_ready(child, child.process, float("inf"))
                if not reason:
                    self._say(title, "ready")
            was_ready = False
            status = await child.process.wait()
            if time.monotonic() - began > LIVED_LONG:
                pause = SHORTEST_PAUSE
            words = log_files.last_line(child.log, child.log_start)
            self._say(
                title,
                f"{_how_it_ended(status)}; starting it again in {pause:.0f} s."
                + (f" Its last words: {words}" if words else f" Its log is {child.log}."),
            )
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
            await self._spawn(child)

    async def _end(self, child: _Child) -> None:
        process = child.process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(child.program.stop_signal)
        try:
            async with asyncio.timeout(child.program.stop_within):
                await process.wait()
        except TimeoutError:
            self._say(child.program.title, f"did not stop within {child.program.stop_within:.0f} s and was killed")
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def launch_command(program: Program) -> list[str]:
    """Command line that becomes the program and ties its life to this process."""
    spec = exec_launcher.LaunchSpec(
        argv=program.argv,
        parent=os.getpid(),
        death_signal=int(program.stop_signal),
        uid=program.identity.uid if program.identity else None,
        gid=program.identity.gid if program.identity else None,
        binds=program.binds,
    )
    return [sys.executable, "-I", "-S", exec_launcher.__file__, json.dumps(spec)]


async def run_to_end(program: Program, words: str = "") -> tuple[int, str]:
    """Run a tool that ends by itself, with ``words`` on its standard input: (exit status, what it printed)."""
    process = await asyncio.create_subprocess_exec(
        *launch_command(program),
        env=program.environ,
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output, _ = await process.communicate(words.encode())
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        raise
    return process.returncode or 0, output.decode("utf-8", "replace")


def _how_it_ended(status: int) -> str:
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"

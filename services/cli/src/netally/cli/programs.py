"""What is started: command line, environment, user, how it says that it is ready, how it is stopped."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable

import msgspec

Readiness = Callable[[int], Awaitable[str]]
"""Given the process id: empty when the program does its work, else what it waits for, in plain words."""


class Identity(msgspec.Struct, frozen=True):
    """An unprivileged user to run as."""

    name: str
    uid: int
    gid: int


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """One program under supervision."""

    name: str
    """Name of its log file and of its entry in the list of children."""
    title: str
    """What people call it."""
    argv: list[str]
    environ: dict[str, str]
    """The whole environment: each gets what it needs, so that secrets go no further."""
    ready: Readiness
    stop_signal: signal.Signals = signal.SIGTERM
    """What makes it finish in good order; also sent by the kernel when the supervisor dies."""
    stop_within: float = 10.0
    """Seconds it has for that before SIGKILL."""
    identity: Identity | None = None
    """None: the user who runs the supervisor."""
    binds: list[tuple[str, str]] = []
    """Directories it sees at other places, see `netally.cli.exec_launcher`."""

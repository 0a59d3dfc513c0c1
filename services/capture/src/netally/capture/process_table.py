"""Which process holds a socket: inode → process by /proc/PID/fd, asked for one socket at a time and swept at intervals.

A connection of some milliseconds needs its answer at once, so a question looks where the answer likely is (owners of
late, then the newest processes) and stops at a cap; the sweep then looks only into processes whose number of open files
changed. Time spent on questions is bounded by a budget.
"""

# pathlib costs ten times as much as the calls it wraps, and this is hot.
# ruff: noqa: PTH115, PTH116, PTH123, PTH208
from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import psutil

from netally.capture.app_name import application_name, container_of, cut_name, pod_of, unit_of
from netally.capture.naming_rules import Rename, parse_rules
from netally.capture.process_events import ProcessEvents
from netally.contracts.flow import App

NEWEST: Final = 24
"""Newest processes looked into for one question."""
JUST_STARTED: Final = 12
"""Ids given last that are tried before anything else."""
RECENT_OWNERS: Final = 8
"""Processes found last that a question tries."""
KNOWN_OWNERS: Final = 128
"""Processes found last that are looked into again when a sweep has not found a socket."""
BUDGET_SHARE: Final = 0.1
"""Share of time that questions may take, over about a second."""
_PID_LIMIT: Final = 1 << 22
"""Above every process id (PID_MAX_LIMIT, linux/threads.h)."""
_MAX_SOCKETS: Final = 200_000
_MAX_PROCESSES: Final = 10_000
_SOCKET: Final = "socket:["


class _Identity(NamedTuple):
    pid: int
    started: int
    """Clock ticks since boot; with the pid it is unique."""
    executable: str


class ProcessTable:
    """Sockets and their processes. ``clock`` is the monotonic one, for the budget only. ``events`` tells processes that
    start and end, which takes the place of listing them.
    """

    def __init__(
        self,
        proc: str = "/proc",
        clock: Callable[[], float] = time.monotonic,
        events: ProcessEvents | None = None,
        rename: Rename = parse_rules(""),  # noqa: B008  (a function without state)
    ) -> None:
        self._rename = rename
        self._events = events
        self._events_lost = 0
        self._told: dict[int, None] = {}
        """Processes that run, the newest last; empty without events."""
        self._proc = proc
        self._clock = clock
        self._owners: OrderedDict[int, App] = OrderedDict()
        self._apps: OrderedDict[_Identity, App] = OrderedDict()
        self._scanned: dict[int, int] = {}
        """pid → number of open files at its last scan."""
        # Since Linux 6.2 the size of an fd directory is the number of open files; before it is always 0.
        self._sizes_tell = os.stat("/proc/self/fd").st_size > 0
        self._recent: OrderedDict[int, None] = OrderedDict()
        self._budget = BUDGET_SHARE
        self._budget_at = clock()
        self.misses = 0
        """Questions without an answer, for metrics."""
        if events is not None:
            self._told = dict.fromkeys(reversed(self._by_age()))

    def known(self, inode: int) -> App | None:
        """Process of a socket as far as it is known already."""
        return self._owners.get(inode)

    def program(self, pid: int) -> App | None:
        """What a process is, as long as it lives."""
        return self._describe(pid)

    def renamed(self, app: App) -> App:
        """By the naming rules."""
        return self._rename(app)

    def forget(self) -> int:
        """Drop everything that is known of sockets and processes; how many entries that were."""
        entries = len(self._owners) + len(self._apps)
        for cache in (self._owners, self._apps, self._scanned, self._recent):
            cache.clear()
        return entries

    def find(self, inode: int, uid: int, *, thorough: bool = True) -> App | None:
        """Process that holds the socket, looked for in the likely places; None when it is in none of them.

        Not ``thorough`` leaves out the places that take a listing of all processes.
        """
        app = self._owners.get(inode)
        if app is not None or inode == 0:
            return app
        begun = self._clock()
        self._budget = min(BUDGET_SHARE, self._budget + (begun - self._budget_at) * BUDGET_SHARE)
        self._budget_at = begun
        if self._budget <= 0:
            self.misses += 1
            return None
        app = self._look(inode, uid, thorough=thorough)
        self._budget -= self._clock() - begun
        if app is None:
            self.misses += 1
        return app

    def _look(self, inode: int, uid: int, *, thorough: bool) -> App | None:
        looked: set[int] = set()
        self.hear()
        for candidates in (self._just_started, self._recent_owners, *((self._newest,) if thorough else ())):
            for pid in candidates():
                if pid in looked or not self._may_hold(pid, uid):
                    continue
                looked.add(pid)
                self._scan(pid)
                if inode in self._owners:
                    return self._owners[inode]
        return None

    def hear(self) -> None:
        """Take in what the kernel told of processes since the last call."""
        if self._events is None:
            return
        for event in self._events.read():
            # Away from its old place: a program that just started another is as new as a new process.
            self._told.pop(event.pid, None)
            if event.started:
                self._told[event.pid] = None
        if self._events.lost != self._events_lost:
            self._events_lost = self._events.lost
            self._told = dict.fromkeys(reversed(self._by_age()))

    def sweep(self) -> None:
        """Look into every process whose number of open files changed since it was last looked into."""
        self.hear()
        pids = list(self._told) if self._told else self._pids()
        for pid in pids:
            try:
                status = os.stat(f"{self._proc}/{pid}/fd")
            except OSError:
                continue
            if not self._sizes_tell or self._scanned.get(pid) != status.st_size:
                self._scan(pid)
        alive = set(pids)
        for gone in [pid for pid in self._scanned if pid not in alive]:
            del self._scanned[gone]
            self._recent.pop(gone, None)

    def look_into_owners(self) -> None:
        """Look into the latest owners again: who closed a socket and opened another has as many files as before."""
        for pid in list(self._recent):
            self._scan(pid)

    def _pids(self) -> list[int]:
        return [int(name) for name in os.listdir(self._proc) if name.isdigit()]

    def _last_pid(self) -> int:
        """The id given last, to a process or a thread; 0 when it is not told."""
        try:
            # Fifth field (proc_loadavg(5)).
            with open(f"{self._proc}/loadavg", encoding="ascii") as file:
                return int(file.read().split()[4])
        except (OSError, ValueError, IndexError):
            return 0

    def _just_started(self) -> Iterable[int]:
        """The ids given last, without the cost of listing all: who just started is gone first, so it is asked first.

        Some are threads, which show the files of their process.
        """
        if self._told:
            return itertools.islice(reversed(self._told), JUST_STARTED)
        last = self._last_pid()
        return range(last, max(last - JUST_STARTED, 0), -1)

    def _recent_owners(self) -> Iterable[int]:
        return list(reversed(self._recent))[:RECENT_OWNERS]

    def _newest(self) -> list[int]:
        """Newest first."""
        return list(reversed(self._told))[:NEWEST] if self._told else self._by_age()[:NEWEST]

    def _by_age(self) -> list[int]:
        """Newest first. Process ids start again from the bottom at pid_max, so age is the distance to the last one."""
        pids = self._pids()
        last = self._last_pid() or max(pids, default=0)
        return sorted(pids, key=lambda pid: (last - pid) % _PID_LIMIT)

    def _may_hold(self, pid: int, uid: int) -> bool:
        """The owner of a socket is as a rule the user of the process; root's processes may hold anyone's."""
        try:
            owner = os.stat(f"{self._proc}/{pid}").st_uid
        except OSError:
            return False
        return owner in (uid, 0)

    def _scan(self, pid: int) -> None:
        directory = f"{self._proc}/{pid}/fd"
        found = []
        try:
            # Asked before the listing, which opens a file itself when the process is this one.
            size = os.stat(directory).st_size
            for name in os.listdir(directory):
                with contextlib.suppress(OSError):
                    target = os.readlink(f"{directory}/{name}")
                    if target.startswith(_SOCKET):
                        found.append(int(target[len(_SOCKET) : -1]))
        except OSError:
            # Gone, or another user's: as any of /proc at any time.
            return
        fresh = [inode for inode in found if inode not in self._owners]
        if fresh:
            pid = self._process_of(pid)
        self._scanned[pid] = size
        if not fresh:
            return
        app = self._describe(pid)
        if app is None:
            return
        for inode in fresh:
            self._owners[inode] = app
        while len(self._owners) > _MAX_SOCKETS:
            self._owners.popitem(last=False)
        self._recent[pid] = None
        self._recent.move_to_end(pid)
        while len(self._recent) > KNOWN_OWNERS:
            self._recent.popitem(last=False)

    def _process_of(self, pid: int) -> int:
        """The process that a thread belongs to; a process belongs to itself."""
        try:
            with open(f"{self._proc}/{pid}/status", encoding="utf-8", errors="replace") as file:
                return next(int(line.split()[1]) for line in file if line.startswith("Tgid:"))
        except (OSError, StopIteration, ValueError, IndexError):
            return pid

    def _describe(self, pid: int) -> App | None:
        try:
            with open(f"{self._proc}/{pid}/stat", "rb") as file:
                started = int(file.read().rsplit(b")", 1)[1].split()[19])
            executable = ""
            with contextlib.suppress(PermissionError, FileNotFoundError):
                executable = os.readlink(f"{self._proc}/{pid}/exe")
        except (OSError, ValueError, IndexError):
            return None
        # A process keeps pid and start time over exec, hence the executable.
        identity = _Identity(pid, started, executable)
        app = self._apps.get(identity)
        if app is None:
            app = self._read_app(pid, executable)
            if app is None:
                return None
            self._apps[identity] = app
            if len(self._apps) > _MAX_PROCESSES:
                self._apps.popitem(last=False)
        return app

    def _read_app(self, pid: int, executable: str) -> App | None:
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                command, arguments, user = process.name(), [], ""
                with contextlib.suppress(psutil.AccessDenied):
                    arguments = process.cmdline()
                with contextlib.suppress(psutil.AccessDenied, KeyError):
                    user = process.username()
        except (psutil.Error, OSError):
            return None
        cgroup = ""
        with (
            contextlib.suppress(OSError),
            open(f"{self._proc}/{pid}/cgroup", encoding="utf-8", errors="replace") as file,
        ):
            cgroup = file.read(4096).strip().rsplit(":", 1)[-1]
        return self._rename(
            App(
                name=application_name(executable, arguments, command),
                executable=cut_name(executable.removesuffix(" (deleted)")),
                user=cut_name(user),
                unit=pod_of(cgroup) or unit_of(cgroup),
                container=container_of(cgroup),
            )
        )

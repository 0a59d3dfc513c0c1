"""Which process holds a socket: inode → process by /proc/PID/fd, asked for one socket at a time and swept at intervals.

A connection of some milliseconds needs its answer at once, so a question looks where the answer likely is (owners of
late, then the newest processes) and stops at a cap; the sweep then looks only into processes whose number of open files
changed. Time spent on questions is bounded by a budget.
"""

# pathlib costs ten times as much as the calls it wraps, and this is hot.
# ruff: noqa: PTH115, PTH116, PTH208
from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from netally.capture.app_name import application_name, container_of, cut_name, pod_of, unit_of
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
_GENERATIONS: Final = 4
"""Processes up from the one that was found to the one that opened its socket."""
_MANY_FILES: Final = 512
"""Open files of a parent above which it is not looked into."""
_MAX_SOCKETS: Final = 200_000
_MAX_PROCESSES: Final = 4_096
_SOCKET: Final = "socket:["


class _Identity(NamedTuple):
    pid: int
    started: int
    """Clock ticks since boot; with the pid it is unique."""
    executable: str


class _Described(NamedTuple):
    pid: int
    parent: int
    app: App


class ProcessTable:
    """Sockets and their processes. ``clock`` is the monotonic one, for the budget only. ``events`` tells processes that
    start and end, which takes the place of listing them.
    """

    def __init__(
        self,
        proc: str = "/proc",
        clock: Callable[[], float] = time.monotonic,
        events: ProcessEvents | None = None,
    ) -> None:
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
        self._load_file = -1
        self.misses = 0
        """Questions without an answer, for metrics."""
        if events is not None:
            self._told = dict.fromkeys(reversed(self._by_age()))

    def known(self, inode: int) -> App | None:
        """Process of a socket as far as it is known already."""
        return self._owners.get(inode)

    def program(self, pid: int) -> App | None:
        """What a process is, as long as it lives."""
        described = self._describe(pid)
        return described.app if described is not None else None

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
                if pid not in looked:
                    looked.add(pid)
                    self._scan(pid, uid)
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
            if self._load_file < 0:
                self._load_file = os.open(f"{self._proc}/loadavg", os.O_RDONLY | os.O_CLOEXEC)
            # Fifth field (proc_loadavg(5)), told anew at each reading from the start.
            return int(os.pread(self._load_file, 256, 0).split()[4])
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

    def _scan(self, pid: int, uid: int | None = None) -> None:
        """Take in the sockets of a process; with ``uid`` only if it may hold sockets of this user: the owner of a
        socket is as a rule the user of the process, and root's processes may hold anyone's.
        """
        directory = f"{self._proc}/{pid}/fd"
        found = []
        try:
            # Asked before the listing, which opens a file itself when the process is this one.
            status = os.stat(directory)
            if uid is not None and status.st_uid not in (uid, 0):
                return
            # The newest first, which may be closed before the last is read.
            for name in reversed(os.listdir(directory)):
                try:
                    target = os.readlink(f"{directory}/{name}")
                except OSError:
                    continue
                if target.startswith(_SOCKET):
                    found.append(int(target[len(_SOCKET) : -1]))
        except OSError:
            # Gone, or another user's: as any of /proc at any time.
            return
        size = status.st_size
        fresh = [inode for inode in found if inode not in self._owners]
        if not fresh:
            self._scanned[pid] = size
            return
        described = self._describe(pid)
        if described is None:
            return
        self._scanned[described.pid] = size
        # A sweep comes to who opened a socket before it comes to who got it from there.
        for opener, inodes in self._openers(described, fresh) if uid is not None else [(described, fresh)]:
            for inode in inodes:
                self._owners[inode] = opener.app
            self._recent[opener.pid] = None
            self._recent.move_to_end(opener.pid)
        while len(self._owners) > _MAX_SOCKETS:
            self._owners.popitem(last=False)
        while len(self._recent) > KNOWN_OWNERS:
            self._recent.popitem(last=False)

    def _openers(self, holder: _Described, inodes: list[int]) -> list[tuple[_Described, list[int]]]:
        """Who of a process and those above it opened which of these sockets that it holds.

        Who is looked into for being new may have got its sockets from its parent: a server's children, a shell's
        commands. The first process is no opener: what it listens for on others' behalf is theirs.
        """
        found = []
        for _ in range(_GENERATIONS):
            given = set(inodes) & self._held(holder.parent)
            above = self._describe(holder.parent) if given else None
            if above is None:
                break
            found.append((holder, [inode for inode in inodes if inode not in given]))
            holder, inodes = above, list(given)
        return [*found, (holder, inodes)]

    def _held(self, pid: int) -> set[int]:
        """Sockets of a process; none of the first one, or of one with very many files."""
        directory = f"{self._proc}/{pid}/fd"
        found: set[int] = set()
        try:
            if pid < 2 or os.stat(directory).st_size > _MANY_FILES:
                return found
            for name in os.listdir(directory):
                with contextlib.suppress(OSError):
                    target = os.readlink(f"{directory}/{name}")
                    if target.startswith(_SOCKET):
                        found.add(int(target[len(_SOCKET) : -1]))
        except OSError:
            pass
        return found

    def _describe(self, pid: int) -> _Described | None:
        """The process that a process or thread id belongs to; None when it is gone."""
        try:
            status = self._read(pid, "status").decode(errors="replace")
            pid, parent = int(_field(status, "Tgid:")), int(_field(status, "PPid:"))
            started = int(self._read(pid, "stat").rsplit(b")", 1)[1].split()[19])
            executable = ""
            with contextlib.suppress(PermissionError, FileNotFoundError):
                executable = os.readlink(f"{self._proc}/{pid}/exe")
        except (OSError, ValueError, IndexError):
            return None
        # A process keeps pid and start time over exec, hence the executable.
        identity = _Identity(pid, started, executable)
        app = self._apps.get(identity)
        if app is None:
            app = self._apps[identity] = self._read_app(pid, executable, status)
            if len(self._apps) > _MAX_PROCESSES:
                self._apps.popitem(last=False)
        return _Described(pid, parent, app)

    def _read_app(self, pid: int, executable: str, status: str) -> App:
        arguments: list[str] = []
        cgroup = ""
        with contextlib.suppress(OSError):
            arguments = _arguments(self._read(pid, "cmdline"))
            cgroup = self._read(pid, "cgroup").decode(errors="replace").strip().rsplit(":", 1)[-1]
        return App(
            name=application_name(executable, arguments, _field(status, "Name:")),
            executable=cut_name(executable.removesuffix(" (deleted)")),
            user=cut_name(_user_name(int(_field(status, "Uid:").split()[0]))),
            unit=pod_of(cgroup) or unit_of(cgroup),
            container=container_of(cgroup),
        )

    def _read(self, pid: int, name: str) -> bytes:
        """Beginning of a file of a process. Not by way of a buffered file, which costs several times as much."""
        file = os.open(f"{self._proc}/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(file, 16_384)
        finally:
            os.close(file)


def _field(status: str, name: str) -> str:
    """Value of a field of /proc/PID/status (proc_pid_status(5)); ValueError when it is missing."""
    start = status.index(name) + len(name)
    return status[start : status.index("\n", start)].strip()


def _arguments(line: bytes) -> list[str]:
    """Arguments of /proc/PID/cmdline. Programs that wrote a title over them leave it without a last null byte."""
    return os.fsdecode(line).removesuffix("\0").split("\0" if line.endswith(b"\0") else " ") if line else []


@lru_cache(maxsize=256)
def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)

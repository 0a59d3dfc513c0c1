"""Programs by process id: read in /proc as soon as they open a socket, kept after they end."""

from __future__ import annotations

import pwd
from collections import OrderedDict
from typing import Final

from netally.capture.app_name import application_name, cut_name
from netally.capture.attribution import Processes
from netally.contracts.flow import App

_MAX_PROGRAMS: Final = 2_048
"""The latest are kept: who still lives can be read again, and of who ended little is to come."""


class Programs:
    """A program is a process and what it runs: exec keeps the id and changes the command."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._known: OrderedDict[tuple[int, str], App] = OrderedDict()

    def heard(self, pid: int, command: str) -> None:
        """A program opened a socket just now: look while it lives."""
        app = self._processes.program(pid)
        if app is not None:
            self._keep(pid, command, app)

    def of(self, pid: int, uid: int, command: str) -> App:
        """The program; by the kernel's word alone where it ended before anybody looked."""
        app = self._known.get((pid, command))
        if app is None:
            app = self._processes.program(pid) or App(name=application_name("", [], command), user=cut_name(_user(uid)))
            self._keep(pid, command, app)
        return app

    def _keep(self, pid: int, command: str, app: App) -> None:
        self._known[pid, command] = app
        self._known.move_to_end((pid, command))
        if len(self._known) > _MAX_PROGRAMS:
            self._known.popitem(last=False)

    def forget(self) -> int:
        """How many there were."""
        count = len(self._known)
        self._known.clear()
        return count


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)

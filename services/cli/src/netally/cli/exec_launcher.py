"""Becomes another program that dies with the process that started it: ``python -I -S exec_launcher.py SPEC``.

Run as a script by `netally.cli.supervisor`; standard library only, so that it starts in a few milliseconds. SPEC is
JSON, see `LaunchSpec`. The steps have an order that matters:

1. a private mount namespace with the wanted directories bound to places that everybody may walk to (needs root);
2. the unprivileged user, for good (real, effective and saved ids, no groups);
3. ``PR_SET_PDEATHSIG``, after step 2 because a change of user clears it (prctl(2)); then a look whether the parent died
   before it was set;
4. ``execve``.

What fails is said in one line on stderr, which is the program's log; the exit status is then 126.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from typing import NoReturn, TypedDict

PR_SET_PDEATHSIG = 1  # linux/prctl.h
CLONE_NEWNS = 0x00020000  # linux/sched.h
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 4096, 16384, 1 << 18  # linux/mount.h

FAILED = 126


class LaunchSpec(TypedDict):
    """What to become, and as whom."""

    argv: list[str]
    parent: int
    """Process id of the starter: when it is gone already, nothing is started."""
    death_signal: int
    """Signal sent to the program when its starter dies."""
    uid: int | None
    """User to become; None keeps the present one."""
    gid: int | None
    binds: list[tuple[str, str]]
    """(directory, place below `STAGE`) to bind in a private mount namespace; empty needs no namespace."""


STAGE = next((place for place in ("/mnt", "/srv", "/media", "/opt") if os.path.isdir(place)), "/tmp")  # noqa: S108, PTH112
"""Where bound directories appear: a small tmpfs in the program's own namespace only, nothing on the machine changes."""


def _check(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def bind_in_private_namespace(libc: ctypes.CDLL, binds: list[tuple[str, str]]) -> None:
    """Show each directory at its place below `STAGE`, to this process and its children only."""
    _check(libc.unshare(CLONE_NEWNS), "a private mount namespace")
    # Opened before the tmpfs, which may cover the directories' own paths, and after unshare, because the kernel refuses
    # to bind what was opened in another namespace.
    sources = [(os.open(source, os.O_PATH | os.O_DIRECTORY), place) for source, place in binds]
    _check(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "making mounts private")
    _check(libc.mount(b"tmpfs", STAGE.encode(), b"tmpfs", MS_NOSUID | MS_NODEV, b"mode=0755,size=1m"), "a tmpfs")
    for descriptor, place in sources:
        os.mkdir(place, 0o755)  # noqa: PTH102  (pathlib would triple the start-up time of this script)
        source = f"/proc/self/fd/{descriptor}".encode()
        _check(libc.mount(source, place.encode(), None, MS_BIND | MS_REC, None), f"binding {place}")
        os.close(descriptor)


def become(spec: LaunchSpec) -> NoReturn:
    """Carry out the spec; returns only by exception."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
    if spec["binds"]:
        bind_in_private_namespace(libc, spec["binds"])
    uid, gid = spec["uid"], spec["gid"]
    if uid is not None and gid is not None:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    os.umask(0o077)
    _check(libc.prctl(PR_SET_PDEATHSIG, spec["death_signal"], 0, 0, 0), "PR_SET_PDEATHSIG")
    if os.getppid() != spec["parent"]:
        sys.exit(0)
    # Python ignores these two, and what is ignored stays so through execve.
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)
    os.execve(spec["argv"][0], spec["argv"], os.environ)  # noqa: S606  (replacing this process is the purpose)


def main(spec_json: str) -> NoReturn:
    spec: LaunchSpec = json.loads(spec_json)
    try:
        become(spec)
    except OSError as error:
        print(f"cannot start {spec['argv'][0]}: {error.strerror}", file=sys.stderr)
        sys.exit(FAILED)


if __name__ == "__main__":
    main(sys.argv[1])

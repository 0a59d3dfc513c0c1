"""The data directory: made, checked and locked here; secrets and state in it are written whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from netally.cli.plain_error import PlainError

LEAST_FREE = 200 * 1024**2
"""Free bytes below which nothing is started: PostgreSQL's write-ahead log alone needs most of it."""

LOCK = "lock"


def prepare(path: Path) -> None:
    """Make sure that the directory exists, is this user's, is writable and has room. Raises PlainError otherwise.

    A new one is 0700, as root 0711: the database server then runs as another user and has to walk through. Modes of
    what exists already, the directory's parents above all, are never changed.
    """
    if not path.exists():
        mode = 0o711 if os.geteuid() == 0 else 0o700
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=mode)
        path.chmod(mode)  # mkdir(2) takes the umask off
    if not path.is_dir():
        raise PlainError(f"{path} is not a directory; set NETALLY_DATA_DIR to one.")
    owner = path.stat().st_uid
    if owner != os.geteuid():
        raise PlainError(
            f"the data directory {path} belongs to {user_name(owner)}, and this is {user_name(os.geteuid())}: "
            "run Netally as its owner, or set NETALLY_DATA_DIR to another directory."
        )
    if not os.access(path, os.W_OK | os.X_OK):
        raise PlainError(f"the data directory {path} cannot be written; set NETALLY_DATA_DIR to another directory.")
    free = shutil.disk_usage(path).free
    if free < LEAST_FREE:
        raise PlainError(
            f"only {free // 1024**2} MB are free for {path}, and Netally needs {LEAST_FREE // 1024**2} MB: "
            "free some space, or set NETALLY_DATA_DIR to a directory on another disk."
        )


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the directory for this process. The lock is the kernel's (flock(2)) and goes with the process, however it
    ends; the file's content only tells who has it.
    """
    descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode("ascii", "replace").strip()
            raise PlainError(
                f"`netally up` is already running on {path} (process {holder or 'unknown'}): stop that one first, or "
                "set NETALLY_DATA_DIR and the ports to run a second one."
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def holder_of_lock(path: Path) -> int | None:
    """Process id of the `netally up` that runs on this directory, or None."""
    try:
        descriptor = os.open(path / LOCK, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(descriptor, 20).decode("ascii", "replace").strip()
        return int(text) if text.isdecimal() else 0
    else:
        return None
    finally:
        os.close(descriptor)


def write_private(path: Path, text: str, uid: int = -1, gid: int = -1) -> None:
    """Replace a file in one step, mode 0600, owned by ``uid`` (-1: this user). A crash leaves old or new."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fchown(descriptor, uid, gid)
            os.fsync(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_private(path: Path) -> str | None:
    """Content without surrounding space, or None when there is no such file or it is empty."""
    try:
        return path.read_text("utf-8").strip() or None
    except FileNotFoundError:
        return None


def secret_kept_in(path: Path) -> str:
    """The secret in this file; made now (256 random bits) when there is none yet."""
    kept = read_private(path)
    if kept is None:
        kept = secrets.token_urlsafe(32)
        write_private(path, f"{kept}\n")
    return kept


def user_name(uid: int) -> str:
    """Name of a user, else its number."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"

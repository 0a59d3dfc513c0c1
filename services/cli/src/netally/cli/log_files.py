"""Log files of the started programs: 0600, bounded, rotated.

Programs write to the files themselves (opened for appending and handed over), not through a pipe, so that their last
words are kept even when the supervisor was killed. Rotation therefore copies and empties the file.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

LARGEST = 10 * 1024**2
"""Bytes of a log file before it is rotated."""
KEPT = 2
"""Older files kept beside the current one: ``name.log.1`` is the newer."""

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def open_log(path: Path) -> int:
    """Descriptor for appending; the caller closes it. Makes the file and its directory."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def rotate(path: Path, largest: int = LARGEST) -> bool:
    """Move the content to ``path.1`` (and that to ``path.2``) once it is larger than ``largest``; true if so."""
    try:
        if path.stat().st_size <= largest:
            return False
    except FileNotFoundError:
        return False
    for number in range(KEPT, 1, -1):
        older = path.with_name(f"{path.name}.{number - 1}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number}"))
    copy = path.with_name(f"{path.name}.1")
    shutil.copyfile(path, copy)
    copy.chmod(0o600)
    os.truncate(path, 0)
    return True


def last_line(path: Path, since: int = 0) -> str:
    """Last line that says something, after byte ``since``; empty when there is none. At most 300 characters."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(since if since <= size else 0, size - 8192))
            tail = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    lines = [_ANSI.sub("", line).strip() for line in tail.splitlines()]
    return next((line[:300] for line in reversed(lines) if line), "")

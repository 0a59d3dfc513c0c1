"""Errors that are the person's to solve: said in plain words, without a traceback, with exit status 1."""

from __future__ import annotations

import errno
import os


class PlainError(Exception):
    """What failed and what to do about it, in words for the person who typed the command."""


_ADVICE = {
    errno.ENOSPC: "the disk is full; free some space, or set NETALLY_DATA_DIR to a directory on another disk",
    errno.EDQUOT: "your disk quota is used up; free some space, or set NETALLY_DATA_DIR to another directory",
    errno.EROFS: "the file system is read-only; set NETALLY_DATA_DIR to a directory that can be written",
    errno.EACCES: "no permission (if it is the data directory, set NETALLY_DATA_DIR to one of your own)",
    errno.EPERM: "not permitted",
    errno.EMFILE: "too many open files; raise the limit (`ulimit -n`)",
    errno.ENOMEM: "not enough memory",
}


def in_plain_words(error: OSError) -> str:
    """One sentence for an operating system error: the path it names, and what to do where that is known."""
    advice = _ADVICE.get(error.errno or 0) or os.strerror(error.errno or 0)
    return f"{error.filename}: {advice}" if error.filename else advice

from __future__ import annotations

import errno
import os

from netally.cli.plain_error import in_plain_words


def test_a_full_disk_is_named_with_what_to_do() -> None:
    words = in_plain_words(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/nats.conf"))
    assert words.startswith("/data/nats.conf: the disk is full")
    assert "NETALLY_DATA_DIR" in words


def test_an_error_without_advice_keeps_the_systems_words() -> None:
    assert in_plain_words(OSError(errno.EIO, "x", "/data")) == "/data: Input/output error"

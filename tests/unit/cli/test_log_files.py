from __future__ import annotations

import os
import stat
from pathlib import Path

from netally.cli import log_files


def append(path: Path, data: bytes) -> None:
    descriptor = log_files.open_log(path)
    os.write(descriptor, data)
    os.close(descriptor)


def test_logs_are_for_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "api.log"
    append(path, b"x")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_rotation_keeps_a_bounded_number_and_the_writer_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "api.log"
    descriptor = log_files.open_log(path)
    for turn in range(5):
        os.write(descriptor, b"%d" % turn * 100)
        assert log_files.rotate(path, largest=50)
    os.write(descriptor, b"now")
    os.close(descriptor)
    assert not log_files.rotate(path, largest=50)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["api.log", "api.log.1", "api.log.2"]
    assert path.read_bytes() == b"now"
    assert (tmp_path / "api.log.1").read_bytes() == b"4" * 100
    assert (tmp_path / "api.log.2").read_bytes() == b"3" * 100
    assert stat.S_IMODE((tmp_path / "api.log.1").stat().st_mode) == 0o600


def test_rotating_what_is_not_there_is_nothing(tmp_path: Path) -> None:
    assert not log_files.rotate(tmp_path / "none.log")


def test_the_last_line_is_of_this_run_without_colours(tmp_path: Path) -> None:
    path = tmp_path / "api.log"
    append(path, b"first run said this\n")
    start = path.stat().st_size
    assert log_files.last_line(path, start) == ""
    append(path, b"\x1b[31mport in use\x1b[0m\n\n  \n")
    assert log_files.last_line(path, start) == "port in use"
    assert log_files.last_line(tmp_path / "none.log") == ""


def test_the_last_line_of_a_rotated_log_and_of_a_huge_line(tmp_path: Path) -> None:
    path = tmp_path / "api.log"
    append(path, b"y" * 100_000 + b"\nshort\n")
    assert log_files.last_line(path, 10_000_000) == "short"
    append(path, b"z" * 100_000)
    assert log_files.last_line(path) == "z" * 300

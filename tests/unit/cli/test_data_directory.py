from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from netally.cli import data_directory
from netally.cli.plain_error import PlainError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_directory_is_closed_to_others_and_parents_stay_as_they_are(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    before = os.umask(0o022)
    try:
        data_directory.prepare(tmp_path / "data")
    finally:
        os.umask(before)
    # As root others may walk through (the database server is another user) but not look.
    assert mode(tmp_path / "data") == (0o711 if os.geteuid() == 0 else 0o700)
    assert mode(tmp_path) == 0o700


def test_the_mode_of_an_existing_directory_is_the_owners_business(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    data_directory.prepare(tmp_path)
    assert mode(tmp_path) == 0o750


def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(PlainError, match="not a directory; set NETALLY_DATA_DIR"):
        data_directory.prepare(tmp_path / "data")


@pytest.mark.root
def test_a_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    directory.mkdir()
    os.chown(directory, 65534, 65534)
    with pytest.raises(PlainError, match="belongs to nobody, and this is root"):
        data_directory.prepare(directory)


def test_a_full_disk_is_refused_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(12 * 1024**2))
    with pytest.raises(PlainError, match="only 12 MB are free"):
        data_directory.prepare(tmp_path)


HOLD = "import sys, pathlib\nfrom netally.cli import data_directory\n" + (
    "with data_directory.locked(pathlib.Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()\n"
)


def test_a_second_start_is_refused_and_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert holder.stdout.readline() == "held\n"
    with (
        pytest.raises(PlainError, match=rf"already running on {tmp_path} \(process {holder.pid}\)"),
        data_directory.locked(tmp_path),
    ):
        pass
    assert data_directory.holder_of_lock(tmp_path) == holder.pid
    holder.kill()
    holder.wait()
    holder.stdout.close()
    holder.stdin.close()
    assert data_directory.holder_of_lock(tmp_path) is None
    with data_directory.locked(tmp_path):
        assert data_directory.holder_of_lock(tmp_path) == os.getpid()
    assert data_directory.holder_of_lock(tmp_path) is None


def test_the_lock_is_not_inherited_by_children(tmp_path: Path) -> None:
    with data_directory.locked(tmp_path):
        child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        with data_directory.locked(tmp_path):
            pass
    finally:
        child.communicate(b"")


def test_a_private_file_is_0600_whatever_the_umask_and_replaced_whole(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        data_directory.write_private(tmp_path / "secret", "one\n")
        data_directory.write_private(tmp_path / "secret", "two\n")
    finally:
        os.umask(before)
    assert mode(tmp_path / "secret") == 0o600
    assert data_directory.read_private(tmp_path / "secret") == "two"
    assert list(tmp_path.iterdir()) == [tmp_path / "secret"]


def test_a_private_file_never_follows_a_planted_link(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("untouched")
    (tmp_path / "secret").symlink_to(tmp_path / "victim")
    data_directory.write_private(tmp_path / "secret", "mine")
    assert (tmp_path / "victim").read_text() == "untouched"
    assert not (tmp_path / "secret").is_symlink()


def test_a_secret_is_made_once_and_kept(tmp_path: Path) -> None:
    first = data_directory.secret_kept_in(tmp_path / "admin-token")
    assert len(first) >= 43
    assert data_directory.secret_kept_in(tmp_path / "admin-token") == first
    assert data_directory.secret_kept_in(tmp_path / "another") != first


def test_a_user_without_a_name_is_told_by_number() -> None:
    assert data_directory.user_name(0) == "root"
    assert data_directory.user_name(3_999_999) == "user 3999999"

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from netally.cli import main as main_module
from netally.cli.plain_error import PlainError


def netally(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "netally.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": "/bin", **environ})


def test_help_and_version() -> None:
    assert netally("--version").stdout.startswith("netally ")
    help_text = netally("--help").stdout
    for command in ("up", "login", "doctor"):
        assert f"  {command} " in help_text
    assert netally("up", "-h").returncode == 0


def test_a_wrong_word_is_refused_with_a_hint() -> None:
    done = netally("upp")
    assert done.returncode == 2
    assert "No such command 'upp'" in done.stderr


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    done = netally("up", NETALLY_DATA_DIR=str(tmp_path), NETALLY_WEB_PORT="many")
    assert done.returncode == 1
    assert done.stderr.startswith("netally: NETALLY_WEB_PORT is wrong")
    assert "Traceback" not in done.stderr


def test_login_without_a_running_netally_says_so(tmp_path: Path) -> None:
    done = netally("login", NETALLY_DATA_DIR=str(tmp_path), NETALLY_API_PORT="1")
    assert done.returncode == 1
    assert "is `netally up` running?" in done.stderr


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PlainError("port 7500 is taken"), "netally: port 7500 is taken\n"),
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), "netally: /data/x: the disk is full; free some"),
    ],
)
def test_what_a_person_can_put_right_is_no_traceback(
    error: Exception, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(main_module, "cli", fail)
    with pytest.raises(SystemExit) as exit_request:
        main_module.main()
    assert exit_request.value.code == 1
    assert capsys.readouterr().err.startswith(words)

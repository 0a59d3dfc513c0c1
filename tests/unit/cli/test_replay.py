"""``netally replay``: the agent's program with the bus of the data directory, its output and status unchanged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from netally.cli.plain_error import PlainError
from netally.cli.replay import replay_environment, replayed_host
from netally.cli.settings import CliSettings
from tests.accuracy import OWN


def netally(*arguments: str, directory: Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "netally.cli", "replay", *arguments],
        env={"PATH": "/bin", "NETALLY_DATA_DIR": str(directory)},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_json_lines_pass_through(tmp_path: Path) -> None:
    done = netally(str(OWN / "tls-split.pcap"), "--json", directory=tmp_path)
    assert done.returncode == 0
    assert json.loads(done.stdout)["domain"] == "split.example"


def test_help_and_errors_are_those_of_the_program(tmp_path: Path) -> None:
    assert "--keep-time" in netally("--help", directory=tmp_path).stdout
    done = netally("none.pcap", "--json", directory=tmp_path)
    assert (done.returncode, done.stderr) == (1, "netally: cannot read none.pcap: No such file or directory\n")
    assert netally("--nonsense", directory=tmp_path).returncode == 2


def test_nothing_is_imported_from_the_directory_of_the_capture(tmp_path: Path) -> None:
    (tmp_path / "msgspec.py").write_text("raise SystemExit('imported')")
    (tmp_path / "file.pcap").write_bytes((OWN / "tls-split.pcap").read_bytes())
    done = netally("file.pcap", "--json", directory=tmp_path, cwd=tmp_path)
    assert done.returncode == 0


def test_the_bus_of_the_data_directory_unless_another_is_named(tmp_path: Path) -> None:
    settings = CliSettings(data_dir=str(tmp_path))
    assert replay_environment(settings, {"A": "b"}) == {"A": "b"}
    (tmp_path / "nats-url").write_text("nats://netally:secret@127.0.0.1:4444\n")
    (tmp_path / "nats-url").chmod(0o600)
    assert replay_environment(settings, {}) == {"NETALLY_NATS_URL": "nats://netally:secret@127.0.0.1:4444"}
    named = CliSettings(data_dir=str(tmp_path), nats_url="nats://other:4222")
    assert (
        replay_environment(named, {"NETALLY_NATS_URL": "nats://other:4222"})["NETALLY_NATS_URL"] == "nats://other:4222"
    )


def test_what_is_deleted_is_the_host_that_the_capture_was_shown_under() -> None:
    assert replayed_host(["--delete", "/some/where/holiday.pcap"]) == "replay-holiday"
    assert replayed_host(["holiday.pcap", "--delete", "--host", "beach"]) == "beach"
    assert replayed_host(["-", "--delete"]) == "replay-stdin"
    for wrong in (["--delete"], ["a.pcap", "b.pcap", "--delete"], ["a.pcap", "--delete", "--json"]):
        with pytest.raises(PlainError, match="replay FILE --delete"):
            replayed_host(wrong)

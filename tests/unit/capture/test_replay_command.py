"""The command line of a replay: JSON lines out, remarks and errors in plain words."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from netally.capture import replay_command
from tests.accuracy import OWN

COMMAND = [sys.executable, "-m", "netally.capture", "replay"]


def test_json_lines_have_the_names_that_scripts_read() -> None:
    run = subprocess.run(
        [*COMMAND, str(OWN / "quic-versions.pcap"), "--json"], capture_output=True, check=True, text=True
    )
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    assert list(lines[0]) == [
        "src", "dst", "l4", "c2s_packets", "c2s_bytes", "s2c_packets", "s2c_bytes",
        "domain", "domain_source", "first_seen", "last_seen",
    ]  # fmt: skip
    assert (lines[0]["domain"], lines[0]["domain_source"]) == ("quic.example", "quic_sni")
    assert isinstance(lines[0]["first_seen"], float)
    assert run.stderr == ""


def test_tunnels_and_standard_input() -> None:
    data = (OWN / "tunnels-inner.pcap").read_bytes()
    run = subprocess.run([*COMMAND, "-", "--json", "--tunnels", "inner"], input=data, capture_output=True, check=True)
    assert {json.loads(line)["src"] for line in run.stdout.splitlines()} == {"10.0.0.1:4000", "[fd00::1]:5000"}


def test_remarks_on_what_is_in_no_flow(capfd: pytest.CaptureFixture[str]) -> None:
    assert replay_command.main([str(OWN / "truncated.pcap"), "--json"]) == 0
    assert "ends in the middle of a frame" in capfd.readouterr().err
    assert replay_command.main([str(OWN / "ethernet-kinds.pcap"), "--json"]) == 0
    assert "2 of 11 frames carry no IP" in capfd.readouterr().err


def test_errors_are_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no capture")
    for file, says in (
        (tmp_path / "none.pcap", "No such file"),
        (text, "neither pcap nor pcapng"),
        (tmp_path, "directory"),
    ):
        assert replay_command.main([str(file), "--json"]) == 1
        error = capfd.readouterr().err
        assert says in error
        assert error.count("\n") == 1


def test_a_reader_that_stops_reading_is_no_error() -> None:
    replay = f"{' '.join(COMMAND)} {OWN / 'dns-names.pcap'} --json"
    command = f"{replay} | head -c 1; exit ${{PIPESTATUS[0]}}"
    run = subprocess.run(["bash", "-c", command], capture_output=True, check=True)
    assert run.stderr == b""

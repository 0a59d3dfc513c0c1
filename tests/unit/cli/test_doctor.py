from __future__ import annotations

import json
import socket
import stat
import sys
from pathlib import Path

import msgspec
import pytest

from netally.cli import data_directory, doctor, ports
from netally.cli.settings import CliSettings
from netally.cli.up import RUNNING

PROBE = {
    "mode": "packets",
    "reason": "no eBPF here",
    "advice": "install the probe",
    "interfaces": [
        {"name": "eth0", "captured": True, "addresses": ["192.0.2.2"], "reason": ""},
        {"name": "br0", "captured": False, "addresses": [], "reason": "its members are captured"},
    ],
}


@pytest.fixture
def settings(tmp_path: Path) -> CliSettings:
    free = [ports.free_port() for _ in range(4)]
    return CliSettings(
        data_dir=str(tmp_path / "data"),
        web_port=free[0],
        api_port=free[1],
        aggregator_port=free[2],
        capture_port=free[3],
    )


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that holds what the agent prints; this test is about what becomes of it."""
    answer = tmp_path / "probe.json"
    answer.write_text(json.dumps(PROBE))
    stand_in = tmp_path / "python"
    stand_in.write_text(f"#!/bin/sh\ncat {answer}\n")
    stand_in.chmod(stat.S_IRWXU)
    monkeypatch.setattr(sys, "executable", str(stand_in))
    return answer


@pytest.mark.usefixtures("agent")
def test_a_machine_at_rest_with_nothing_wrong(settings: CliSettings, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.examine(settings) == 0
    said = capsys.readouterr().out
    assert "packets: no eBPF here" in said
    assert "install the probe" in said
    assert "Interfaces     eth0\n" in said
    assert "not captured: br0 (its members are captured)" in said
    assert "Nothing is wrong." in said
    assert not settings.directory.exists(), "looking must not make anything"


@pytest.mark.usefixtures("agent")
def test_a_named_interface_that_is_not_there_is_wrong(
    settings: CliSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor.examine(msgspec.structs.replace(settings, interfaces="eth0, eht1")) == 1
    assert "!! Interfaces     NETALLY_INTERFACES names what is not there: eht1\n" in capsys.readouterr().out


@pytest.mark.usefixtures("agent")
def test_a_taken_port_is_wrong(settings: CliSettings, capsys: pytest.CaptureFixture[str]) -> None:

    with socket.socket() as other:
        other.bind(("127.0.0.1", settings.web_port))
        other.listen()
        assert doctor.examine(settings) == 1
    assert f"!! Ports          port {settings.web_port} is already in use" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "Traceback", "[]", '{"mode": "packets"}'])
def test_an_agent_that_cannot_say_is_wrong(
    settings: CliSettings, agent: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.write_text(text)
    assert doctor.examine(settings) == 1
    assert "!! Capture" in capsys.readouterr().out


def test_seeing_nothing_at_all_is_wrong(settings: CliSettings, agent: Path) -> None:
    agent.write_text(json.dumps({**PROBE, "mode": "none", "interfaces": []}))
    assert doctor.examine(settings) == 1


@pytest.mark.usefixtures("agent")
def test_a_running_part_that_is_not_ready_is_wrong(settings: CliSettings, capsys: pytest.CaptureFixture[str]) -> None:
    data_directory.prepare(settings.directory)
    probes = {"api": f"http://127.0.0.1:{settings.api_port}/api/ready", "capture": ""}
    running = {"web": "http://127.0.0.1:7777", "api": "http://127.0.0.1:7778", "probes": probes}
    (settings.directory / RUNNING).write_text(json.dumps(running))
    with data_directory.locked(settings.directory):
        # The lock is this process's: to `doctor` that is a running `netally up`.
        assert doctor.examine(settings) == 1
    said = capsys.readouterr().out
    assert "runs; pages at http://127.0.0.1:7777/" in said
    assert "!! api            not ready: it does not answer yet" in said
    assert "capture        runs without a probe" in said


def test_ports_of_the_running_one_are_preferred_to_the_settings(settings: CliSettings) -> None:
    data_directory.prepare(settings.directory)
    assert doctor.read_running(settings).web == settings.web_base
    (settings.directory / RUNNING).write_text('{"web": "http://w", "api": "http://a", "probes": {}}')
    assert doctor.read_running(settings).web == "http://w"


@pytest.mark.usefixtures("agent")
def test_a_secret_in_an_url_is_not_printed(settings: CliSettings, capsys: pytest.CaptureFixture[str]) -> None:

    doctor.examine(msgspec.structs.replace(settings, nats_url="nats://ada:s3cret@bus:4222"))
    said = capsys.readouterr().out
    assert "nats://bus:4222" in said
    assert "s3cret" not in said

from __future__ import annotations

import json
import shutil
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from netally.bus.streams import stream_configs
from netally.cli import nats_server


def test_the_streams_fit_into_the_store() -> None:
    """JetStream refuses a stream whose bound exceeds what is left of the store."""
    for free in (0, 5 * nats_server.GIB, 500 * nats_server.GIB):
        flows = nats_server.flows_max_bytes(free)
        assert sum(config.max_bytes or 0 for config in stream_configs(flows)) <= flows + nats_server.OTHER_STREAMS


def test_waiting_batches_leave_most_of_the_disk_free() -> None:
    assert nats_server.flows_max_bytes(40 * nats_server.GIB) == 5 * nats_server.GIB
    assert nats_server.flows_max_bytes(10_000 * nats_server.GIB) == nats_server.MOST_FOR_FLOWS
    assert nats_server.flows_max_bytes(0) == nats_server.LEAST_FOR_FLOWS


def test_ports_password_and_bounds_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, first = nats_server.prepare(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: pytest.fail("decided once"))
    _, second = nats_server.prepare(tmp_path)
    assert second == first
    assert (tmp_path / "nats-url").read_text() == f"nats://netally:{first.password}@127.0.0.1:{first.port}\n"
    for name in ("nats.conf", "nats-url"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_a_port_that_was_taken_meanwhile_is_given_up(tmp_path: Path) -> None:
    _, first = nats_server.prepare(tmp_path)
    with socket.socket() as other:
        other.bind(("127.0.0.1", first.port))
        other.listen()
        _, second = nats_server.prepare(tmp_path)
    assert second.port != first.port
    assert (second.password, second.monitor_port) == (first.password, first.monitor_port)


def test_a_broken_configuration_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "nats.conf").write_text("{")
    _, config = nats_server.prepare(tmp_path)
    assert json.loads((tmp_path / "nats.conf").read_text())["listen"] == f"127.0.0.1:{config.port}"


def test_the_server_accepts_the_configuration(tmp_path: Path) -> None:
    program, _ = nats_server.prepare(tmp_path)
    done = subprocess.run([*program.argv, "-t"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


async def test_it_is_not_ready_before_it_runs(tmp_path: Path) -> None:
    program, _ = nats_server.prepare(tmp_path)
    assert await program.ready(1) == "it does not answer yet"

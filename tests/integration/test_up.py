"""`netally up` as a person meets it: a command that starts everything, says so, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest

from tests.netally_up import NETALLY, Up
from tests.services import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    """On a data directory below a closed one, as ``mktemp -d`` and /root are."""
    tmp_path.chmod(0o700)
    up = Up(tmp_path / "data")
    yield up
    up.close()


def all_gone(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


def cookie_after(up: Up, link: str) -> str:
    """What following the link sets; empty when it logs nobody in."""
    connection = HTTPConnection("127.0.0.1", up.ports["WEB"], timeout=10)
    try:
        connection.request("GET", link.partition(str(up.ports["WEB"]))[2])
        return (connection.getresponse().headers["Set-Cookie"] or "").split(";")[0]
    finally:
        connection.close()


def test_everything_starts_answers_stops_and_goes_on_with_its_data(up: Up) -> None:
    modes = {directory: directory.stat().st_mode for directory in up.data.parents}

    up.start()
    for title in ("NATS", "PostgreSQL", "Aggregator", "API", "Web", "Capture"):
        assert re.search(rf"^  {title} +ready in [0-9.]+ s$", up.words(), re.MULTILINE), up.words()
    status, page = up.get("/", token=up.token)
    assert status == 200
    assert "<html" in page
    assert up.get("/api/hosts", name="API")[0] == 401
    assert up.get("/api/hosts", name="API", token=up.token)[0] == 200
    up.database("CREATE TABLE kept_by_a_person AS SELECT 42 AS answer")

    # Secrets: nobody else may read them, and they are in no process list.
    for name in ("admin-token", "nats-url", "database-url", "nats.conf", "children.json"):
        assert (up.data / name).stat().st_mode & 0o077 == 0, name
    for log in (up.data / "logs").iterdir():
        assert log.stat().st_mode & 0o077 == 0, log
        assert up.token not in log.read_text(), log
    running = up.children()
    assert not any(up.token in word for process in running for word in process.cmdline())

    assert up.end() == 0
    assert "Everything is stopped." in up.words()
    assert all_gone(running)
    assert {directory: directory.stat().st_mode for directory in up.data.parents} == modes

    up.start()
    assert up.database("SELECT answer FROM kept_by_a_person") == 42
    assert up.end(signal.SIGINT, group=True) == 0


def test_the_link_logs_one_browser_in_once(up: Up) -> None:
    up.start()
    link = next(line.split()[1] for line in up.said if line.startswith("Open"))
    assert link.startswith(f"http://127.0.0.1:{up.ports['WEB']}/login?code=")
    assert up.token not in up.words()
    assert "10 minutes" in up.words()
    cookie = cookie_after(up, link)
    assert up.get("/api/hosts", cookie=cookie)[0] == 200
    assert not cookie_after(up, link)
    another = subprocess.run([NETALLY, "login"], env=up.environ, capture_output=True, text=True, check=True).stdout
    assert another.startswith(f"http://127.0.0.1:{up.ports['WEB']}/login?code=")
    assert another.strip() != link


def test_after_a_kill_nothing_is_left_and_the_next_start_works(up: Up) -> None:
    up.start()
    up.database("CREATE TABLE kept_by_a_person AS SELECT 42 AS answer")
    running = up.children()
    assert len(running) > 5
    assert up.end(signal.SIGKILL) == -signal.SIGKILL
    wait_until(lambda: all_gone(running), within=20)
    up.start()
    assert up.database("SELECT answer FROM kept_by_a_person") == 42


def test_a_part_that_dies_comes_back(up: Up) -> None:
    up.start()
    assert up.process is not None
    os.kill(up.parts()["api"], signal.SIGKILL)
    assert up.process.stdout is not None
    line = up.process.stdout.readline()
    assert "API          was ended by SIGKILL; starting it again in 1 s." in line
    wait_until(lambda: up.get("/api/hosts", token=up.token)[0] == 200, within=30)


def test_a_taken_port_is_said_in_plain_words(up: Up) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", up.ports["API"]))
        other.listen()
        output, _ = up.spawn().communicate(timeout=60)
    assert up.process is not None
    assert up.process.returncode == 1
    assert f"port {up.ports['API']} is already in use by " in output
    assert f"(process {os.getpid()})" in output
    assert "NETALLY_API_PORT" in output
    assert "Traceback" not in output


def test_a_second_one_on_the_same_data_is_refused_and_the_first_goes_on(up: Up) -> None:
    services = ("aggregator", "api", "web", "capture")
    up.start(*(word for name in services for word in ("--without", name)))
    second = subprocess.run([NETALLY, "up"], env=up.environ, capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert f"already running on {up.data}" in second.stderr
    assert up.database("SELECT 1") == 1


def test_a_stop_while_starting_leaves_nothing(up: Up) -> None:
    process = up.spawn()
    assert process.stdout is not None
    for line in process.stdout:
        up.said.append(line.rstrip())
        if "first start" in line:
            break
    running = up.children()
    assert up.end() == 0
    assert all_gone(running)


def test_doctor_tells_about_a_running_and_a_stopped_one(up: Up) -> None:
    def doctor() -> subprocess.CompletedProcess[str]:
        return subprocess.run([NETALLY, "doctor"], env=up.environ, capture_output=True, text=True, check=False)

    up.start()
    running = doctor()
    assert running.returncode == 0, running.stdout
    for part in ("aggregator", "api", "web", "capture"):
        assert re.search(rf"^   {part} +ready$", running.stdout, re.MULTILINE), running.stdout
    assert re.search(r"^   Capture mode +(ebpf|packets|unprivileged)", running.stdout, re.MULTILINE)
    up.end()
    stopped = doctor()
    assert stopped.returncode == 0, stopped.stdout
    assert "does not run" in stopped.stdout


def test_own_servers_are_used_when_they_are_named(up: Up, nats_url: str, empty_database_url: str) -> None:
    up.environ |= {"NETALLY_NATS_URL": nats_url, "NETALLY_DATABASE_URL": empty_database_url}
    up.start()
    assert not (up.data / "postgres").exists()
    assert not (up.data / "nats.conf").exists()
    assert "NETALLY_DATABASE_URL names postgresql://127.0.0.1:" in up.words()
    assert up.get("/api/hosts", token=up.token)[0] == 200

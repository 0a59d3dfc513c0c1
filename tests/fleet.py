"""A fleet in network namespaces: a hub, agents and a server, joined by a bridge; each a machine of its own."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.namespaces import Namespace, ip
from tests.services import wait_until

NETALLY = Path(sys.executable).parent / "netally"


class Hub:
    """`netally up --without capture` in a namespace, asked through its public surfaces only."""

    def __init__(self, namespace: Namespace, directory: Path) -> None:
        self.namespace = namespace
        self.data = directory / "hub"
        self._environment = {"NETALLY_DATA_DIR": str(self.data), "NETALLY_HOST": "hub", "NETALLY_CONFIG": "/dev/null"}
        self._process: subprocess.Popen[str] | None = None

    def command(self, *arguments: str) -> str:
        """Standard output of `netally …` there."""
        environment = [f"{name}={value}" for name, value in self._environment.items()]
        return self.namespace.run("env", *environment, NETALLY, *arguments, timeout=60)

    def start(self) -> None:
        self._process = self.namespace.start(NETALLY, "up", "--without", "capture", env=self._environment)
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            said.append(line)
            if line.startswith("Stop"):
                return
        raise AssertionError("the hub did not start:\n" + "".join(said))

    def stop(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)

    def _ask(self, port: int, path: str, *more: str) -> str:
        token = (self.data / "admin-token").read_text().strip()
        return self.namespace.run(
            "curl", "--silent", "--show-error", "--fail-with-body", "--max-time", "40",
            "-H", f"Authorization: Bearer {token}", *more, f"http://127.0.0.1:{port}{path}", timeout=60,
        )  # fmt: skip

    def api(self, path: str) -> Any:
        return json.loads(self._ask(7501, path))

    def order(self, path: str, **arguments: object) -> Any:
        body = ("--header", "Content-Type: application/json", "--data", json.dumps(arguments))
        return json.loads(self._ask(7501, path, *body))

    def page(self, path: str) -> str:
        return self._ask(7500, path)


class Agent:
    """An agent on a machine of its own, joined by the line that the hub printed."""

    def __init__(self, namespace: Namespace, name: str, directory: Path) -> None:
        self.namespace, self.name = namespace, name
        self._environment = {
            "NETALLY_DATA_DIR": str(directory / name),
            "NETALLY_CONFIG": str(directory / f"{name}.toml"),
            "NETALLY_INTERFACES": namespace.interface,
            # These machines share one kernel, whose programs (mode ebpf) see the sockets of all of them.
            "NETALLY_CAPTURE_MODE": "packets",
        }
        self._process: subprocess.Popen[str] | None = None

    def join(self, line: str) -> None:
        program, verb, argument = line.split()
        assert (program, verb) == ("netally", "join")
        environment = [f"{name}={value}" for name, value in self._environment.items()]
        self.namespace.run("env", *environment, NETALLY, "join", argument)

    def start(self) -> None:
        """`captures` waits for it, so that several can start at a time."""
        self._process = self.namespace.start(sys.executable, "-m", "netally.capture", env=self._environment)

    def captures(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        lines = []
        for line in self._process.stdout:
            lines.append(line)
            if '"event": "capturing"' in line:
                return
        raise AssertionError("the agent ended: " + "".join(lines))

    def waits_for(self) -> dict[str, str]:
        """What its readiness probe says that it waits for, by part."""
        answer = json.loads(self.namespace.run("curl", "--silent", "http://127.0.0.1:7503/readyz"))
        waiting: dict[str, str] = answer.get("waiting_for") or {}
        return waiting

    def counted(self) -> dict[str, int]:
        """Bytes above Ethernet that its interface carried, by direction."""
        now = self.namespace.counters()
        return {
            "bytes_in": now["rx_bytes"] - 14 * now["rx_packets"],
            "bytes_out": now["tx_bytes"] - 14 * now["tx_packets"],
        }


class Fleet:
    def __init__(self, hub: Hub, agents: Sequence[Agent], server: Namespace) -> None:
        self.hub, self.agents, self.server = hub, agents, server
        self.cut_at = 0.0
        """When the last agent lost its way to the hub, by the monotonic clock."""


def _machine(bridge: Namespace, name: str, number: int, tag: str) -> Namespace:
    """A namespace with 10.77.0.``number`` on a port of the bridge, without segmentation offloads."""
    made = Namespace(f"{name}-{tag}", f"v{number}{tag}", f"10.77.0.{number}", f"fd77::{number}")
    ip("netns", "add", made.name)
    ip("-n", made.name, "link", "set", "lo", "up")
    port = f"p{number}{tag}"
    ip("link", "add", made.interface, "netns", made.name, "type", "veth", "peer", port)
    ip("link", "set", port, "netns", bridge.name)
    ip("-n", bridge.name, "link", "set", port, "master", "bridge0", "up")
    ip("-n", made.name, "address", "add", f"{made.ipv4}/24", "dev", made.interface)
    ip("-n", made.name, "link", "set", made.interface, "up")
    made.run(sys.executable, "-m", "tests.peers.offloads", made.interface, "off")
    return made


@contextlib.contextmanager
def fleet(count: int) -> Iterator[Fleet]:
    """A hub at 10.77.0.1, ``count`` agents from 10.77.0.11 on, a server at 10.77.0.100; nothing is started yet."""
    tag = uuid.uuid4().hex[:6]
    bridge = Namespace(f"bridge-{tag}", "bridge0", "", "")
    machines: list[Namespace] = []
    with tempfile.TemporaryDirectory(prefix="netally-fleet-") as name:
        directory = Path(name)
        # The database server is another user and walks through.
        directory.chmod(0o711)
        try:
            ip("netns", "add", bridge.name)
            ip("-n", bridge.name, "link", "add", "bridge0", "type", "bridge")
            ip("-n", bridge.name, "link", "set", "bridge0", "up")
            numbers = {"hub": 1, **{f"web-{each}": 10 + each for each in range(1, count + 1)}, "server": 100}
            for machine, number in numbers.items():
                machines.append(_machine(bridge, machine, number, tag))
            agents = [
                Agent(namespace, f"web-{number}.example.org", directory)
                for number, namespace in enumerate(machines[1:-1], 1)
            ]
            yield Fleet(Hub(machines[0], directory), agents, machines[-1])
        finally:
            for each in [*machines, bridge]:
                each.close()


def ready(agents: Sequence[Agent]) -> None:
    """Wait until every agent captures and its batches leave."""
    for agent in agents:
        agent.captures()
    wait_until(lambda: all(not agent.waits_for() for agent in agents), within=60, every=0.5)

"""Network namespaces as test hosts: ``with linked_namespaces() as (client, server)`` gives two, joined by a veth pair.

Needs root. Everything is removed at the end, processes included.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

from tests.services import die_with_parent

REPOSITORY = Path(__file__).resolve().parent.parent


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


class Namespace:
    """One test host: a network namespace with its own /etc/resolv.conf when wanted."""

    def __init__(self, name: str, interface: str, ipv4: str, ipv6: str) -> None:
        self.name, self.interface, self.ipv4, self.ipv6 = name, interface, ipv4, ipv6
        self._processes: list[subprocess.Popen[str]] = []

    def command(self, *arguments: str | Path) -> list[str]:
        return ["ip", "netns", "exec", self.name, *map(str, arguments)]

    def run(self, *arguments: str | Path, timeout: float = 30, check: bool = True) -> str:
        """Standard output of a command inside; fails with its standard error when it fails."""
        done = subprocess.run(
            self.command(*arguments), capture_output=True, text=True, timeout=timeout, check=False, cwd=REPOSITORY
        )
        if check and done.returncode:
            raise AssertionError(f"{arguments} ended with {done.returncode}: {done.stderr}{done.stdout}")
        return done.stdout

    def start(self, *arguments: str | Path, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """A process inside, in a group of its own; ended with the namespace."""
        process = subprocess.Popen(
            self.command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=REPOSITORY,
            env={**os.environ, **(env or {})},
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        self._processes.append(process)
        return process

    def serve(self, module: str, *arguments: str) -> subprocess.Popen[str]:
        """A program of ``tests.peers`` inside; returns when it has said that it is ready."""
        process = self.start(sys.executable, "-m", f"tests.peers.{module}", *arguments)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line == "ready\n", f"{module} did not start: {line}{process.stdout.read()}"
        return process

    def counters(self) -> dict[str, int]:
        """rx/tx bytes and packets of the namespace's interface, as the kernel counts them."""
        line = next(
            row for row in self.run("cat", "/proc/net/dev").splitlines() if row.strip().startswith(self.interface)
        )
        values = [int(word) for word in line.split(":")[1].split()]
        return {"rx_bytes": values[0], "rx_packets": values[1], "tx_bytes": values[8], "tx_packets": values[9]}

    def close(self) -> None:
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        subprocess.run(["ip", "netns", "delete", self.name], check=False, capture_output=True)
        shutil.rmtree(Path("/etc/netns") / self.name, ignore_errors=True)


@contextlib.contextmanager
def linked_namespaces(*, offload: bool = True, nameserver: bool = True) -> Iterator[tuple[Namespace, Namespace]]:
    """(client, server): 10.9.0.2 and fd09::2, 10.9.0.1 and fd09::1 over one veth pair.

    ``offload`` False switches segmentation offloads off on both ends, so that each packet is one wire segment.
    ``nameserver`` True points the client's resolver at the server, where ``serve("dns_server", …)`` answers.
    """
    tag = uuid.uuid4().hex[:6]
    client = Namespace(f"nc{tag}", f"vc{tag}", "10.9.0.2", "fd09::2")
    server = Namespace(f"ns{tag}", f"vs{tag}", "10.9.0.1", "fd09::1")
    try:
        for namespace in (client, server):
            ip("netns", "add", namespace.name)
            ip("-n", namespace.name, "link", "set", "lo", "up")
        ip("link", "add", client.interface, "netns", client.name, "type", "veth", "peer", server.interface)
        ip("link", "set", server.interface, "netns", server.name)
        for namespace in (client, server):
            at = ("-n", namespace.name)
            ip(*at, "address", "add", f"{namespace.ipv4}/24", "dev", namespace.interface)
            ip(*at, "address", "add", f"{namespace.ipv6}/64", "dev", namespace.interface, "nodad")
            ip(*at, "link", "set", namespace.interface, "up")
            if not offload:
                namespace.run(sys.executable, "-m", "tests.peers.offloads", namespace.interface, "off")
        ip("-n", client.name, "route", "add", "default", "via", server.ipv4)
        if nameserver:
            directory = Path("/etc/netns") / client.name
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "resolv.conf").write_text(f"nameserver {server.ipv4}\n")
        yield client, server
    finally:
        client.close()
        server.close()

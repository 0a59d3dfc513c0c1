from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from prometheus_client import CollectorRegistry

from netally.telemetry.ask_probe import ask, own_url
from netally.telemetry.probes import serve_probes
from tests.services import free_port


async def test_a_probe_is_asked_as_a_container_does_it() -> None:
    waiting: dict[str, str] = {}
    server = await serve_probes(0, lambda: waiting, registry=CollectorRegistry())
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/readyz"

    async def outcome() -> tuple[int | None, bytes]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "netally.telemetry.ask_probe", url, stdout=subprocess.PIPE
        )
        said, _ = await process.communicate()
        return process.returncode, said

    assert await outcome() == (0, b"")
    waiting["bus"] = "not connected yet"
    code, said = await outcome()
    assert code == 1
    assert b"not connected yet" in said
    server.close()


def test_nobody_there_is_said() -> None:
    assert ask(f"http://127.0.0.1:{free_port()}/readyz").startswith("it does not answer")


@pytest.mark.parametrize("url", ["http://example.org/", "file:///etc/passwd", "http://127.0.0.1@example.org/", ""])
def test_nothing_but_this_machine_is_asked(url: str) -> None:
    assert ask(url).endswith("is no probe on this machine")


def test_a_container_asks_its_own_service_at_its_port() -> None:
    assert own_url({"NETALLY_SERVICE": "api"}) == "http://127.0.0.1:7501/api/health"
    assert own_url({"NETALLY_SERVICE": "web", "NETALLY_WEB_PORT": "8080"}) == "http://127.0.0.1:8080/livez"
    # One that runs a command and ends.
    assert own_url({"NETALLY_SERVICE": "cli"}) == own_url({}) == ""

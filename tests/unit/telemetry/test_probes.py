from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry, Counter

from netally.telemetry.probes import serve_probes


class Probes:
    def __init__(self) -> None:
        self.waiting: dict[str, str] = {}
        self.port = 0

    async def send(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            if request.endswith(b"\r\n\r\n"):
                return await reader.read()
            writer.write_eof()
            return await reader.read()
        finally:
            writer.close()

    async def get(self, path: str) -> tuple[int, str]:
        head, _, body = (await self.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())).partition(b"\r\n\r\n")
        assert f"Content-Length: {len(body)}".encode() in head
        return int(head.split(b" ")[1]), body.decode()


@pytest.fixture
async def probes() -> AsyncIterator[Probes]:
    registry = CollectorRegistry()
    Counter("netally_test_things", "Things", registry=registry).inc(3)
    probes = Probes()
    server = await serve_probes(0, lambda: probes.waiting, registry=registry)
    probes.port = server.sockets[0].getsockname()[1]
    yield probes
    server.close()
    await server.wait_closed()


async def test_ready_and_not_ready_with_the_reason(probes: Probes) -> None:
    assert (await probes.get("/readyz"))[0] == 200
    probes.waiting = {"bus": "connection refused"}
    status, body = await probes.get("/readyz?verbose")
    assert status == 503
    assert json.loads(body) == {"ready": False, "waiting_for": {"bus": "connection refused"}}
    assert await probes.get("/livez") == (200, "ok\n")


async def test_metrics_and_nothing_else(probes: Probes) -> None:
    status, body = await probes.get("/metrics")
    assert status == 200
    assert "netally_test_things_total 3.0" in body
    assert (await probes.get("/"))[0] == 404
    assert b" 404 " in await probes.send(b"POST /livez HTTP/1.1\r\n\r\n")


@pytest.mark.parametrize("request_bytes", [b"", b"GET", b"\r\n\r\n", b"GET\r\n\r\n", b"\xff" * 100, b"x" * 20_000])
async def test_rubbish_does_not_end_the_server(probes: Probes, request_bytes: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        await probes.send(request_bytes)
    assert (await probes.get("/livez"))[0] == 200


async def test_a_taken_port_is_an_error(probes: Probes) -> None:
    with pytest.raises(OSError, match="in use"):
        await serve_probes(probes.port, dict)

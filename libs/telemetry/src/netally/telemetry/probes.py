"""``/livez``, ``/readyz`` and ``/metrics`` of services that have no web server of their own (capture, aggregator)."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

Readiness = Callable[[], Mapping[str, str]]
"""Named parts that are not ready, with the reason in plain words; empty when all is well."""

_REQUEST_LIMIT = 8 * 1024


async def serve_probes(
    port: int, readiness: Readiness, *, host: str = "127.0.0.1", registry: CollectorRegistry = REGISTRY
) -> asyncio.Server:
    """Listen for probes. GET only, one request a connection, bounded in size and time. Raises OSError when the port is
    taken. Close the returned server to stop.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(5):
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split(b" ", 2)[1].split(b"?")[0].decode("latin-1") if head.startswith(b"GET ") else ""
                status, kind, body = _respond(path, readiness, registry)
                writer.write(
                    f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
                    "Connection: close\r\nX-Content-Type-Options: nosniff\r\n\r\n".encode("latin-1")
                    + body
                )
                await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, host, port, limit=_REQUEST_LIMIT)


def _respond(path: str, readiness: Readiness, registry: CollectorRegistry) -> tuple[str, str, bytes]:
    if path == "/livez":
        return "200 OK", "text/plain; charset=utf-8", b"ok\n"
    if path == "/readyz":
        missing = dict(readiness())
        status = "503 Service Unavailable" if missing else "200 OK"
        body = json.dumps({"ready": not missing, "waiting_for": missing}).encode() + b"\n"
        return status, "application/json", body
    if path == "/metrics":
        return "200 OK", CONTENT_TYPE_LATEST, generate_latest(registry)
    return "404 Not Found", "text/plain; charset=utf-8", b"not found\n"

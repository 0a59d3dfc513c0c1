"""``/api/`` passed on to the API, bytes for bytes, so that a browser needs to know one origin only.

Streams both ways: live events and downloads are never held back. When the browser goes away, so does the request to
the API.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import cast

import httpx
import msgspec
from litestar import asgi
from litestar.enums import ScopeType
from litestar.types import HTTPScope, Receive, Scope, Send

from netally.contracts.forwarding import Client, client_of
from netally.contracts.queries import Problem
from netally.web.api_client import PATIENCE_SECONDS
from netally.web.metrics import PROXIED

BODY_LIMIT = 1024 * 1024
HEADER_COUNT_LIMIT = 100
HEADER_BYTES_LIMIT = 32 * 1024

HOP_BY_HOP = frozenset(
    {
        b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection",
        b"te", b"trailer", b"transfer-encoding", b"upgrade",
    }
)  # fmt: skip
"""RFC 9110 section 7.6.1: they end here, as do those that Connection names."""

OURS = frozenset({b"host", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"forwarded", b"x-real-ip"})
"""Said by us alone, so that a client cannot forge them."""

Headers = list[tuple[bytes, bytes]]


class BodyTooLarge(Exception):  # noqa: N818
    """The client sent more than BODY_LIMIT."""


def forwarded_headers(headers: Headers, client: Client) -> Headers:
    """Request headers for the API."""
    kept = [pair for pair in end_to_end(headers) if pair[0].lower() not in OURS]
    return [
        *kept,
        (b"x-forwarded-for", client.address.encode("latin-1")),
        (b"x-forwarded-host", client.host.encode("latin-1")),
        (b"x-forwarded-proto", client.scheme.encode("latin-1")),
    ]


def end_to_end(headers: Headers) -> Headers:
    """Headers without those that belong to one connection."""
    named = {
        name.strip().lower() for key, value in headers if key.lower() == b"connection" for name in value.split(b",")
    }
    return [(key, value) for key, value in headers if key.lower() not in HOP_BY_HOP and key.lower() not in named]


def refusal(scope: Scope) -> Problem | None:
    """Why a request is not passed on; null when it is."""
    headers: Headers = list(scope["headers"])
    if len(headers) > HEADER_COUNT_LIMIT or sum(len(key) + len(value) for key, value in headers) > HEADER_BYTES_LIMIT:
        return Problem("Too many headers", 431, "The request has more than 100 headers or 32 kB of them.")
    length = dict(headers).get(b"content-length", b"0")
    if length.isdigit() and int(length) > BODY_LIMIT:
        return _too_large()
    if any(part in (b".", b"..") for part in _raw_path(scope).lower().replace(b"%2e", b".").split(b"/")):
        return Problem("Wrong path", 400, "The path has a segment “.” or “..”.")
    return None


def _too_large() -> Problem:
    return Problem("Request too large", 413, "The body of a request may have up to 1 MiB.")


def _raw_path(scope: Scope) -> bytes:
    # Litestar cuts the mount off scope["path"]; the raw path is as the client sent it.
    return bytes(scope["raw_path"]).split(b"?")[0]


@asgi("/api", is_mount=True, copy_scope=True)
async def api_proxy(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != ScopeType.HTTP:  # a server gives a plain string, so not `is not`
        return
    problem = refusal(scope)
    if problem is None:
        problem = await _pass_on(scope, receive, send)
    if problem is not None:
        PROXIED.labels(f"{problem.status // 100}xx").inc()
        await _answer(problem, send)


async def _pass_on(scope: Scope, receive: Receive, send: Send) -> Problem | None:
    """Pass a request on and its answer back. Returns a problem when there is no answer to pass back."""
    http: httpx.AsyncClient = scope["litestar_app"].state.api.http
    gone, read = asyncio.Event(), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        size = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                gone.set()
                raise httpx.RequestError("the client went away")
            chunk = bytes(message["body"])
            size += len(chunk)
            if size > BODY_LIMIT:
                raise BodyTooLarge
            if chunk:
                yield chunk
            if not message.get("more_body", False):
                read.set()
                return

    headers: Headers = list(scope["headers"])
    has_body = any(key.lower() in (b"content-length", b"transfer-encoding") for key, _ in headers)
    if not has_body:
        read.set()
    client = client_of(
        scope["client"][0] if scope["client"] else "",
        scope["scheme"],
        {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in headers},
        scope["litestar_app"].state.proxies,
    )
    query = bytes(scope["query_string"])
    request = http.build_request(
        str(cast("HTTPScope", scope)["method"]),
        http.base_url.copy_with(raw_path=_raw_path(scope) + (b"?" + query if query else b"")),
        headers=forwarded_headers(headers, client),
        content=body() if has_body else None,
        # A live stream is silent for as long as nothing happens.
        timeout=httpx.Timeout(None, connect=PATIENCE_SECONDS),
    )
    started = False

    async def exchange() -> None:
        nonlocal started
        answer = await http.send(request, stream=True)
        try:
            PROXIED.labels(f"{answer.status_code // 100}xx").inc()
            started = True
            raw = end_to_end(list(answer.headers.raw))
            await send({"type": "http.response.start", "status": answer.status_code, "headers": raw})
            async for chunk in answer.aiter_raw():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await answer.aclose()

    async def client_leaves() -> None:
        await read.wait()
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()

    work, watch = asyncio.ensure_future(exchange()), asyncio.ensure_future(client_leaves())
    try:
        await asyncio.wait([work, watch], return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            return None
        work.result()
    except BodyTooLarge:
        return None if started else _too_large()
    except httpx.HTTPError:
        if started or gone.is_set():
            # Half an answer cannot be taken back: cutting the connection is what tells the client.
            if started and not gone.is_set():
                raise
            return None
        return Problem("API not reachable", 503, "The API cannot be reached. It is tried anew with the next request.")
    finally:
        for task in (work, watch):
            if not task.done():
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, httpx.HTTPError, BodyTooLarge):
                    await task
    return None


async def _answer(problem: Problem, send: Send) -> None:
    body = msgspec.json.encode(problem)
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})

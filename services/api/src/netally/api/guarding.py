"""What stands before every handler: credentials, role, same-origin rule, known parameters, security headers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from typing import Any, Final, cast
from urllib.parse import urlsplit

from litestar.connection import ASGIConnection
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.handlers import BaseRouteHandler
from litestar.middleware import ASGIMiddleware
from litestar.params import QueryParameter
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send
from litestar.typing import FieldDefinition

from netally.api import metrics
from netally.api.access import COOKIE, Access
from netally.api.permissions import ANONYMOUS, BROWSER, NEEDS, THIS_MACHINE, check_role
from netally.api.problems import bad_parameter, forbidden, unauthorized
from netally.contracts.forwarding import Client, Proxies, client_of
from netally.contracts.queries import Session

STREAM: Final = "stream"
"""Handler option: the answer never ends; its own response watches for the client's leave."""

NO_PROXIES: Final = Proxies()
"""Those of this machine alone."""
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
SEND_TIMEOUT: Final = 20.0
"""Seconds a client may leave one piece of an answer untaken."""

EXTENSION_ORIGINS: Final = ("moz-extension://", "chrome-extension://")
DOCS_PATHS: Final = frozenset({"/api", "/api/", "/api/docs", "/api/docs/"})
_STRICT_CSP: Final = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
# Swagger UI: own script and style files; its style sheet embeds images, its script sets style attributes.
_DOCS_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


async def add_security_headers(message: Message, scope: Scope) -> None:
    """``before_send`` hook: the only place that sees every answer, errors and files included."""
    if message["type"] != "http.response.start":
        return
    headers = MutableScopeHeaders.from_message(message)
    for name, value in _HEADERS.items():
        headers[name] = value
    headers["Content-Security-Policy"] = _DOCS_CSP if scope["path"] in DOCS_PATHS else _STRICT_CSP
    headers.setdefault("Cache-Control", "no-store")
    if scope["scheme"] == "https":
        headers["Strict-Transport-Security"] = "max-age=31536000"
    _count(message["status"], scope)


def _count(status: int, scope: Scope) -> None:
    handler = scope.get("route_handler")
    # The route's template, never the path that was asked for: anyone could make up any number of those.
    route = next(iter(sorted(handler.paths)), "/") if handler is not None else "none"
    method = _method(scope)
    known = method if method in {"GET", "POST", "DELETE", "HEAD", "OPTIONS"} else "other"
    metrics.REQUESTS.labels(known, route, str(status)).inc()


def _method(scope: Scope) -> str:
    return str(cast("HTTPScope", scope)["method"])


class SessionEndedError(Exception):
    """The credentials of an answer that is still being sent are good no more."""


class Credentials(ASGIMiddleware):
    """Lets through whose bearer token or session cookie suffices; the `Session` is then ``request.auth``."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, access: Access, trusted: Proxies) -> None:
        self._access = access
        self._trusted = trusted

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        connection: ASGIConnection[Any, Any, Any, Any] = ASGIConnection(scope)
        options = scope["route_handler"].opt
        if options.get(NEEDS) == BROWSER:
            check_extension(connection)
        else:
            check_origin(connection, self._trusted)
        scope["user"] = scope["auth"] = None
        needs = options.get(NEEDS)
        if needs == ANONYMOUS or (needs == THIS_MACHINE and is_direct_from_loopback(connection)):
            await next_app(scope, receive, send)
            return
        cookie = "" if "authorization" in connection.headers else connection.cookies.get(COOKIE, "")
        session = await self._session(connection, cookie)
        if cookie:
            check_same_site(connection)
        check_role(session, options)
        scope["auth"] = session
        if not options.get(STREAM):
            await next_app(scope, receive, send)
            return
        with contextlib.suppress(SessionEndedError):
            await self._stream(scope, receive, send, next_app, session, cookie)

    async def _stream(
        self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp, session: Session, cookie: str
    ) -> None:
        """An answer that goes on ends with the credentials that it was asked for with."""
        ended = False

        async def checked_send(message: Message) -> None:
            nonlocal ended
            if ended:
                raise SessionEndedError
            if message["type"] == "http.response.body" and not await self._access.still(session, cookie):
                ended = True
                raise SessionEndedError
            await send(message)

        try:
            await next_app(scope, receive, checked_send)
        except Exception:
            # Whatever the layers between make of it.
            if not ended:
                raise
            raise SessionEndedError from None

    async def _session(self, connection: ASGIConnection[Any, Any, Any, Any], cookie: str) -> Session:
        kind, _, token = connection.headers.get("authorization", "").partition(" ")
        if kind:
            address = client_address(connection, self._trusted)
            # On this machine a wrong token in one script must not lock the others out.
            limited = not is_direct_from_loopback(connection)
            return await self._access.of_bearer(
                token.strip() if kind.lower() == "bearer" else "", address, limited=limited
            )
        if not cookie:
            raise unauthorized("Log in, or send the header Authorization: Bearer with a token.")
        return await self._access.of_cookie(cookie)


class ClientPresence(ASGIMiddleware):
    """Cancels the handler, and with it its query, when the client leaves; ends an answer nobody takes."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        started = time.monotonic()
        not_taken = asyncio.Event()

        async def bounded_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                metrics.REQUEST_SECONDS.labels(scope["route_handler"].handler_name).observe(time.monotonic() - started)
            try:
                async with asyncio.timeout(SEND_TIMEOUT):
                    await send(message)
            except TimeoutError:
                not_taken.set()
                raise

        try:
            if _method(scope) not in SAFE_METHODS or scope["route_handler"].opt.get(STREAM):
                await next_app(scope, receive, bounded_send)
            else:
                await _until_client_leaves(_run(next_app, scope, bounded_send), receive)
        except Exception:
            # Whatever the layers above make of the timeout: there is nobody to tell. The server closes the connection.
            if not not_taken.is_set():
                raise
            metrics.ANSWERS_NOT_TAKEN.inc()


async def _until_client_leaves(work: Coroutine[Any, Any, None], receive: Receive) -> None:
    """A GET has no body that a handler would read, so that its receive channel can be watched."""
    answer = asyncio.ensure_future(work)
    leave = asyncio.ensure_future(_leave(receive))
    try:
        await asyncio.wait({answer, leave}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            metrics.QUERIES_CANCELLED.labels("client_left").inc()
            answer.cancel()
            await asyncio.wait({answer})
        if not answer.cancelled():
            answer.result()
    finally:
        leave.cancel()
        answer.cancel()


async def _run(app: ASGIApp, scope: Scope, send: Send) -> None:
    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    await app(scope, receive, send)


async def _leave(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def check_origin(connection: ASGIConnection[Any, Any, Any, Any], trusted: Proxies) -> None:
    """403 for an unsafe method that another site's page sent. Clients that are no browsers send neither header."""
    if _method(connection.scope) in SAFE_METHODS:
        return
    if connection.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise forbidden("The request comes from another site's page.")
    origin = connection.headers.get("origin")
    if origin is None:
        return
    # The web service passes on the name under which the browser knows it.
    hosts = {connection.headers.get("host", "").lower(), client(connection, trusted).host.lower()}
    if _netloc(origin) not in hosts - {""}:
        raise forbidden("The request comes from another site's page.")


def check_extension(connection: ASGIConnection[Any, Any, Any, Any]) -> None:
    """403 for an unsafe method that any site's page sent, the hub's own included: only extensions report."""
    origin = connection.headers.get("origin")
    if _method(connection.scope) in SAFE_METHODS or (origin or "").startswith(EXTENSION_ORIGINS):
        return
    # Clients that are no browsers send neither header.
    if origin is not None or connection.headers.get("sec-fetch-site", "none") != "none":
        raise forbidden("Only the Netally extension reports tabs, no page of a site.")


def check_same_site(connection: ASGIConnection[Any, Any, Any, Any]) -> None:
    """403 for an unsafe method with a cookie and without a word on where it comes from: every browser says it."""
    if _method(connection.scope) in SAFE_METHODS:
        return
    if not {"origin", "sec-fetch-site"} & set(connection.headers):
        raise forbidden("With a session, a change says where it comes from (header Origin). Scripts send a token.")


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:  # "http://[::1": no browser says so
        return ""


def check_parameters(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """400 for a parameter that the handler does not know, or that is there twice without being a list."""
    given = connection.query_params
    if not given:
        return
    known = _query_parameters(handler)
    for name in given:
        if name not in known:
            choice = f"it knows {', '.join(sorted(known))}" if known else "it knows none"
            raise bad_parameter(name[:100], f"There is no parameter {name[:100]!r} here: {choice}.")
        if len(given.getall(name)) > 1 and not known[name].is_non_string_sequence:
            raise bad_parameter(name, f"{name} is given more than once.")
        if any("\0" in value for value in given.getall(name)):
            # No text of PostgreSQL can hold one.
            raise bad_parameter(name, f"{name} holds a NUL character.")


def _query_parameters(handler: BaseRouteHandler) -> dict[str, FieldDefinition]:
    """Name in the address → definition, those of the handler's dependencies included."""
    providers = handler.resolve_dependencies()
    signatures = [handler.parsed_fn_signature]
    signatures += [
        providers[name].parsed_fn_signature for name in handler.parsed_fn_signature.parameters if name in providers
    ]
    return {
        field.kwarg_definition.name or name: field
        for signature in signatures
        for name, field in signature.parameters.items()
        if isinstance(field.kwarg_definition, QueryParameter)
    }


def peer(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    return connection.client.host if connection.client else ""


def client(connection: ASGIConnection[Any, Any, Any, Any], trusted: Proxies) -> Client:
    """Who asks, as far as a proxy that is believed tells it."""
    return client_of(peer(connection), connection.url.scheme, connection.headers, trusted)


def client_address(connection: ASGIConnection[Any, Any, Any, Any], trusted: Proxies) -> str:
    """Address for the limit on attempts."""
    return client(connection, trusted).address


def is_direct_from_loopback(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    proxied = any(name.startswith("x-forwarded-") or name == "forwarded" for name in connection.headers)
    return NO_PROXIES.believe(peer(connection)) and not proxied

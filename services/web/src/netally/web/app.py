"""The web service: settings in, a Litestar application out. Nothing is opened before it starts."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
from collections.abc import AsyncIterator
from typing import Any

import structlog
import uvicorn
from litestar import Litestar, MediaType, Request, Response, get
from litestar.config.compression import CompressionConfig
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from netally.telemetry.certificates import client_context, server_files
from netally.telemetry.host_header import with_valid_host
from netally.telemetry.logging import configure_logging
from netally.telemetry.settings import SettingsError, load_settings
from netally.web.api_client import ApiClient, ApiProblem, open_client
from netally.web.assets import static_file
from netally.web.browser_sites import browsers_page
from netally.web.components import components
from netally.web.details import application_page, domain_page, host_page
from netally.web.explore import delete_view, explore_csv, explore_page, save_view
from netally.web.faults import on_any_fault, on_api_problem, on_http_fault, on_range_fault
from netally.web.history import history_page
from netally.web.lists import applications_page, domains_page, hosts_page
from netally.web.live_page import live_page, live_stream, live_tree_stream
from netally.web.metrics import observe_page, start_watch
from netally.web.named import application_by_name, domain_by_name, host_by_name
from netally.web.operations import (
    cancel_command,
    command_page,
    command_stream,
    confirm_preview,
    operations,
    order_command,
)
from netally.web.operations import settings as settings_page
from netally.web.pages import overview
from netally.web.proxy import api_proxy
from netally.web.ranges import RangeError, server_zone
from netally.web.security import set_headers
from netally.web.sessions import appearance, login, login_page, logout
from netally.web.settings import WebSettings
from netally.web.tokens import make_token, revoke_token, tokens_page
from netally.web.visits import Clock, wall_clock

FORM_LIMIT = 16 * 1024
UNPACKED = ["^/api", "^/livez", "^/static", "/events$"]
"""Passed on as they came, streams, and files that are packed already."""

log = structlog.get_logger()


@get("/livez", media_type=MediaType.TEXT, include_in_schema=False)
async def livez() -> str:
    return "ok\n"


@get("/readyz", include_in_schema=False)
async def readyz(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
    """Ready when the API answers: without it there is nothing to show."""
    alive = await request.app.state.api.alive()
    waiting = {} if alive else {"api": "the API does not answer"}
    return Response({"ready": alive, "waiting_for": waiting}, status_code=200 if alive else 503)


@get("/metrics", include_in_schema=False)
async def metrics() -> Response[bytes]:
    return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def create_app(settings: WebSettings | None = None, *, clock: Clock = wall_clock) -> Litestar:
    """The application. Opens no connection; the pool to the API lives as long as the application runs."""
    settings = settings or WebSettings()

    @contextlib.asynccontextmanager
    async def api_connection(app: Litestar) -> AsyncIterator[None]:
        async with open_client(settings.api_base, client_context(settings.api_ca)) as http:
            app.state.api = ApiClient(http)
            yield

    return Litestar(
        route_handlers=[
            overview, applications_page, application_page, domains_page, domain_page, browsers_page,
            hosts_page, host_page, application_by_name, domain_by_name, host_by_name,
            history_page, explore_page, explore_csv, save_view, delete_view,
            live_page, live_stream, live_tree_stream, login_page, login, logout, appearance,
            operations, settings_page, order_command, command_page, confirm_preview, cancel_command, command_stream,
            tokens_page, make_token, revoke_token,
            components, static_file, api_proxy, livez, readyz, metrics,
        ],
        lifespan=[api_connection],
        state=State({
            "zone": server_zone(settings.timezone), "clock": clock, "proxies": settings.proxies(),
            "development": settings.development, "label": settings.demo_label,
        }),
        before_request=start_watch,
        before_send=[set_headers, observe_page],
        compression_config=CompressionConfig(backend="gzip", gzip_compress_level=6, exclude=UNPACKED),
        exception_handlers={
            ApiProblem: on_api_problem,
            RangeError: on_range_fault,
            HTTPException: on_http_fault,
            Exception: on_any_fault,
        },
        request_max_body_size=FORM_LIMIT,
        openapi_config=None,
        logging_config=None,
    )  # fmt: skip


def listen(address: str, port: int) -> socket.socket:
    """A bound socket. Raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
    except OSError:
        listener.close()
        raise
    return listener


def main() -> None:
    """Serve until SIGTERM or SIGINT; exit code 0 then, 1 when the settings or the port are no good."""
    try:
        settings = load_settings(WebSettings)
        tls = server_files("NETALLY_WEB", settings.web_tls_certificate, settings.web_tls_key)
        app = create_app(settings)
    except SettingsError as error:
        sys.exit(f"netally web: {error}")
    configure_logging("web", settings.log_level)
    try:
        listener = listen(settings.bind, settings.web_port)
    except OSError as error:
        sys.exit(
            f"netally web: cannot listen on {settings.bind}:{settings.web_port}: {error.strerror}. "
            "Set NETALLY_WEB_PORT to a free port."
        )
    config = uvicorn.Config(
        with_valid_host(app),
        http="httptools",
        loop="uvloop",
        log_config=None,
        access_log=False,
        server_header=False,
        **tls,
        proxy_headers=False,
        # Open live streams end by themselves only when their reader leaves.
        timeout_graceful_shutdown=1,
        timeout_keep_alive=30,
    )
    server = uvicorn.Server(config)

    def stop(*_: object) -> None:
        server.should_exit = True

    # For a signal before uvicorn has its own handlers, and for the one that it raises again once it has shut down,
    # which would be the exit code.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    log.info("web listens", address=settings.bind, port=listener.getsockname()[1], api=settings.api_base)
    server.run(sockets=[listener])
    log.info("web stopped")

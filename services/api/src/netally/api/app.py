"""Composition root of the API service."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import structlog
import uvicorn
from litestar import Litestar
from litestar.di import Provide
from litestar.exceptions import HTTPException

from netally.api import (
    about,
    applications,
    breakdown,
    browser_reports,
    browser_sites,
    browsers,
    commands,
    config,
    documents,
    domains,
    export,
    filter_completion,
    flows,
    historical,
    hosts,
    live_stream,
    sessions,
    state,
    stats,
    tokens,
    views,
)
from netally.api.access import TOKEN_FILE, Access
from netally.api.access_reports import AccessReports
from netally.api.access_state import AccessState
from netally.api.bus import LiveBus
from netally.api.command_bus import CommandBus
from netally.api.database import STATEMENT_TIMEOUT, Database
from netally.api.documents import StrictBodies, openapi_config
from netally.api.guarding import ClientPresence, Credentials, add_security_headers, check_parameters
from netally.api.live import LiveTraffic
from netally.api.live_feed import LiveFeed
from netally.api.permissions import ADMIN, ANONYMOUS, BROWSER, OPERATOR, THIS_MACHINE, VIEWER, routes
from netally.api.problems import ProblemError, on_any_exception, on_http_exception, on_problem
from netally.api.reading import Clock, asking
from netally.api.report_limit import ReportLimit
from netally.api.service_orders import ServiceOrders
from netally.api.settings import Settings
from netally.api.visible import visible_hosts
from netally.bus.credentials import BusSettings, read_access, service_inbox
from netally.telemetry.certificates import server_files
from netally.telemetry.host_header import with_valid_host
from netally.telemetry.logging import configure_logging
from netally.telemetry.settings import SettingsError, load_settings

MAX_BODY = 16 * 1024
ACCESS_TIMEOUT = 2.0
SHUTDOWN_SECONDS = 1
"""Open live streams would hold the process for as long as their readers like."""

log = structlog.get_logger()


def wall_clock() -> int:
    return time.time_ns() // 1_000_000


def create_app(
    settings: Settings | None = None,
    credentials: BusSettings | None = None,
    *,
    clock: Clock = wall_clock,
    statement_timeout: float = STATEMENT_TIMEOUT,
) -> Litestar:
    """The application. Nothing is connected before its lifespan starts; until then queries answer 503."""
    settings = load_settings(Settings) if settings is None else settings
    database = Database(settings.database_url, statement_timeout, settings.database_statement_cache)
    traffic = LiveTraffic()
    feed = LiveFeed(traffic, clock)
    access_to_bus = read_access(credentials or load_settings(BusSettings), service_inbox("api"))
    bus = LiveBus(settings.nats_url, lambda sample: traffic.add(sample, clock()), access_to_bus)
    # A connection of its own: who asks must be known also while queries hold all others.
    accounts = Database(settings.database_url, ACCESS_TIMEOUT, settings.database_statement_cache, connections=1)
    access_state = AccessState(accounts, clock)
    reports = AccessReports(bus, access_state)
    access = Access(settings.admin_token, settings.directory() / TOKEN_FILE, clock, access_state, reports)
    trusted = settings.proxies()
    orders = ServiceOrders(bus)

    @asynccontextmanager
    async def connections(_: Litestar) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(part.run()) for part in (database, accounts, bus, feed, orders, reports)]
        try:
            yield
        finally:
            feed.close()
            await _end(tasks)
            await bus.close()
            await database.close()
            await accounts.close()

    def provide(value: object) -> Provide:
        return Provide(lambda: value, sync_to_thread=False)

    return Litestar(
        # Who may what: here, and nowhere else.
        route_handlers=[
            *routes(
                ANONYMOUS,
                sessions.log_in,
                state.health,
                state.ready,
            ),
            *routes(
                THIS_MACHINE,
                state.prometheus,
                all_hosts=True,
            ),
            *routes(
                BROWSER,
                browser_reports.active_tab,
                browser_reports.status,
            ),
            *routes(
                VIEWER,
                stats.bandwidth,
                stats.timeline,
                breakdown.breakdown,
                stats.summary,
                applications.applications,
                applications.application,
                applications.application_timeline,
                applications.application_domains,
                applications.application_hosts,
                domains.domains,
                domains.top_domains,
                domains.domain,
                domains.domain_timeline,
                domains.domain_browsers,
                domains.domain_applications,
                browsers.browsers,
                browser_sites.browser_sites,
                browser_sites.site,
                hosts.hosts,
                hosts.host,
                hosts.conservation,
                hosts.fleet_conservation,
                flows.protocols,
                flows.remotes,
                flows.flows,
                historical.daily,
                historical.weekly,
                historical.monthly,
                historical.heatmap,
                historical.compare,
                filter_completion.complete_filter,
                about.about,
                views.views,
                live_stream.live,
                sessions.make_code,
                sessions.session,
                sessions.log_out,
                documents.asset,
                documents.asyncapi,
                commands.kinds,
                commands.ledger,
                commands.one,
                commands.events,
                config.show,
                export.download,
                export.manifest,
            ),
            *routes(
                OPERATOR,
                commands.order,
                commands.cancel,
                export.export,
            ),
            *routes(
                OPERATOR,
                config.aggregate,
                config.refresh_cache,
                all_hosts=True,
            ),
            *routes(
                ADMIN,
                config.cleanup,
                config.change,
                tokens.tokens,
                tokens.create,
                tokens.revoke,
            ),
        ],
        dependencies={
            "access": provide(access),
            "access_state": provide(access_state),
            "asked": Provide(asking, sync_to_thread=False),
            "bus": provide(bus),
            "report_limit": provide(ReportLimit(clock)),
            "clock": provide(clock),
            "command_bus": provide(CommandBus(bus, database, clock)),
            "database": provide(database),
            "feed": provide(feed),
            "live": provide(traffic),
            "visible": Provide(visible_hosts, sync_to_thread=False),
            "trusted": provide(trusted),
        },
        middleware=[ClientPresence(), Credentials(access, trusted)],
        guards=[check_parameters],
        before_send=[add_security_headers],
        exception_handlers={
            ProblemError: on_problem,
            HTTPException: on_http_exception,
            Exception: on_any_exception,
        },
        lifespan=[connections],
        openapi_config=openapi_config(),
        plugins=[StrictBodies()],
        request_max_body_size=MAX_BODY,
        logging_config=None,
    )


async def _end(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel until it is done: wait_for of Python 3.11, which nats-py connects with, can swallow a cancellation."""
    waiting = set(tasks)
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=0.1)
    await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    """Serve until SIGTERM or SIGINT; exit code 0 then, 1 when it cannot start."""
    try:
        settings = load_settings(Settings)
        configure_logging("api", settings.log_level)
        tls = server_files("NETALLY_API", settings.api_tls_certificate, settings.api_tls_key)
        listener = _listen(settings.bind, settings.api_port)
    except SettingsError as error:
        sys.exit(f"netally api: {error}")
    except OSError as error:
        sys.exit(f"netally api: cannot listen on {settings.bind} port {settings.api_port}: {error.strerror}")
    config = uvicorn.Config(
        with_valid_host(create_app(settings)),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_config=None,
        lifespan="on",
        proxy_headers=False,
        server_header=False,
        **tls,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    server = uvicorn.Server(config)

    def stop(*_: object) -> None:
        server.should_exit = True

    # For a signal before uvicorn has its own handlers, and for the one that it raises again once it has stopped, which
    # would be the exit code.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    log.info("listening", host=settings.bind, port=listener.getsockname()[1])
    server.run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener

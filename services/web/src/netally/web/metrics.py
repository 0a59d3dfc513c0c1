"""Counters of the web service."""

from __future__ import annotations

import time
from typing import Any

from litestar import Request
from litestar.types import Message, Scope
from prometheus_client import Counter, Gauge, Histogram

PAGE_SECONDS = Histogram(
    "netally_web_page_seconds",
    "Time to answer a page, by page and status",
    ["page", "status"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
API_READS = Counter("netally_web_api_reads_total", "Reads of the API, by outcome", ["outcome"])
LIVE_STREAMS = Gauge("netally_web_live_streams", "Open live streams")
PROXIED = Counter("netally_web_proxied_total", "Requests passed on to the API, by status class", ["status"])


async def start_watch(request: Request[Any, Any, Any]) -> None:
    """``before_request`` hook."""
    request.scope["state"]["started"] = time.monotonic()


async def observe_page(message: Message, scope: Scope) -> None:
    """``before_send`` hook: counts what is HTML, by the handler's name, never by the path that was asked for."""
    if message["type"] != "http.response.start" or "started" not in scope["state"]:
        return
    handler = scope.get("route_handler")
    page = getattr(handler, "handler_name", "none")
    PAGE_SECONDS.labels(page, str(message["status"])).observe(time.monotonic() - scope["state"]["started"])

"""A visit: who asks for a page, in which zone and theme, and the page that answers it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from litestar import MediaType, Request, Response

from netally.contracts import forwarding
from netally.web.api_client import ApiClient, ApiProblem, Reader
from netally.web.appearance import THEMES, UNITS, style_of
from netally.web.figures import STYLE, zone_words
from netally.web.ranges import find_zone
from netally.web.rendering import Frame, render
from netally.web.roles import DENIED, Denied, denied

VERSION = version("netally-web")

AnyRequest = Request[Any, Any, Any]
Clock = Callable[[], int]


def wall_clock() -> int:
    """Epoch milliseconds."""
    return time.time_ns() // 1_000_000


class Visit(msgspec.Struct, frozen=True):
    """One request for a page."""

    request: AnyRequest
    api: ApiClient
    reader: Reader
    zone: ZoneInfo
    zone_known: bool
    theme: str
    now: int

    @property
    def partial(self) -> bool:
        """Whether htmx asks, to swap a part."""
        return self.request.headers.get("hx-request") == "true"

    def frame(self, title: str, *, signed_in: bool = True, query: str = "") -> Frame:
        url = self.request.url
        return Frame(
            title,
            url.path,
            self.theme,
            zone_words(self.zone, self.now),
            self.zone.key,
            self.zone_known,
            VERSION,
            f"{url.path}?{url.query}" if url.query else url.path,
            signed_in,
            query,
            UNITS["bytes" if STYLE.get().rates_in_bytes else "bits"],
            self.request.app.state.label,
        )

    def page(
        self, template: str, title: str, *, status: int = 200, signed_in: bool = True, query: str = "", **context: Any
    ) -> Response[str]:
        """A whole page."""
        html = render(template, frame=self.frame(title, signed_in=signed_in, query=query), **context)
        return Response(html, status_code=status, media_type=MediaType.HTML, headers={"X-Request-Id": self.request_id})

    async def know_role(self) -> None:
        """For the page that is made next. Where the API does not tell nothing is switched off: it refuses by itself."""
        try:
            DENIED.set(denied(await self.api.together(self.api.session(self.reader))))
        except ApiProblem:
            DENIED.set(Denied())

    @property
    def request_id(self) -> str:
        return self.reader.request_id


def visit_of(request: AnyRequest) -> Visit:
    """The visit a request makes."""
    state = request.app.state
    chosen = _zone_of(request, "zone") or _zone_of(request, "tz")
    theme = request.cookies.get("theme", "system")
    headers = request.headers
    STYLE.set(style_of(request.cookies, headers.get("accept-language", "")))
    client = client_of(request)
    reader = Reader(
        request_id=_request_id(request),
        cookie=headers.get("cookie", ""),
        authorization=headers.get("authorization", ""),
        host=client.host,
        origin=headers.get("origin", ""),
        site=headers.get("sec-fetch-site", ""),
        scheme=client.scheme,
        address=client.address,
    )
    return Visit(
        request,
        state.api,
        reader,
        chosen or state.zone,
        chosen is not None,
        theme if theme in THEMES else "system",
        state.clock(),
    )


def client_of(request: AnyRequest) -> forwarding.Client:
    """Who asks, as far as a proxy that is believed tells it."""
    peer = request.client.host if request.client else ""
    return forwarding.client_of(peer, request.scope["scheme"], request.headers, request.app.state.proxies)


def _zone_of(request: AnyRequest, cookie: str) -> ZoneInfo | None:
    """Zone of a cookie: ``zone`` is one that was chosen, ``tz`` what the browser told."""
    return find_zone(request.cookies.get(cookie, "").replace("%2F", "/"))


def _request_id(request: AnyRequest) -> str:
    """One id a request, so that an error page, the log and the API's log name the same."""
    if "request_id" not in request.scope["state"]:
        request.scope["state"]["request_id"] = secrets.token_hex(5)
    return str(request.scope["state"]["request_id"])

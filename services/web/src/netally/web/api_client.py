"""The API as the pages see it: typed answers, and one kind of failure.

Every read carries the reader's own cookie or token; this service has no rights of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TypeVar

import httpx
import msgspec

from netally.contracts.access import NewToken, TokenOrder, TokenRow, TokensAnswer
from netally.contracts.command_answers import (
    CommandAnswer,
    CommandEventRow,
    CommandOrder,
    CommandRow,
    CommandsAnswer,
    ConfigAnswer,
)
from netally.contracts.queries import (
    AboutAnswer,
    ApplicationsAnswer,
    BandwidthAnswer,
    DomainsAnswer,
    FleetConservationAnswer,
    HostsAnswer,
    LiveEvent,
    LoginCode,
    Problem,
    Session,
    SummaryAnswer,
    TimelineAnswer,
    ViewsAnswer,
)
from netally.web.metrics import API_READS
from netally.web.ranges import Range, write_time

T = TypeVar("T")

ANSWER_SECONDS = 10.0
"""A read that takes longer is given up, even if the API is alive."""
PATIENCE_SECONDS = 1.2
"""After this long without an answer the API is asked whether it lives at all."""
PULSE_SECONDS = 0.5
CANCEL_SECONDS = 20.0
"""To cancel a command the API waits until it has stopped."""
MOVERS = 60
"""As many as the live stream has."""
QUIET_SECONDS = 40.0
"""A stream of events says at least every 15 s that it is there."""


class ApiProblem(Exception):  # noqa: N818  (a problem in the sense of RFC 9457)
    """The API did not give the answer that was asked for.

    ``status`` is its HTTP status, or 0 when it could not be reached. ``detail`` is in plain words. ``parameter`` is the
    field at fault and ``command`` the id of a refused command, where there is one. Of a filter, ``start`` and ``end``
    are the characters at fault (from 0).
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        parameter: str = "",
        command: str = "",
        start: int | None = None,
        end: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.parameter = parameter
        self.command = command
        self.start = start
        self.end = end


class Reader(msgspec.Struct, frozen=True):
    """Who reads: the headers that prove it, passed on as they came."""

    request_id: str
    cookie: str = ""
    authorization: str = ""
    host: str = ""
    origin: str = ""
    site: str = ""
    """What the browser says of where the request comes from (``Sec-Fetch-Site``)."""
    scheme: str = "http"
    address: str = ""

    def __repr__(self) -> str:
        # A traceback with local variables must not show a secret.
        return f"Reader({self.request_id})"

    def headers(self, more: Mapping[str, str]) -> dict[bytes, bytes]:
        """With ``more`` beside them. In bytes: other programs of the machine set cookies too, in any encoding."""
        pairs = {
            "X-Request-Id": self.request_id,
            "Cookie": self.cookie,
            "Authorization": self.authorization,
            "Origin": self.origin,
            "Sec-Fetch-Site": self.site,
            "X-Forwarded-Host": self.host,
            "X-Forwarded-Proto": self.scheme,
            "X-Forwarded-For": self.address,
        }
        return {name.encode(): value.encode("latin-1") for name, value in {**pairs, **more}.items() if value}


def open_client(base_url: str, tls: ssl.SSLContext | None = None) -> httpx.AsyncClient:
    """The one connection pool to the API: no redirects, no proxies from the environment, no limit on live streams."""
    return httpx.AsyncClient(
        base_url=base_url,
        verify=tls or ssl.create_default_context(),
        timeout=httpx.Timeout(ANSWER_SECONDS, connect=PATIENCE_SECONDS),
        # The API closes what was idle for 5 s: a connection given up before that is never met closed.
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=2.0),
        follow_redirects=False,
        trust_env=False,
        # Packing what crosses loopback costs more than it saves; a browser's own wish is passed on as it is.
        headers={"Accept-Encoding": "identity"},
        # The pool serves every reader: a cookie that it kept would be the session of one sent for all others.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    )


def range_parameters(shown: Range) -> dict[str, str]:
    """How the API is told a range."""
    if shown.preset:
        return {"range": shown.preset}
    return {"from": write_time(shown.start), "to": write_time(shown.end)}


class ApiClient:
    """Typed reads. All raise ApiProblem."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def bandwidth(self, reader: Reader) -> BandwidthAnswer:
        return await self._get(reader, "/api/stats/bandwidth", {"limit": MOVERS}, BandwidthAnswer)

    async def timeline(self, reader: Reader, shown: Range, *, split: str) -> TimelineAnswer:
        """Bytes over time, one series for each of the largest of ``split``; one series when there was no traffic,
        which still tells what was measured.
        """
        path, span = "/api/stats/timeline", range_parameters(shown)
        answer = await self._get(reader, path, {**span, "split": split}, TimelineAnswer)
        return answer if answer.series else await self._get(reader, path, span, TimelineAnswer)

    async def applications(self, reader: Reader, shown: Range, *, limit: int, **more: str | int) -> ApplicationsAnswer:
        parameters = {**range_parameters(shown), "limit": limit, **more}
        return await self._get(reader, "/api/applications", parameters, ApplicationsAnswer)

    async def domains(self, reader: Reader, shown: Range, *, limit: int, **more: str | int) -> DomainsAnswer:
        parameters = {**range_parameters(shown), "limit": limit, **more}
        return await self._get(reader, "/api/domains", parameters, DomainsAnswer)

    async def hosts(self, reader: Reader, shown: Range) -> HostsAnswer:
        return await self._get(reader, "/api/hosts", range_parameters(shown), HostsAnswer)

    async def summary(self, reader: Reader, shown: Range) -> SummaryAnswer:
        """Totals of today, this week, this month and the range, each against what lay before."""
        return await self._get(reader, "/api/stats/summary", range_parameters(shown), SummaryAnswer)

    async def conservation(self, reader: Reader, shown: Range) -> FleetConservationAnswer:
        """Where every byte of the fleet's counters went."""
        return await self._get(reader, "/api/conservation", range_parameters(shown), FleetConservationAnswer)

    async def about_range(self, reader: Reader, path: str, shown: Range, kind: type[T], **more: str | int) -> T:
        """The answer of any address that takes a range; parameters that are empty are left out."""
        given = {**range_parameters(shown), **more}
        return await self._get(reader, path, {name: value for name, value in given.items() if value != ""}, kind)

    async def about(self, reader: Reader) -> AboutAnswer:
        return await self._get(reader, "/api/about", {}, AboutAnswer)

    async def views(self, reader: Reader) -> ViewsAnswer:
        """Pages that people keep."""
        return await self._get(reader, "/api/views", {}, ViewsAnswer)

    async def config(self, reader: Reader) -> ConfigAnswer:
        return await self._get(reader, "/api/config", {}, ConfigAnswer)

    async def commands(
        self, reader: Reader, *, limit: int, before: str = "", name: str = "", state: str = ""
    ) -> CommandsAnswer:
        """The ledger, newest first; ``before`` is ``next`` of an answer."""
        wanted = {"before": before, "name": name, "state": state}
        parameters: dict[str, str | int] = {"limit": limit, **{key: value for key, value in wanted.items() if value}}
        return await self._get(reader, "/api/commands", parameters, CommandsAnswer)

    async def command(self, reader: Reader, command_id: str) -> CommandAnswer:
        return await self._get(reader, f"/api/commands/{command_id}", {}, CommandAnswer)

    async def order(self, reader: Reader, order: CommandOrder, *, wait: float) -> CommandRow:
        """Order a command; how it stands after at most ``wait`` seconds."""
        answer = await self._send(
            reader, "POST", "/api/commands", msgspec.to_builtins(order), parameters={"wait": f"{wait:g}"}
        )
        return _decode(answer, CommandRow)

    async def cancel(self, reader: Reader, command_id: str) -> CommandRow:
        """Take a command back or stop it; how it stands then."""
        answer = await self._send(reader, "DELETE", f"/api/commands/{command_id}", patience=CANCEL_SECONDS)
        return _decode(answer, CommandRow)

    @contextlib.asynccontextmanager
    async def command_events(
        self, reader: Reader, command_id: str, after: int
    ) -> AsyncIterator[AsyncIterator[CommandEventRow]]:
        """Events of a command with a higher id than ``after`` as they happen; they end with the command."""
        path = f"/api/commands/{command_id}/events"
        headers = {"Last-Event-ID": str(after)} if after else {}
        async with self._stream(reader, path, CommandEventRow, QUIET_SECONDS, headers) as events:
            yield events

    async def alive(self) -> bool:
        """Whether the API's process answers within half a second."""
        try:
            answer = await self.http.get("/api/health", timeout=PULSE_SECONDS)
        except httpx.HTTPError:
            return False
        return answer.status_code < 500

    async def together(self, reads: Awaitable[T]) -> T:
        """Await reads for as long as the API lives. A dead or stopped API is known within two seconds."""
        task = asyncio.ensure_future(reads)
        try:
            done, _ = await asyncio.wait([task], timeout=PATIENCE_SECONDS)
            if not done and not await self.alive():
                raise ApiProblem(0, "The API did not answer.")
            return await task
        finally:
            if not task.done():
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, ApiProblem):
                    await task

    async def session(self, reader: Reader) -> Session:
        """Who reads."""
        return await self._get(reader, "/api/session", {}, Session)

    async def tokens(self, reader: Reader) -> list[TokenRow]:
        return (await self._get(reader, "/api/tokens", {}, TokensAnswer)).tokens

    async def make_token(self, reader: Reader, order: TokenOrder) -> NewToken:
        answer = await self._send(reader, "POST", "/api/tokens", msgspec.to_builtins(order), patience=CANCEL_SECONDS)
        return _decode(answer, NewToken)

    async def revoke_token(self, reader: Reader, token: str) -> TokenRow:
        answer = await self._send(reader, "DELETE", f"/api/tokens/{token}", patience=CANCEL_SECONDS)
        return _decode(answer, TokenRow)

    async def open_session(self, reader: Reader, *, code: str = "", token: str = "") -> list[str]:
        """Exchange a login code, or a token, for a session. Returns its Set-Cookie lines.

        A token buys a code first, so that there is one way into a session.
        """
        if token:
            if not token.isascii() or not token.isprintable():
                raise ApiProblem(401, "No token has such characters.")
            bearer = msgspec.structs.replace(reader, cookie="", authorization=f"Bearer {token}")
            answer = await self._send(bearer, "POST", "/api/session/codes")
            code = _decode(answer, LoginCode).code
        answer = await self._send(reader, "POST", "/api/session", {"code": code})
        return answer.headers.get_list("set-cookie")

    async def close_session(self, reader: Reader) -> list[str]:
        """End the session. Returns the Set-Cookie lines that take the cookie away."""
        return (await self._send(reader, "DELETE", "/api/session")).headers.get_list("set-cookie")

    @contextlib.asynccontextmanager
    async def live(self, reader: Reader) -> AsyncIterator[AsyncIterator[LiveEvent]]:
        """The live stream; silence of more than ANSWER_SECONDS ends it with ApiProblem."""
        async with self._stream(reader, "/api/live", LiveEvent, ANSWER_SECONDS) as events:
            yield events

    @contextlib.asynccontextmanager
    async def _stream(
        self, reader: Reader, path: str, kind: type[T], silence: float, more: Mapping[str, str] | None = None
    ) -> AsyncIterator[AsyncIterator[T]]:
        headers = reader.headers({"Accept": "text/event-stream", **(more or {})})
        timeout = httpx.Timeout(ANSWER_SECONDS, connect=PATIENCE_SECONDS, read=silence)
        try:
            async with self.http.stream("GET", path, headers=headers, timeout=timeout) as answer:
                if answer.status_code != 200:
                    await answer.aread()
                    raise _problem(answer)
                yield _events(answer, kind)
        except httpx.HTTPError as error:
            raise _unreachable(error) from None

    async def _get(self, reader: Reader, path: str, parameters: Mapping[str, str | int], kind: type[T]) -> T:
        return _decode(await self._send(reader, "GET", path, parameters=parameters), kind)

    async def _send(
        self,
        reader: Reader,
        method: str,
        path: str,
        body: object = None,
        *,
        parameters: Mapping[str, str | int] | None = None,
        patience: float = ANSWER_SECONDS,
    ) -> httpx.Response:
        try:
            answer = await self.http.request(
                method,
                path,
                params=parameters,
                json=body,
                headers=reader.headers({"Accept": "application/json"}),
                timeout=httpx.Timeout(patience, connect=PATIENCE_SECONDS),
            )
        except httpx.HTTPError as error:
            API_READS.labels("unreachable").inc()
            raise _unreachable(error) from None
        API_READS.labels("ok" if answer.is_success else str(answer.status_code)).inc()
        if not answer.is_success:
            raise _problem(answer)
        return answer


async def _events(answer: httpx.Response, kind: type[T]) -> AsyncIterator[T]:
    """Events of an SSE body (WHATWG HTML 9.2.6); comments and other fields are skipped."""
    data: list[str] = []
    async for line in answer.aiter_lines():
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            try:
                yield msgspec.json.decode("\n".join(data), type=kind)
            except msgspec.MsgspecError as error:
                raise ApiProblem(502, f"The API sent an event that this page cannot read: {error}") from None
            data = []


def _decode(answer: httpx.Response, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.content, type=kind)
    except msgspec.MsgspecError as error:
        raise ApiProblem(502, f"The API sent an answer that this page cannot read: {error}") from None


def _problem(answer: httpx.Response) -> ApiProblem:
    try:
        found = msgspec.json.decode(answer.content, type=Problem)
    except msgspec.MsgspecError:
        found = Problem("", answer.status_code, "")
    return ApiProblem(
        answer.status_code,
        found.detail or f"The API answered {answer.status_code}.",
        parameter=found.parameter or "",
        command=found.command or "",
        start=found.start,
        end=found.end,
    )


def _unreachable(error: httpx.HTTPError) -> ApiProblem:
    if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
        return ApiProblem(0, f"The API did not answer within {ANSWER_SECONDS:g} s.")
    return ApiProblem(0, "The API cannot be reached.")

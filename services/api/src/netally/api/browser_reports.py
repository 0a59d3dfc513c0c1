"""``POST /api/browser/active-tab`` and ``GET /api/browser/status``: what the browser extension sends and asks.

A report goes to the bus and is answered once it is stored there; the aggregator and the host's agent read it there.
"""

from __future__ import annotations

import ipaddress
import re
import uuid
from typing import Any, Final

from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from netally.api.command_bus import ADVICE, BUS_TROUBLE, CommandBus
from netally.api.database import Database
from netally.api.permissions import BROWSER
from netally.api.problems import (
    BAD_PARAMETER,
    FORBIDDEN,
    TOO_LARGE,
    TOO_MANY,
    UNAUTHORIZED,
    UNAVAILABLE,
    bad_parameter,
    forbidden,
    too_many,
    unavailable,
)
from netally.api.reading import Clock
from netally.api.report_limit import ReportLimit
from netally.bus import subjects
from netally.contracts.queries import Session
from netally.contracts.tabs import (
    FUTURE_MS,
    OLDEST_MS,
    ActiveTab,
    ActiveTabTaken,
    BrowserStatus,
    PairedBrowser,
    SitePair,
    TabSpan,
    TabsReported,
)
from netally.contracts.wire import encode_json
from netally.store.domain_name import stored_form

_LABEL: Final = re.compile("[a-z0-9_-]{1,63}")
STORE_SECONDS: Final = 3.0


def site_name(text: str, parameter: str = "domain") -> str:
    """A domain as flows have it: lower case, ``xn--`` outside ASCII; an IP address as it is normally written. Raises
    the 400 of what is neither, such as an address with a path.
    """
    try:
        return str(ipaddress.ip_address(text.removeprefix("[").removesuffix("]")))
    except ValueError:
        pass
    try:
        name = stored_form(text)
    except ValueError:
        name = ""
    labels = name.split(".")
    # Numbers alone are a fragment of an address.
    if len(name) > 253 or labels[-1].isdigit() or not all(_LABEL.fullmatch(label) for label in labels):
        raise bad_parameter(parameter, f"{text[:60]!r} is no domain: send its name alone, such as example.org.")
    return name


@post(
    "/api/browser/active-tab",
    status_code=202,
    summary="Report the domain of a browser's active tab",
    responses={**BAD_PARAMETER, **UNAUTHORIZED, **FORBIDDEN, **TOO_LARGE, **TOO_MANY, **UNAVAILABLE},
)
async def active_tab(
    request: Request[Any, Session, Any],
    command_bus: NamedDependency[CommandBus],
    clock: NamedDependency[Clock],
    report_limit: NamedDependency[ReportLimit],
    data: JSONBody[ActiveTab],
) -> ActiveTabTaken:
    """For the extension, with the pairing code of `netally pair-browser`, which is bound to one host. Pages of sites
    are refused. 202: the bus has it.
    """
    session = request.auth
    if session.role != BROWSER or not session.hosts:
        raise forbidden("A browser reports with the code of `netally pair-browser`, which says of which host it is.")
    wait = report_limit.wait_seconds(session.token)
    if wait:
        raise too_many("Too many reports of this browser.", wait)
    now = clock()
    (host,) = session.hosts
    spans = [*data.earlier, TabSpan(data.domain, data.timestamp, data.seconds)]
    for span in spans:
        if not now - OLDEST_MS <= span.timestamp <= now + FUTURE_MS:
            raise bad_parameter(
                "timestamp", "The timestamp is more than a day old or lies ahead: is this computer's clock right?"
            )
    report = TabsReported(
        host=host,
        id=data.id or uuid.uuid4().hex,
        token=session.token,
        browser=data.browser,
        received_at=now,
        spans=[TabSpan(site_name(span.domain), span.timestamp, span.seconds) for span in spans],
        pairs=None
        if data.pairs is None
        else [
            SitePair(site_name(pair.host, "pairs"), site_name(pair.site, "pairs"), pair.count) for pair in data.pairs
        ],
    )
    try:
        await (
            command_bus.client()
            .jetstream(timeout=STORE_SECONDS)
            .publish(subjects.tabs(host), encode_json(report), headers={"Nats-Msg-Id": f"{host}/{report.id}"})
        )
    except BUS_TROUBLE:
        raise unavailable("The bus did not take the report.") from None
    return ActiveTabTaken(report.id, host)


@get("/api/browser/status", summary="Paired browsers", responses={**UNAUTHORIZED, **UNAVAILABLE})
async def status(
    request: Request[Any, Session, Any], database: NamedDependency[Database], clock: NamedDependency[Clock]
) -> BrowserStatus:
    """Which browsers are paired with which host, and when each last reported. To a browser: its own pairing."""
    session = request.auth
    async with database.read(ADVICE) as (rows, _):
        found = await rows(
            "paired_browsers",
            now=clock(),
            visible=session.hosts,
            token=session.token if session.role == BROWSER else None,
        )
    return BrowserStatus(
        [
            PairedBrowser(
                token=row["id"],
                name=row["name"],
                host=row["host"],
                browser=row["browser"],
                last_report=row["last_report"],
                sends_pairs=row["sends_pairs"],
            )
            for row in found
        ]
    )

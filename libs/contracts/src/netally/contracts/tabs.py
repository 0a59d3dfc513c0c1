"""What the browser extension reports, and how it goes on to the aggregator and the host's agent. Times are epoch
milliseconds.

A report tells the domain of the active tab and how long it was active, never a path, a query or a title. Where the
person opted in, it also counts from which hosts a site's pages loaded.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

MOST_SECONDS = 300
"""Longest span of one report."""
MOST_SPANS = 20
MOST_PAIRS = 60
OLDEST_MS = 86_400_000
"""Reports of an older time are refused: the extension's queue keeps no more either."""
FUTURE_MS = 60_000
"""So far ahead a browser's clock may be."""
MOST_COUNT = 2**31 - 1

DomainText = Annotated[str, Meta(min_length=1, max_length=253)]
BrowserName = Annotated[str, Meta(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$")]
ReportId = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
Time = Annotated[int, Meta(ge=0, lt=2**53)]
Seconds = Annotated[int, Meta(ge=0, le=MOST_SECONDS)]


class SitePair(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Requests that pages of a site made to a host."""

    host: DomainText
    site: DomainText
    count: Annotated[int, Meta(ge=1, le=MOST_COUNT)] = 1


class TabSpan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For how long a domain was in the active tab, and when that began."""

    domain: DomainText
    timestamp: Time
    seconds: Seconds = 0


class ActiveTab(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``POST /api/browser/active-tab``."""

    domain: DomainText
    """Of the active tab."""
    timestamp: Time
    """When it became active, or when its last report ended."""
    browser: BrowserName
    """As people call it: Firefox, Zen, Chromium."""
    seconds: Seconds = 0
    """For how long it was active from then on; 0 when that is not known yet."""
    earlier: Annotated[list[TabSpan], Meta(max_length=MOST_SPANS)] = []
    """What was active before and is not reported yet."""
    pairs: Annotated[list[SitePair], Meta(max_length=MOST_PAIRS)] | None = None
    """Requests since the last report; null when the person did not opt in."""
    id: ReportId | None = None
    """Made by the sender, the same when it sends the report again: then it counts once."""


class ActiveTabTaken(msgspec.Struct, frozen=True):
    """Answer of ``POST /api/browser/active-tab``: the report is on the bus."""

    id: str
    host: str


class TabsReported(msgspec.Struct, frozen=True):
    """A report on ``tabs.v1.<host>``, with domains as they are stored. (host, id) is its identity: it counts once."""

    host: str
    id: ReportId
    token: Annotated[str, Meta(max_length=64)]
    """Id of the browser's pairing token."""
    browser: BrowserName
    received_at: Time
    spans: Annotated[list[TabSpan], Meta(max_length=MOST_SPANS + 1)]
    """Newest last."""
    pairs: Annotated[list[SitePair], Meta(max_length=MOST_PAIRS)] | None = None


class PairedBrowser(msgspec.Struct, frozen=True):
    """A browser's pairing that may still be used."""

    token: str
    """Id; `netally token revoke` takes it."""
    name: str
    host: str
    browser: str | None
    """Null before its first report."""
    last_report: int | None
    sends_pairs: bool
    """Whether the person opted in to tell which hosts a site's pages load from."""


class BrowserStatus(msgspec.Struct, frozen=True):
    """``GET /api/browser/status``: to a browser, its own pairing."""

    browsers: list[PairedBrowser]

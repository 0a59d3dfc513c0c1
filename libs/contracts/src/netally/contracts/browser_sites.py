"""Answers about sites: time in a browser's active tab against the bytes that the site caused."""

from __future__ import annotations

import msgspec

from netally.contracts.queries import Meta


class SiteRow(msgspec.Struct, frozen=True):
    """A site in one browser on one host."""

    host: str
    browser: str
    id: int
    """Of the domain."""
    site: str
    seconds: int
    """For how long it was the active tab, as the extension reported."""
    bytes_in: int
    """Of the browser's flows that this site is known to have caused, its third parties included."""
    bytes_out: int


class BrowserJoin(msgspec.Struct, frozen=True):
    """How much of a browser's traffic on one host could be joined to a site."""

    host: str
    browser: str
    seconds: int
    """In the active tab, all sites together."""
    joined_bytes_in: int
    joined_bytes_out: int
    unjoined_bytes_in: int
    """Of flows for which no site is known, or several may have caused them: never shared out by guess."""
    unjoined_bytes_out: int


class BrowserSitesAnswer(msgspec.Struct, frozen=True):
    """``GET /api/browsers/sites``."""

    browsers: list[BrowserJoin]
    """Every browser with traffic or reports, largest first."""
    sites: list[SiteRow]
    """Most bytes first, then most seconds."""
    others_count: int
    """Sites beyond ``limit``."""
    meta: Meta


class SiteShare(msgspec.Struct, frozen=True):
    id: int
    name: str
    bytes_in: int
    bytes_out: int
    third_party: bool
    """Whether host and site were registered by different owners."""


class DomainSiteAnswer(msgspec.Struct, frozen=True):
    """``GET /api/domains/{domain_id}/site``: a domain as a site, and as a host that sites load from."""

    id: int
    name: str
    seconds: int
    bytes_in: int
    """That it caused as a site."""
    bytes_out: int
    hosts: list[SiteShare]
    """As a site: where that came from, largest first."""
    sites: list[SiteShare]
    """As a host: which sites caused its traffic, largest first."""
    unjoined_bytes_in: int
    """As a host: of flows without a known site."""
    unjoined_bytes_out: int
    meta: Meta

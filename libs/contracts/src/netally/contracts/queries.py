"""What the API answers and the web service reads. Times are epoch milliseconds, amounts are bytes, rates bytes/s.

``null`` means "not measured", never "none": a real zero is 0.
"""

from __future__ import annotations

import msgspec


class Meta(msgspec.Struct, frozen=True):
    """Coverage of an answer: what the figures rest on."""

    tier: str
    """``raw``, ``1m``, ``1h``, ``1d`` or ``live``."""
    start: int
    """Start of the range really read: the asked one snapped outward to the tier's buckets."""
    end: int
    hosts_expected: int
    hosts_reported: int
    hosts_missing: list[str]
    """Hosts silent for more than three intervals."""
    complete_until: int | None
    """End of the last interval committed by every reporting host; null when none reports."""
    measured_share: float | None
    """Share (0 to 1) of host-time in the range that was measured."""
    read_ms: int
    """Milliseconds the query took."""


class Bandwidth(msgspec.Struct, frozen=True):
    """Rates over the last five seconds."""

    bytes_in: float | None
    """Bytes/s received; null while not known."""
    bytes_out: float | None


class HostBandwidth(msgspec.Struct, frozen=True):
    host: str
    bytes_in: float | None
    bytes_out: float | None
    time: int | None
    """Time of its newest sample."""


class Mover(msgspec.Struct, frozen=True):
    """A process, domain and host that moved bytes within the last minute."""

    host: str
    app: str
    domain: str
    remote: str
    bytes_in: int
    """Bytes of the last 60 s."""
    bytes_out: int
    rate_in: float
    """Bytes/s over the last five seconds."""
    rate_out: float
    last_seen: int


class BandwidthAnswer(msgspec.Struct, frozen=True):
    """``GET /api/stats/bandwidth``."""

    window_seconds: int
    total: Bandwidth
    hosts: list[HostBandwidth]
    movers: list[Mover]
    """Largest first by rate, then by bytes of the last minute."""
    history_in: list[float | None]
    """Total bytes/s of each of the last 60 seconds, oldest first; null where no host reported."""
    history_out: list[float | None]
    meta: Meta


class TimelinePoint(msgspec.Struct, frozen=True):
    time: int
    """Start of the bucket."""
    bytes_in: int | None
    """Null when nothing measured the bucket."""
    bytes_out: int | None
    measured: float
    """Share (0 to 1) of the bucket's host-time that was measured."""


class TimelineSeries(msgspec.Struct, frozen=True):
    name: str
    """Name of the band; ``all`` when not split, ``others`` for the rest, empty for id 0 (not known)."""
    points: list[TimelinePoint]
    id: int | None = None
    """Id of the application, domain or host; null for ``all`` and ``others``. Two applications may share a name."""


class TimelineAnswer(msgspec.Struct, frozen=True):
    """``GET /api/stats/timeline``."""

    bucket_seconds: int
    series: list[TimelineSeries]
    meta: Meta


class ApplicationRow(msgspec.Struct, frozen=True):
    id: int
    name: str
    """Empty for traffic with no known process (id 0)."""
    executable: str
    user: str
    bytes_in: int
    bytes_out: int
    connections: int
    domains: int
    """Distinct domains it used."""
    hosts: int
    last_used: int


class ApplicationsAnswer(msgspec.Struct, frozen=True):
    """``GET /api/applications``."""

    applications: list[ApplicationRow]
    """Largest first; the rest of the range is in ``others``."""
    others_count: int
    others_bytes_in: int
    others_bytes_out: int
    total_bytes_in: int
    total_bytes_out: int
    meta: Meta


class DomainUser(msgspec.Struct, frozen=True):
    """An application that used a domain."""

    id: int
    name: str
    bytes: int
    """In and out together."""


class DomainRow(msgspec.Struct, frozen=True):
    id: int
    name: str
    """Empty for traffic with no known name (id 0)."""
    sources: list[str]
    """How the name was found, most bytes first; empty when the tier does not keep it."""
    applications: list[DomainUser]
    """Largest first, at most five."""
    bytes_in: int
    bytes_out: int
    connections: int
    hosts: int
    last_used: int


class DomainsAnswer(msgspec.Struct, frozen=True):
    """``GET /api/domains``."""

    domains: list[DomainRow]
    others_count: int
    others_bytes_in: int
    others_bytes_out: int
    total_bytes_in: int
    total_bytes_out: int
    meta: Meta


class HostRow(msgspec.Struct, frozen=True):
    id: int
    name: str
    kind: str
    state: str
    """``reporting``, ``paused``, ``silent`` (no word for more than three intervals) or ``never``."""
    mode: str
    mode_reason: str
    version: str
    interval: int | None
    reported_at: int | None
    complete_until: int | None
    bytes_in: int
    """In the asked range."""
    bytes_out: int
    spool_batches: int
    lost_batches: int
    ring_drops: int
    interfaces: list[str]


class HostsAnswer(msgspec.Struct, frozen=True):
    """``GET /api/hosts``."""

    hosts: list[HostRow]
    meta: Meta


class LiveEvent(msgspec.Struct, frozen=True):
    """One message of ``GET /api/live`` (SSE, each second)."""

    time: int
    total: Bandwidth
    hosts: list[HostBandwidth]
    movers: list[Mover]


class PartState(msgspec.Struct, frozen=True):
    name: str
    """``database``, ``bus``, ``aggregator`` …"""
    ready: bool
    reason: str
    """Plain words when it is not ready, else empty."""


class HealthAnswer(msgspec.Struct, frozen=True):
    """``GET /api/health`` (always 200 while the process lives) and ``GET /api/ready`` (503 unless all parts are)."""

    ready: bool
    parts: list[PartState]
    version: str


class Login(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``POST /api/session``."""

    code: str
    """Single-use login code."""


class LoginCode(msgspec.Struct, frozen=True):
    """Answer of ``POST /api/session/codes`` (bearer token only)."""

    code: str
    """Exchanged once for a session cookie by ``POST /api/session``."""
    expires_at: int


class Session(msgspec.Struct, frozen=True):
    """``GET /api/session`` and ``POST /api/session``: who asks."""

    actor: str
    expires_at: int | None
    """When the session cookie ends; null for a bearer token."""


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """Every error: ``application/problem+json`` (RFC 9457)."""

    title: str
    status: int
    detail: str
    """What is wrong and what to do, in plain words."""
    parameter: str | None = None
    """The query parameter or body field that is wrong, where it is one."""
    type: str = "about:blank"

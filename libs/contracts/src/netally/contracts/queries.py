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
    timezone: str = ""
    """Time zone of days, weeks, months and of times without an offset in the parameters."""
    days_exact: bool = True
    """False when days begin within buckets of the tier (half-hour zones): such a bucket counts for one of them."""
    filter: str = ""
    """The filter in its canonical text."""
    filter_row: str = ""
    """What an amount in the filter was compared with; empty when it has none."""


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
    paused: bool = False
    """Whether a host was paused within it: a reason why something is not measured."""


class TimelineSeries(msgspec.Struct, frozen=True):
    name: str
    """Name of the band; ``all`` when not split, ``others`` for the rest, empty for id 0 (not known)."""
    points: list[TimelinePoint]
    id: int | None = None
    """Id of the application, domain or host, or number of the protocol; null for ``all``, ``in``, ``out``, ``others``.
    Two applications may share a name."""


class TimelineAnswer(msgspec.Struct, frozen=True):
    """``GET /api/stats/timeline``."""

    bucket_seconds: int
    series: list[TimelineSeries]
    meta: Meta


class GroupValue(msgspec.Struct, frozen=True):
    """One value of a dimension."""

    by: str
    """``host``, ``app``, ``domain``, ``site``, ``protocol``, ``port``, ``scope`` or ``role``."""
    id: int
    """Of the host, application or domain; the number of the others. 0 is not known, for a port none of its own."""
    name: str
    """Empty for id 0 of a name."""
    executable: str = ""
    """Of an application, which may share its name with others."""
    user: str = ""


class BreakdownRow(msgspec.Struct, frozen=True):
    values: list[GroupValue]
    """One for each of ``BreakdownAnswer.by``."""
    bytes_in: int
    bytes_out: int
    packets_in: int
    packets_out: int
    connections: int
    last_used: int


class BreakdownSeries(msgspec.Struct, frozen=True):
    values: list[GroupValue]
    """Of the row that it belongs to; empty for all other groups together."""
    points: list[TimelinePoint]


class BreakdownAnswer(msgspec.Struct, frozen=True):
    """``GET /api/stats/breakdown``."""

    by: list[str]
    rows: list[BreakdownRow]
    others_count: int
    others_bytes_in: int
    others_bytes_out: int
    total_bytes_in: int
    total_bytes_out: int
    bucket_seconds: int
    """86400 are days of ``meta.timezone``, which may be longer or shorter."""
    series: list[BreakdownSeries]
    """Of the first rows, in their order, then of all else, where there is any."""
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
    domains: int | None
    """Distinct domains it used; null when they were not to be counted."""
    hosts: int
    last_used: int
    browser: str = ""
    """The browser that it is or belongs to; empty for everything else."""


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
    browser: str = ""
    """The browser that it is or belongs to; empty for everything else."""


class Subdomain(msgspec.Struct, frozen=True):
    """A domain within its registrable one."""

    id: int
    name: str
    bytes_in: int
    bytes_out: int
    last_used: int


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
    subdomains: list[Subdomain] = []
    """Grouped by registrable domain: its domains, largest first, at most fifty; ``id`` is then that of the largest."""
    subdomains_count: int = 0


class DomainsAnswer(msgspec.Struct, frozen=True):
    """``GET /api/domains``."""

    domains: list[DomainRow]
    others_count: int
    others_bytes_in: int
    others_bytes_out: int
    total_bytes_in: int
    total_bytes_out: int
    meta: Meta


class RefusedSum(msgspec.Struct, frozen=True):
    """What of a host was not stored as it came."""

    reason: str
    """``too_old`` and ``invalid``: refused, so these bytes are in no figure. ``future``: moved into the present."""
    rows: int
    bytes: int


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
    clock_offset_ms: int | None = None
    """By how much its clock is ahead of the bus's, as of its last report; null when not known."""
    refused: list[RefusedSum] = []
    """Since the day (UTC) in which the range begins, by when it came in; by reason."""


class HostsAnswer(msgspec.Struct, frozen=True):
    """``GET /api/hosts``."""

    hosts: list[HostRow]
    meta: Meta


class SummaryPeriod(msgspec.Struct, frozen=True):
    """Totals of a period, and of the one before it."""

    name: str
    """``today``, ``week``, ``month`` or ``range``."""
    start: int
    end: int
    bytes_in: int
    bytes_out: int
    connections: int
    before_start: int
    """``today``, ``week`` and ``month``: the same part of the day, week or month before; ``range``: just before it."""
    before_end: int
    before_bytes_in: int
    before_bytes_out: int
    before_connections: int
    measured_share: float | None
    before_measured_share: float | None
    tier: str


class SummaryAnswer(msgspec.Struct, frozen=True):
    """``GET /api/stats/summary``."""

    periods: list[SummaryPeriod]
    meta: Meta
    """Of the period ``range``."""


class SourceShare(msgspec.Struct, frozen=True):
    """Bytes by how a process or a name was found."""

    source: str
    bytes: int


class ApplicationAnswer(msgspec.Struct, frozen=True):
    """``GET /api/applications/{id}``."""

    id: int
    name: str
    executable: str
    user: str
    unit: str
    container: str
    browser: str
    first_seen: int
    bytes_in: int
    """In the range, like all that follows."""
    bytes_out: int
    connections: int
    last_used: int | None
    attributed: list[SourceShare]
    """How its process was found, most bytes first."""
    attributed_from: int | None
    """From when on ``attributed`` was looked up (only raw flows have it); null when there are none in the range."""
    meta: Meta


class HostShare(msgspec.Struct, frozen=True):
    id: int
    name: str
    bytes_in: int
    bytes_out: int
    connections: int
    last_used: int


class ApplicationHostsAnswer(msgspec.Struct, frozen=True):
    """``GET /api/applications/{id}/hosts``."""

    hosts: list[HostShare]
    """Largest first."""
    total_bytes_in: int
    total_bytes_out: int
    meta: Meta


class DomainAnswer(msgspec.Struct, frozen=True):
    """``GET /api/domains/{id}``."""

    id: int
    name: str
    registrable: str
    """The part of the name that one owner registered."""
    first_seen: int
    bytes_in: int
    """In the range, like all that follows."""
    bytes_out: int
    connections: int
    last_used: int | None
    sources: list[SourceShare]
    """How the name was found, most bytes first."""
    sources_from: int | None
    """From when on ``sources`` was looked up (only raw flows have it); null when there are none in the range."""
    meta: Meta


class ApplicationShare(msgspec.Struct, frozen=True):
    id: int
    name: str
    executable: str
    user: str
    bytes_in: int
    bytes_out: int
    last_used: int


class BrowserRow(msgspec.Struct, frozen=True):
    name: str
    bytes_in: int
    bytes_out: int
    share: float
    """Of all bytes of the answer, those of no browser included; 0 to 1."""
    connections: int
    hosts: int
    domains: int
    """Distinct ones it used; of a single domain's browsers that is 1."""
    last_used: int
    applications: list[ApplicationShare]
    """Largest first: one for each user and program."""


class BrowsersAnswer(msgspec.Struct, frozen=True):
    """``GET /api/browsers`` and ``GET /api/domains/{domain_id}/browsers``."""

    browsers: list[BrowserRow]
    """Largest first."""
    others_bytes_in: int
    """Of applications that are no browser, and of none known."""
    others_bytes_out: int
    total_bytes_in: int
    total_bytes_out: int
    meta: Meta


class InterfaceRow(msgspec.Struct, frozen=True):
    name: str
    addresses: list[str]
    captured: bool
    speed_mbit: int | None


class SettingsState(msgspec.Struct, frozen=True):
    """What a host shall do, and what it says it does."""

    desired_version: int | None
    """Null when the bus could not be asked."""
    actual_version: int | None
    desired_interval: int | None
    """Seconds; null for what the host's own settings say."""
    actual_interval: int | None
    desired_paused: bool | None
    actual_paused: bool | None


class CauseSum(msgspec.Struct, frozen=True):
    cause: str
    """Label of `Cause`."""
    bytes_in: int
    """Signed: a difference may be negative."""
    bytes_out: int
    packets_in: int
    packets_out: int


class InterfaceConservation(msgspec.Struct, frozen=True):
    """Where the bytes of an interface's counter went: the causes sum to the counter."""

    interface: str
    counter_in: int
    counter_out: int
    causes: list[CauseSum]


class ConservationAnswer(msgspec.Struct, frozen=True):
    """``GET /api/hosts/{id}/conservation``."""

    host: str
    interfaces: list[InterfaceConservation]
    """Loopback too."""
    total_in: int
    """Without loopback, as all totals."""
    total_out: int
    causes: list[CauseSum]
    """What the totals consist of: every cause of the vocabulary, in its order, those with nothing as 0."""
    meta: Meta


class HostConservation(msgspec.Struct, frozen=True):
    """A host's part of the fleet's counters."""

    id: int
    host: str
    total_in: int
    total_out: int
    causes: list[CauseSum]
    """Those with something in them."""


class FleetConservationAnswer(msgspec.Struct, frozen=True):
    """``GET /api/conservation``: the counters of all hosts' interfaces, without loopback."""

    hosts: list[HostConservation]
    total_in: int
    total_out: int
    causes: list[CauseSum]
    """What the totals consist of: every cause of the vocabulary, in its order, those with nothing as 0."""
    meta: Meta


class HostAnswer(msgspec.Struct, frozen=True):
    """``GET /api/hosts/{id}``."""

    host: HostRow
    first_seen: int
    started_at: int | None
    spool_bytes: int
    interfaces: list[InterfaceRow]
    settings: SettingsState
    meta: Meta


class ProtocolRow(msgspec.Struct, frozen=True):
    protocol: str
    """Word or number."""
    port: int
    """Server's port; 0 for those that have none or are not kept one by one."""
    bytes_in: int
    bytes_out: int
    connections: int
    last_used: int


class ProtocolsAnswer(msgspec.Struct, frozen=True):
    """``GET /api/protocols``."""

    protocols: list[ProtocolRow]
    others_count: int
    others_bytes_in: int
    others_bytes_out: int
    total_bytes_in: int
    total_bytes_out: int
    meta: Meta


class RemoteRow(msgspec.Struct, frozen=True):
    remote: str
    bytes_in: int
    bytes_out: int
    connections: int
    domains: list[str]
    """Names it was reached by, most bytes first, at most five."""
    last_used: int


class RemotesAnswer(msgspec.Struct, frozen=True):
    """``GET /api/remotes``."""

    remotes: list[RemoteRow]
    others_count: int
    others_bytes_in: int
    others_bytes_out: int
    total_bytes_in: int
    total_bytes_out: int
    meta: Meta


class FlowRow(msgspec.Struct, frozen=True):
    """One flow key in one interval."""

    time: int
    """Start of the interval."""
    host: str
    app: str
    app_id: int
    domain: str
    domain_id: int
    site: str
    scope: str
    protocol: str
    port: int
    role: str
    remote: str
    bytes_in: int
    bytes_out: int
    packets_in: int
    packets_out: int
    retrans: int | None
    connections: int
    domain_source: str
    process_source: str


class FlowsAnswer(msgspec.Struct, frozen=True):
    """``GET /api/flows``."""

    flows: list[FlowRow]
    """Newest first."""
    next: str | None
    """Give it as ``after`` for the next page; null at the end."""
    meta: Meta


class HeatmapCell(msgspec.Struct, frozen=True):
    day: int
    """1 Monday … 7 Sunday."""
    hour: int
    """0 … 23."""
    bytes_in: int | None
    """Sum over all such hours of the range; null when none of them was measured."""
    bytes_out: int | None
    measured: float
    """Share (0 to 1) of its host-time in the range that was measured."""


class HeatmapAnswer(msgspec.Struct, frozen=True):
    """``GET /api/historical/heatmap``."""

    cells: list[HeatmapCell]
    """168, by day, then hour."""
    meta: Meta


class HistoryAnswer(msgspec.Struct, frozen=True):
    """``GET /api/historical/daily``, ``weekly`` and ``monthly``."""

    period: str
    """``day``, ``week`` or ``month``."""
    starts: list[int]
    """Of each period, midnight in the zone; the last ends at ``meta.end``."""
    series: list[TimelineSeries]
    meta: Meta


class Change(msgspec.Struct, frozen=True):
    id: int
    name: str
    bytes: int
    """In and out together, in the range."""
    before_bytes: int
    change: int
    """``bytes - before_bytes``."""


class CompareAnswer(msgspec.Struct, frozen=True):
    """``GET /api/historical/compare``."""

    by: str
    changes: list[Change]
    """Largest change first, whether up or down."""
    count: int
    """All that have traffic in either range."""
    total_bytes: int
    before_total_bytes: int
    meta: Meta
    before_meta: Meta


class CompletionOffer(msgspec.Struct, frozen=True, rename={"start": "from", "end": "to"}):
    """The characters from ``from`` to ``to`` of the text are replaced by ``insert``."""

    label: str
    insert: str
    kind: str
    """``field``, ``operator``, ``value`` or ``keyword``."""
    start: int
    """Offset in characters (code points), from 0."""
    end: int
    about: str
    bytes: int | None
    """Of a value between ``ranked_from`` and ``ranked_to``; null where that is not known."""


class CompletionsAnswer(msgspec.Struct, frozen=True):
    """``GET /api/filter/complete``."""

    completions: list[CompletionOffer]
    canonical: str | None
    """The whole text in its canonical form; null while it is not a filter."""
    problem: str
    """Why it is none, in plain words; empty when it is one."""
    problem_start: int | None
    """Offset in characters of what is wrong."""
    problem_end: int | None
    ranked_from: int | None
    """Values are in the order of their bytes from here, epoch milliseconds; null when nothing was counted for them."""
    ranked_to: int | None


class SavedView(msgspec.Struct, frozen=True):
    """A page that somebody keeps."""

    id: str
    name: str
    address: str
    """Path and query of the page."""
    owner: str
    saved_at: int


class ViewsAnswer(msgspec.Struct, frozen=True):
    """``GET /api/views``."""

    views: list[SavedView]
    """By name."""


class TierAbout(msgspec.Struct, frozen=True):
    name: str
    dropped_before: int | None
    """All before was dropped by retention; null when nothing was."""
    stored_until: int | None
    """Later buckets are computed when they are asked for; null for raw."""
    retention_days: int | None
    """In force; null is for ever, or not known (``AboutAnswer.retention_known``)."""


class AboutAnswer(msgspec.Struct, frozen=True):
    """``GET /api/about``."""

    version: str
    backend: str
    """``postgresql`` or ``timescaledb``."""
    database_version: str
    timezone: str
    """Of the daily tier's days."""
    created_at: int
    tiers: list[TierAbout]
    retention_known: bool
    """False when the bus could not be asked."""
    hosts: int
    agent_versions: list[str]


class LiveEvent(msgspec.Struct, frozen=True):
    """One message of ``GET /api/live`` (SSE, each second)."""

    time: int
    total: Bandwidth
    hosts: list[HostBandwidth]
    movers: list[Mover]
    filter: str = ""
    """In its canonical text; rates are of the movers that fit when it asks for more than hosts."""


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
    role: str = "admin"
    """``viewer``, ``operator`` or ``admin``."""
    hosts: list[str] | None = None
    """The hosts that may be seen, by name; null for every host."""
    token: str = ""
    """Id of the token; empty for the admin token."""


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """Every error: ``application/problem+json`` (RFC 9457)."""

    title: str
    status: int
    detail: str
    """What is wrong and what to do, in plain words."""
    parameter: str | None = None
    """The query parameter or body field that is wrong, where it is one."""
    start: int | None = None
    """Offset in characters (from 0) of what is wrong in a filter; people count columns from 1."""
    end: int | None = None
    suggestion: str | None = None
    """What to write instead, for a filter."""
    tier: str | None = None
    """The tier that could answer a refused filter."""
    type: str = "about:blank"
    command: str | None = None
    """Id of the command that was refused."""

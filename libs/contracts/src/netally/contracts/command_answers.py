"""What the API takes and answers about commands and settings. Times are epoch milliseconds."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from netally.contracts.commands import MAX_KEY


class CommandOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``POST /api/commands``."""

    name: Annotated[str, Meta(min_length=1, max_length=60)]
    arguments: dict[str, Any] = {}
    """As `docs/reference.md` lists them; ``from`` and ``to`` may be ISO 8601 as well."""
    dry_run: bool = False
    idempotency_key: Annotated[str, Meta(min_length=1, max_length=MAX_KEY)] | None = None
    deadline: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    """Epoch milliseconds after which it must not start any more."""


class CommandEventRow(msgspec.Struct, frozen=True):
    """One event of a command; also the data of ``GET /api/commands/{id}/events``."""

    id: int
    """Rises within a command."""
    time: int
    source: str
    state: str
    message: str
    detail: dict[str, Any]


class CommandRow(msgspec.Struct, frozen=True):
    """A command in the ledger, or on its way there."""

    id: str
    name: str
    target: str
    arguments: dict[str, Any]
    actor: str
    actor_verified: bool
    dry_run: bool
    idempotency_key: str | None
    state: str
    """``waiting`` (no aggregator has taken it yet), ``accepted`` (waits for its turn), ``progress`` (runs),
    ``succeeded``, ``failed``, ``cancelled`` or ``expired``."""
    message: str
    """Plain words."""
    result: dict[str, Any]
    field: str | None
    """The argument at fault, of a refusal."""
    issued_at: int
    started_at: int | None
    ended_at: int | None
    deadline: int | None


class CommandAnswer(msgspec.Struct, frozen=True):
    """``GET /api/commands/{id}``."""

    command: CommandRow
    events: list[CommandEventRow]


class CommandsAnswer(msgspec.Struct, frozen=True):
    """``GET /api/commands``."""

    commands: list[CommandRow]
    """Newest first."""
    next: str | None
    """Give it as ``before`` to get older ones; null when there are none."""
    running: int
    waiting: int
    failed: int
    """Failed or expired within 24 hours."""


class CommandKindRow(msgspec.Struct, frozen=True):
    """A command that may be ordered."""

    name: str
    summary: str
    role: str
    lane: str
    previews: bool
    arguments: dict[str, Any]
    """JSON Schema."""


class RetentionBody(msgspec.Struct, frozen=True):
    """Days each tier is kept; null is for ever."""

    raw: int
    minutes: int
    hours: int
    days: int | None


class HostConfig(msgspec.Struct, frozen=True):
    """Wanted and actual settings of a host; null is what the host was started with."""

    host: str
    desired_version: int
    actual_version: int
    desired_paused: bool
    actual_paused: bool
    desired_interval: int | None
    actual_interval: int
    desired_log_level: str | None
    follows: bool
    """Whether it has reported the wanted version."""
    desired_naming_rules: str = ""


class ConfigAnswer(msgspec.Struct, frozen=True):
    """``GET /api/config``."""

    version: int
    retention: RetentionBody | None
    """In force: what was set, else the aggregator's defaults. Null before any aggregator has started."""
    ledger_days: int
    answer_seconds: float
    log_levels: dict[str, str | None]
    """Of ``aggregator`` and ``api``; null is what they were started with."""
    hosts: list[HostConfig]
    naming_rules: str = ""
    """Of hosts that have none of their own, and of those that come later."""


class AggregateBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``POST /api/config/aggregate``; all may be left out."""

    tier: str = "all"
    """``all``, ``1m``, ``1h``, ``1d`` or ``minutely``, ``hourly``, ``daily``."""
    from_: int | str | None = msgspec.field(default=None, name="from")
    to: int | str | None = None


class CleanUpBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``POST /api/config/cleanup``."""

    dry_run: bool = False


class RefreshCacheBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``POST /api/config/refresh-cache``; all may be left out."""

    caches: list[str] | None = None
    hosts: list[str] | None = None
    wait_seconds: float | None = None

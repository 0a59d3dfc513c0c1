"""Settings that change while things run, in the KV bucket ``settings``. The aggregator alone writes them.

Key ``hosts.<host token>`` holds `HostSettings`, republished on ``settings.v1.hosts.<host token>``; key ``new-hosts``
holds those, of version 0, that count for a host which has none of its own; key
``services.<service>`` holds `AggregatorConfig` or `ServiceConfig`.
"""

from __future__ import annotations

import msgspec


class HostSettings(msgspec.Struct, frozen=True):
    """What one host shall do. None stands for what the host's own settings say."""

    version: int = 0
    """Rises with every change; the host reports the one it follows (`AgentReported.settings_version`)."""
    paused: bool = False
    interval: int | None = None
    """Seconds."""
    log_level: str | None = None
    naming_rules: str = ""
    """How applications are renamed and grouped (`naming_rules.read_rules`)."""


class Retention(msgspec.Struct, frozen=True):
    """Days each tier is kept; None is for ever."""

    raw: int
    minutes: int
    hours: int
    days: int | None = None


class AggregatorConfig(msgspec.Struct, frozen=True):
    """Settings of all aggregators. None stands for what the process was started with."""

    version: int = 0
    retention: Retention | None = None
    ledger_days: int = 400
    answer_seconds: float = 10.0
    log_level: str | None = None
    default_retention: Retention | None = None
    """What counts while no retention is set: of the aggregator that started last."""

    def retention_in_force(self) -> Retention | None:
        """None before any aggregator has started."""
        return self.retention or self.default_retention


class ServiceConfig(msgspec.Struct, frozen=True):
    """Settings of all instances of another service."""

    version: int = 0
    log_level: str | None = None

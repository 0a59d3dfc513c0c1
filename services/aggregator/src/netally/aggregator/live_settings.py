"""Settings of the aggregator that change while it runs: kept in the bus's bucket, followed by every aggregator."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import structlog
from nats.js import JetStreamContext

from netally.aggregator.maintenance import ages_with_raw
from netally.bus import settings_bucket, subjects
from netally.contracts.live_settings import AggregatorConfig, Retention
from netally.store.retention import Ages
from netally.telemetry.logging import log_level, set_log_level

log = structlog.get_logger()

KEY = subjects.service_settings_key("aggregator")


class LiveConfig:
    """The settings as they are now. ``started_with`` are days of raw that count until another retention is set."""

    def __init__(self, started_with: int, on_raw_days: Callable[[int], None] = lambda days: None) -> None:
        self.default_ages = ages_with_raw(started_with)
        self._started_level = log_level()
        self._on_raw_days = on_raw_days
        self.config = AggregatorConfig()

    def ages(self) -> Ages:
        return ages_of(self.config.retention) or self.default_ages

    async def load(self, js: JetStreamContext) -> tuple[AggregatorConfig, AggregatorConfig]:
        """Read and follow what is set; before and after. Raises what nats-py raises, and UndecodableError."""
        found, _ = await settings_bucket.read(js, KEY, AggregatorConfig)
        before = self.config
        if found is not None and found != before:
            self.config = found
            self._on_raw_days(self.ages().raw)
            set_log_level(found.log_level or self._started_level)
            log.info("settings followed", version=found.version)
        return before, self.config

    async def tell_defaults(self, js: JetStreamContext) -> None:
        """Write what counts while nothing is set, for those who show it."""
        default = retention_of(self.default_ages)
        if (await self.load(js))[1].default_retention != default:
            await self.change(js, lambda now: msgspec.structs.replace(now, default_retention=default))

    async def change(
        self, js: JetStreamContext, change: Callable[[AggregatorConfig], AggregatorConfig]
    ) -> tuple[AggregatorConfig, AggregatorConfig]:
        """Write changed settings, for every aggregator; before and after."""
        while True:
            found, revision = await settings_bucket.read(js, KEY, AggregatorConfig)
            before = found or AggregatorConfig()
            after = change(before)
            try:
                await settings_bucket.write(js, KEY, after, revision)
            except settings_bucket.OvertakenError:
                continue
            await self.load(js)
            return before, after


def ages_of(retention: Retention | None) -> Ages | None:
    if retention is None:
        return None
    return Ages(retention.raw, retention.minutes, retention.hours, retention.days)


def retention_of(ages: Ages) -> Retention:
    return Retention(ages.raw, ages.minutes, ages.hours, ages.days)

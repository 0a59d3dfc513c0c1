"""``python -m netally.aggregator migrate``: for deployments that migrate before they start services."""

from __future__ import annotations

import asyncio
import sys
import time

import structlog

from netally.aggregator.settings import AggregatorSettings
from netally.store import database, migrate
from netally.telemetry.logging import configure_logging
from netally.telemetry.settings import SettingsError, load_settings

PATIENCE = 120.0
"""Seconds a database may take to come."""
_PAUSE = 1.0

log = structlog.get_logger()


def main(patience: float = PATIENCE) -> int:
    """Migrate; 0, or 1 when the database does not come or refuses, 2 on wrong settings."""
    try:
        settings = load_settings(AggregatorSettings)
        database_settings = load_settings(database.DatabaseSettings)
        configure_logging("migrate", settings.log_level)
    except (SettingsError, ValueError) as error:
        sys.stderr.write(f"netally migrate: {error}\n")
        return 2
    return asyncio.run(_migrate(settings, database_settings, patience))


async def _migrate(settings: AggregatorSettings, database_settings: database.DatabaseSettings, patience: float) -> int:
    deadline = time.monotonic() + patience
    while True:
        try:
            deployment = await migrate.migrate(database_settings, settings.timezone)
        except migrate.MigrationError as error:
            log.error("cannot migrate", reason=str(error))
            return 1
        except database.AWAY as error:
            reason = database.plain_words(error, database_settings.database_url)
            if time.monotonic() > deadline:
                log.error("cannot migrate", reason=reason)
                return 1
            log.warning("waiting for the database", reason=reason)
            await asyncio.sleep(_PAUSE)
        else:
            log.info("migrated", backend=deployment.backend, timezone=deployment.timezone)
            return 0

"""Fixtures of every test. They live where their subject lives and are only named here."""

from tests.migrated_database import migrated_database_url, migrated_template
from tests.services import (
    empty_database_url,
    nats_client,
    nats_server,
    nats_url,
    own_postgres_server,
    postgres_server,
)
from tests.timescale.fixtures import (
    history_database,
    history_databases,
    postgres_databases,
    timescale_databases,
    timescale_server,
    timescale_url,
)

__all__ = [
    "empty_database_url",
    "history_database",
    "history_databases",
    "migrated_database_url",
    "migrated_template",
    "nats_client",
    "nats_server",
    "nats_url",
    "own_postgres_server",
    "postgres_databases",
    "postgres_server",
    "timescale_databases",
    "timescale_server",
    "timescale_url",
]

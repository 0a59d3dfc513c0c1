"""Fixtures of every test. They live where their subject lives and are only named here."""

from hypothesis import settings

from tests.aggregator_process import aggregator
from tests.migrated_database import migrated_database_url, migrated_template, pool
from tests.ordering import orders
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
    "aggregator",
    "empty_database_url",
    "history_database",
    "history_databases",
    "migrated_database_url",
    "migrated_template",
    "nats_client",
    "nats_server",
    "nats_url",
    "orders",
    "own_postgres_server",
    "pool",
    "postgres_databases",
    "postgres_server",
    "timescale_databases",
    "timescale_server",
    "timescale_url",
]

# How long one example takes tells of the machine's other work; each test has a time limit of its own.
settings.register_profile("netally", deadline=None)
settings.load_profile("netally")

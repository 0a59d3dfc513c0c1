"""Fixtures of every test. They live where their subject lives and are only named here."""

import structlog
from hypothesis import settings

from tests.aggregator_process import aggregator
from tests.migrated_database import migrated_database_url, migrated_template, pool
from tests.ordering import orders
from tests.secrets_in_logs import pytest_runtest_makereport
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

# As the services log: without the local variables of a traceback, tokens and cookies among them.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
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
    "pytest_runtest_makereport",
    "timescale_databases",
    "timescale_server",
    "timescale_url",
]

# How long one example takes tells of the machine's other work; each test has a time limit of its own.
settings.register_profile("netally", deadline=None)
settings.load_profile("netally")

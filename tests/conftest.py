"""Fixtures of every test. They live where their subject lives and are only named here."""

from tests.services import (
    empty_database_url,
    nats_client,
    nats_server,
    nats_url,
    own_postgres_server,
    postgres_server,
)

__all__ = [
    "empty_database_url",
    "nats_client",
    "nats_server",
    "nats_url",
    "own_postgres_server",
    "postgres_server",
]

"""Reading the database: one read-only snapshot a request, a time limit on each statement, errors in plain words."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol
from urllib.parse import urlencode, urlsplit, urlunsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import asyncpg
import structlog

from netally.api import metrics
from netally.api.problems import ProblemError, bad_filter, unavailable
from netally.store import sql
from netally.store.counted import Counted
from netally.store.counted import fetch as fetch_counted
from netally.store.database import DatabaseSettings, connect, location, plain_words
from netally.store.filters.errors import FilterError
from netally.store.filters.names import names_with_prefix

STATEMENT_TIMEOUT: Final = 10.0
"""Seconds."""
CONNECTIONS: Final = 6
_ACQUIRE_TIMEOUT: Final = 5.0
BUSY: Final = 3
"""Requests that read at the same time keep the database's cores busy by themselves: to share each query out among
several processes as well would cost more than it brings.
"""

log = structlog.get_logger()


class Rows(Protocol):
    """Runs a statement of ``queries/*.sql`` in the request's snapshot; those on traffic with the rows that count."""

    async def __call__(self, statement: str, counted: Counted | None = None, /, **arguments: Any) -> list[Any]: ...


class Database:
    """The pool, once there is one. ``reason`` says why there is none."""

    def __init__(
        self,
        url: str,
        statement_timeout: float = STATEMENT_TIMEOUT,
        statement_cache: int = 200,
        *,
        connections: int = CONNECTIONS,
    ) -> None:
        self._url = url
        self._connections = connections
        self._statement_cache = statement_cache
        self._timeout = statement_timeout
        self._pool: asyncpg.Pool | None = None
        self._reading = 0
        self.reason = "the database has not answered yet" if url else "NETALLY_DATABASE_URL is not set"

    async def run(self) -> None:
        """Wait for the database, for ever; returns when there is a pool (which reconnects by itself)."""
        if self._url:
            settings = DatabaseSettings(reading_url(self._url, self._timeout), self._connections, self._statement_cache)
            self._pool = await connect(settings, "netally-api", waiting=self._wait)
            self.reason = ""
            log.info("database connected")

    async def close(self) -> None:
        if self._pool is not None:
            self._pool.terminate()

    async def check(self) -> str:
        """Why the database cannot answer, in plain words; empty when it can."""
        if self._pool is None:
            return self.reason
        try:
            async with self._pool.acquire(timeout=2) as connection:
                await sql.fetch_row(connection, "deployment")
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            return self._explain(error)
        return ""

    @asynccontextmanager
    async def read(self, advice: str) -> AsyncIterator[tuple[Rows, ZoneInfo]]:
        """A snapshot to read from, and the time zone of the daily tier.

        Failures become 503 problems; ``advice`` says what to narrow when a statement takes too long. A cancelled
        caller cancels the statement on the server.
        """
        async with self._snapshot(advice) as (connection, zone):

            async def rows(statement: str, counted: Counted | None = None, /, **arguments: Any) -> list[Any]:
                started = time.monotonic()
                try:
                    if counted is None:
                        return await sql.fetch(connection, statement, **arguments)
                    return await fetch_counted(connection, statement, counted, **arguments)
                finally:
                    metrics.QUERY_SECONDS.labels(statement).observe(time.monotonic() - started)

            yield rows, zone

    async def names(self, field: str, prefix: str, limit: int) -> Sequence[str]:
        """Names of a field of the filter language that begin with the prefix; none while the database is away."""
        try:
            async with self._snapshot("") as (connection, _):
                return await names_with_prefix(connection, field, prefix, limit)
        except ProblemError:
            return []

    @asynccontextmanager
    async def _snapshot(self, advice: str) -> AsyncIterator[tuple[sql.Connection, ZoneInfo]]:
        if self._pool is None:
            raise unavailable(f"No figures yet: {self.reason}.")
        try:
            async with (
                self._pool.acquire(timeout=_ACQUIRE_TIMEOUT) as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                self._reading += 1
                try:
                    if self._reading > BUSY:
                        await sql.execute(connection, "read_alone")
                    deployment = await sql.fetch_row(connection, "deployment")
                    yield connection, zone_of(deployment["timezone"])
                finally:
                    self._reading -= 1
        except FilterError as error:
            raise bad_filter(error) from None
        except asyncpg.QueryCanceledError:
            metrics.QUERIES_CANCELLED.labels("timeout").inc()
            raise unavailable(f"The query took longer than {self._timeout:g} s and was ended. {advice}", 10) from None
        except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresError) as error:
            if isinstance(error, asyncpg.PostgresError) and (error.sqlstate or "")[:2] not in ("08", "53", "57", "42"):
                raise
            if isinstance(error, asyncpg.SyntaxOrAccessError) and not isinstance(error, asyncpg.UndefinedTableError):
                raise
            raise unavailable(f"No figures now: {self._explain(error)}.") from None

    def _wait(self, reason: str) -> None:
        if reason != self.reason:
            log.warning("database away", reason=reason)
        self.reason = reason

    def _explain(self, error: BaseException) -> str:
        if isinstance(error, asyncpg.UndefinedTableError):
            return "the database has no tables yet; the aggregator makes them when it starts"
        if isinstance(error, TimeoutError) and self._pool is not None and self._pool.get_idle_size() == 0:
            return "all connections to the database are busy"
        if isinstance(error, asyncpg.InterfaceError | asyncpg.ConnectionDoesNotExistError):
            return f"the connection to the database at {location(self._url)} was lost"
        return plain_words(error, self._url)


def reading_url(url: str, timeout: float) -> str:
    """The URL with the session settings of a reader (unknown keys of the query part are server settings)."""
    options = {
        "default_transaction_read_only": "on",
        "statement_timeout": f"{int(timeout * 1000)}ms",
        # Ranges differ from request to request; a plan made for any range would read every partition.
        "plan_cache_mode": "force_custom_plan",
        "work_mem": "32MB",
        # Compiling a statement takes longer than any of these.
        "jit": "off",
    }
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query="&".join(filter(None, [parts.query, urlencode(options)]))))


def zone_of(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        log.error("time zone not known on this machine, days are those of UTC", timezone=name)
        return ZoneInfo("UTC")

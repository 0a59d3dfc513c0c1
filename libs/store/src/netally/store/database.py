"""Pool of connections to the database, its settings, and its errors in plain words.

On every connection of the pool addresses are packed bytes (4 or 16) and times are epoch milliseconds, both ways.
asyncpg's own codecs for the two types cost five times the COPY itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Callable
from urllib.parse import urlsplit

import asyncpg
import msgspec

POSTGRES_EPOCH_MS = 946_684_800_000
"""2000-01-01T00:00:00Z, from where PostgreSQL counts its microseconds."""

AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What a database that is away, restarting or in trouble makes asyncpg raise (and more: see `can_never_succeed`)."""

_CONNECT_TIMEOUT = 10.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 5.0


class DatabaseSettings(msgspec.Struct, frozen=True):
    """How to reach the database."""

    database_url: str
    """``postgresql://user:password@host:port/name``."""
    database_connections: int = 8
    """Most connections of this process."""
    database_statement_cache: int = 200
    """Prepared statements kept a connection; 0 behind a pooler that hands out connections by transaction."""

    def __repr__(self) -> str:
        return f"DatabaseSettings({location(self.database_url)})"


def location(url: str) -> str:
    """``host:port/name`` of a database URL: what may be shown, unlike its user and password."""
    parts = urlsplit(url)
    return f"{parts.netloc.rpartition('@')[2] or 'local socket'}{parts.path}"


def pack_inet(address: bytes) -> bytes:
    """Binary inet of a packed address: family, prefix length, "is no cidr", length, address (network.c)."""
    return (b"\x02\x20\x00\x04" if len(address) == 4 else b"\x03\x80\x00\x10") + address


def unpack_inet(raw: bytes) -> bytes:
    return raw[4:]


def binary_time(milliseconds: int) -> int:
    """Binary timestamptz of epoch milliseconds: microseconds since 2000."""
    return (milliseconds - POSTGRES_EPOCH_MS) * 1000


def pack_time(milliseconds: int) -> tuple[int]:
    return (binary_time(milliseconds),)


def unpack_time(raw: tuple[int]) -> int:
    return raw[0] // 1000 + POSTGRES_EPOCH_MS


async def set_codecs(connection: asyncpg.Connection) -> None:
    """Make inet packed bytes and timestamptz epoch milliseconds on this connection, both ways."""
    await connection.set_type_codec(
        "inet", schema="pg_catalog", format="binary", encoder=pack_inet, decoder=unpack_inet
    )
    await connection.set_type_codec(
        "timestamptz", schema="pg_catalog", format="tuple", encoder=pack_time, decoder=unpack_time
    )


async def open_pool(
    settings: DatabaseSettings, application: str, *, statement_timeout: float | None = None
) -> asyncpg.Pool:
    """A pool that has connected once. Raises what asyncpg raises; `plain_words` tells it to people.

    A statement that takes longer than ``statement_timeout`` seconds raises TimeoutError.
    """
    return await asyncpg.create_pool(
        settings.database_url,
        min_size=1,
        max_size=settings.database_connections,
        statement_cache_size=settings.database_statement_cache,
        timeout=_CONNECT_TIMEOUT,
        command_timeout=statement_timeout,
        server_settings={"timezone": "UTC", "application_name": application},
        init=set_codecs,
    )


async def connect(
    settings: DatabaseSettings,
    application: str,
    *,
    statement_timeout: float | None = None,
    waiting: Callable[[str], None] = lambda reason: None,
) -> asyncpg.Pool:
    """Like `open_pool`, but tries again with growing pauses until it works, telling ``waiting`` why it does not yet."""
    pause = _FIRST_PAUSE
    while True:
        try:
            return await open_pool(settings, application, statement_timeout=statement_timeout)
        except AWAY as error:
            waiting(plain_words(error, settings.database_url))
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)


async def connect_unless_stopped(
    settings: DatabaseSettings, application: str, connections: int, stop: asyncio.Event
) -> asyncpg.Pool | None:
    """Like `connect`, with this many connections; None when ``stop`` is set before it works."""
    few = msgspec.structs.replace(settings, database_connections=connections)
    opening = asyncio.create_task(connect(few, application))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((opening, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if opening.done():
        return opening.result()
    opening.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await opening
    return None


def plain_words(error: BaseException, url: str) -> str:
    """What is wrong with the database, for people, without secrets."""
    place = location(url)
    match error:
        case asyncpg.InvalidPasswordError() | asyncpg.InvalidAuthorizationSpecificationError():
            return f"the database at {place} refuses user {urlsplit(url).username}: check NETALLY_DATABASE_URL"
        case asyncpg.InvalidCatalogNameError():
            return f"there is no database {urlsplit(url).path.lstrip('/')!r} at {place}: create it"
        case asyncpg.CannotConnectNowError():
            return f"the database at {place} is starting up or shutting down"
        case asyncpg.TooManyConnectionsError():
            return f"the database at {place} has no free connection: raise its max_connections"
        case asyncpg.DiskFullError():
            return f"the disk of the database at {place} is full: free space there"
        case asyncpg.LockNotAvailableError():
            return f"a long query on the database at {place} is in the way: try again when it has ended"
        case asyncpg.PostgresError():
            return f"the database at {place} says: {error.args[0] if error.args else error} ({error.sqlstate})"
        case TimeoutError():
            return f"the database at {place} does not answer"
        case OSError():
            reason = error.strerror or str(error)
            return f"cannot reach the database at {place}: {reason}"
        case _:
            return f"the connection to the database at {place} failed: {error}"


def can_never_succeed(error: BaseException) -> bool:
    """True when the data is at fault (SQLSTATE classes 22 and 23, or a value that cannot be encoded), so that trying
    again would fail again.
    """
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "")[:2] in ("22", "23")
    # asyncpg's own DataError, raised while encoding, is both; as an InterfaceError alone it is about the connection.
    return isinstance(error, struct.error) or (
        isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError)
    )

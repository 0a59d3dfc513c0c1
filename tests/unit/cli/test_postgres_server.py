from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from netally.cli import exec_launcher, postgres_server
from netally.cli.plain_error import PlainError
from netally.cli.postgres_server import Cluster, end_stale_server, prepare
from netally.cli.programs import Identity
from netally.cli.supervisor import Supervisor
from tests.services import eventually


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[str]:
    """The embedded server of this directory; gives its URL."""
    program, url = await prepare(Cluster(directory))
    supervisor = Supervisor(directory, lambda *_: None)
    await supervisor.start(program, within=30)
    try:
        yield url
    finally:
        await supervisor.stop(("postgres",))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory below one that is closed to everybody else, as ``mktemp -d`` and /root are."""
    tmp_path.chmod(0o700)
    directory = tmp_path / "data"
    directory.mkdir(mode=0o711)
    return directory


async def fetch(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_the_data_outlive_a_restart_and_no_mode_above_is_changed(data: Path) -> None:
    parents = [data, *data.parents]
    before = [directory.stat().st_mode for directory in parents]
    async with running(data) as url:
        await fetch(url, "CREATE TABLE kept AS SELECT 42 AS answer")
    async with running(data) as again:
        assert await fetch(again, "SELECT answer FROM kept") == 42
    assert again == url
    assert [directory.stat().st_mode for directory in parents] == before
    assert stat.S_IMODE((data / "database-url").stat().st_mode) == 0o600
    assert stat.S_IMODE((data / "postgres").stat().st_mode) == 0o700
    if os.geteuid() == 0:
        assert (data / "postgres").stat().st_uid != 0


async def test_it_asks_for_the_password_and_listens_on_loopback_only(data: Path) -> None:
    async with running(data) as url:
        password = url.split(":")[2].split("@")[0]
        for wrong in (url.replace(password, "guess"), url.replace(f":{password}", "")):
            with pytest.raises(asyncpg.InvalidPasswordError):
                await asyncpg.connect(wrong)
        assert await fetch(url, "SHOW listen_addresses") == "127.0.0.1"
        assert await fetch(url, "SHOW unix_socket_directories") == ""
        assert await fetch(url, "SHOW data_checksums") == "on"
        assert await fetch(url, "SHOW timezone") == "UTC"
        assert await fetch(url, "SELECT 'ä' < 'z'") is False  # by code point, whatever the machine's locale


async def test_a_half_made_database_is_made_again(data: Path) -> None:
    unfinished = data / "postgres.new"
    (unfinished / "base").mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    async with running(data) as url:
        assert await fetch(url, "SELECT current_database()") == "netally"
    assert not unfinished.exists()


async def test_a_lost_password_is_set_anew_without_losing_data(data: Path) -> None:
    async with running(data) as url:
        await fetch(url, "CREATE TABLE kept AS SELECT 42 AS answer")
    (data / "database-url").unlink()
    async with running(data) as again:
        assert again != url
        assert await fetch(again, "SELECT answer FROM kept") == 42


async def test_own_settings_are_read(data: Path) -> None:
    async with running(data):
        pass
    local = data / "postgres" / "netally-local.conf"
    local.write_text("work_mem = '33MB'\n")
    if os.geteuid() == 0:
        owner = (data / "postgres").stat()
        os.chown(local, owner.st_uid, owner.st_gid)
    async with running(data) as url:
        assert await fetch(url, "SHOW work_mem") == "33MB"


async def test_it_starts_after_a_crash_that_left_its_lock_file(data: Path) -> None:
    async with running(data) as url:
        pid = int((data / "postgres" / "postmaster.pid").read_text().splitlines()[0])
        await fetch(url, "CREATE TABLE kept AS SELECT 42 AS answer")
        os.kill(pid, signal.SIGKILL)
    assert (data / "postgres" / "postmaster.pid").exists()
    # The number now belongs to a stranger, as after a reboot: PostgreSQL by itself would refuse to start.
    (data / "postgres" / "postmaster.pid").write_text(f"{os.getppid()}\n")

    async def starts() -> bool:
        # Children of the killed server may hold its memory for a moment.
        async with running(data) as again:
            return await fetch(again, "SELECT answer FROM kept") == 42

    assert await eventually(starts, within=30)


async def test_a_server_that_still_runs_is_stopped_before_the_next(data: Path) -> None:
    async with running(data):
        pid = int((data / "postgres" / "postmaster.pid").read_text().splitlines()[0])
        await asyncio.to_thread(end_stale_server, data / "postgres")
        assert not (data / "postgres" / "postmaster.pid").exists()

        async def is_gone() -> bool:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return True
            return False

        # It is ours here, so it is there until this process has taken notice of its end.
        assert await eventually(is_gone, within=30)


def test_a_stranger_in_the_lock_file_is_not_touched(tmp_path: Path) -> None:
    stranger = subprocess.Popen(["/bin/sleep", "600"])
    try:
        (tmp_path / "postmaster.pid").write_text(f"{stranger.pid}\n{tmp_path}\n")
        end_stale_server(tmp_path)
        assert stranger.poll() is None
        assert not (tmp_path / "postmaster.pid").exists()
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("text", ["", "\n", "x\n", "-1\n"])
def test_a_broken_lock_file_is_removed(tmp_path: Path, text: str) -> None:
    (tmp_path / "postmaster.pid").write_text(text)
    end_stale_server(tmp_path)
    assert not (tmp_path / "postmaster.pid").exists()


async def test_data_of_another_version_is_refused(data: Path) -> None:
    (data / "postgres").mkdir()
    (data / "postgres" / "PG_VERSION").write_text("15\n")
    with pytest.raises(PlainError, match="was made by PostgreSQL 15, and this is 18"):
        await prepare(Cluster(data))


async def test_a_directory_with_other_things_is_left_alone(data: Path) -> None:
    (data / "postgres").mkdir()
    (data / "postgres" / "letter.txt").write_text("dear")
    with pytest.raises(PlainError, match="is not empty and holds no PostgreSQL data"):
        await prepare(Cluster(data))
    assert (data / "postgres" / "letter.txt").read_text() == "dear"


@pytest.fixture
def no_namespaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container without CAP_SYS_ADMIN: unshare(2) is refused."""
    launcher = tmp_path / "launcher.py"
    text = Path(exec_launcher.__file__).read_text()
    launcher.write_text(text.replace("libc.unshare(CLONE_NEWNS)", "(ctypes.set_errno(1), 1)[1]"))
    monkeypatch.setattr(exec_launcher, "__file__", str(launcher))


@pytest.mark.root
@pytest.mark.usefixtures("no_namespaces")
async def test_without_namespaces_a_closed_directory_is_a_plain_error(data: Path) -> None:
    with pytest.raises(PlainError) as error:
        await prepare(Cluster(data))
    words = str(error.value)
    assert "cannot reach" in words
    assert "a private mount namespace: Operation not permitted" in words
    assert "NETALLY_DATABASE_URL" in words


@pytest.mark.root
async def test_a_user_without_a_name_is_told_what_to_do(data: Path) -> None:
    cluster = Cluster(data)
    cluster.identity = Identity("user 54321", 54321, 54321)
    with pytest.raises(PlainError, match="no name on this machine; give it an entry in /etc/passwd"):
        await prepare(cluster)


@pytest.mark.root
def test_the_kernel_is_asked_whether_the_user_can_walk_there(data: Path) -> None:
    nobody = Identity("nobody", 65534, 65534)
    assert not postgres_server.can_walk_to(nobody, [data])
    data.parent.chmod(0o711)
    assert postgres_server.can_walk_to(nobody, [data]) == all(
        directory.stat().st_mode & stat.S_IXOTH for directory in data.parents
    )
    assert postgres_server.can_walk_to(nobody, [Path("/"), Path("/usr/bin")])

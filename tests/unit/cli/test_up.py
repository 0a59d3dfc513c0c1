from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from netally.cli import up
from netally.cli.data_directory import locked
from netally.cli.plain_error import PlainError
from netally.cli.service_programs import service_programs
from netally.cli.settings import CliSettings


def test_every_part_is_stopped_and_those_who_write_before_what_they_write_to() -> None:
    links = {"NETALLY_NATS_URL": "", "NETALLY_DATABASE_URL": "", "NETALLY_ADMIN_TOKEN": ""}
    services = {program.name for program in service_programs(CliSettings(), {}, links, {})}
    order = [name for stage in up.STAGES for name in stage]
    assert sorted(order) == sorted({*services, "postgres", "nats"})
    assert order.index("capture") < order.index("aggregator") < min(order.index("postgres"), order.index("nats"))


def test_a_set_token_is_used_and_a_missing_one_made_once(tmp_path: Path) -> None:
    settings = CliSettings(data_dir=str(tmp_path))
    assert up.admin_token(CliSettings(data_dir=str(tmp_path), admin_token="set")) == "set"
    assert not (tmp_path / "admin-token").exists()
    assert up.admin_token(settings) == up.admin_token(settings) == (tmp_path / "admin-token").read_text().strip()


def test_a_pipe_that_ended_does_not_end_the_work() -> None:
    """`netally up | head -3`, or a terminal that was closed."""
    script = "from netally.cli.up import tell\nfor _ in range(3): tell('a line')\nopen({!r}, 'w').write('done')"
    read, write = os.pipe()
    os.close(read)
    with tempfile.NamedTemporaryFile() as result:
        done = subprocess.run(
            [sys.executable, "-c", script.format(result.name)], stdout=write, stderr=subprocess.PIPE, check=False
        )
        os.close(write)
        assert (result.read(), done.returncode, done.stderr) == (b"done", 0, b"")


def test_a_second_one_on_the_same_data_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(PlainError, match="already running"):
        up.up(CliSettings(data_dir=str(tmp_path)))
    assert [file.name for file in tmp_path.iterdir()] == ["lock"]


async def test_a_stop_during_the_start_ends_the_start() -> None:
    stopped, cleaned = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        stopped.set()
        try:
            await asyncio.sleep(60)
        finally:
            cleaned.set()

    assert not await up._unless_stopped(work(), stopped)
    assert cleaned.is_set()


async def test_a_failure_during_the_start_is_raised_and_the_others_are_given_up() -> None:
    given_up = asyncio.Event()

    async def waits() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            given_up.set()

    async def fails() -> None:
        await asyncio.sleep(0)
        raise PlainError("no")

    with pytest.raises(PlainError, match="no"):
        await up._unless_stopped(up._together([waits(), fails()]), asyncio.Event())
    assert given_up.is_set()

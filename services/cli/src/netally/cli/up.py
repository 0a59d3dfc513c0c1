"""``netally up``: everything on this machine, in the foreground, until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click
import msgspec

from netally.cli import data_directory, hub, leftovers, nats_server, ports, postgres_server
from netally.cli.capture_probe import ProbeError, probe
from netally.cli.login import VALID, login_url
from netally.cli.plain_error import PlainError
from netally.cli.service_programs import readiness_urls, service_programs
from netally.cli.settings import CliSettings, machine_timezone, without_password
from netally.cli.supervisor import CannotStartError, Supervisor

ADMIN_TOKEN = "admin-token"  # noqa: S105  (the name of its file)
RUNNING = "running.json"

STAGES = (("capture", "web", "api"), ("aggregator",), ("postgres", "nats"))
"""Order of stopping: first who brings data and who reads it, then who stores it, then what it is stored in."""

SERVERS_WITHIN = 60.0
"""Seconds NATS and PostgreSQL may take to become ready before the start goes on without them; recovery takes time."""
SERVICES_WITHIN = 30.0
"""The same for our services: they wait by themselves for a bus or a database on another machine."""


class Running(msgspec.Struct, frozen=True):
    """What `netally doctor` and `netally login` need to know of a running `netally up`."""

    web: str
    api: str
    probes: dict[str, str]


def tell(words: str) -> None:
    """One line for the person. When nobody listens any more (a closed terminal, a pipe that ended) the work goes on."""
    try:
        click.echo(words)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(title: str, words: str) -> None:
    """One progress line."""
    tell(f"  {title:<12} {words}")


def admin_token(settings: CliSettings) -> str:
    """The token with all rights: the one that was set, else the kept one, made now if there is none."""
    return settings.admin_token or data_directory.secret_kept_in(settings.directory / ADMIN_TOKEN)


def up(settings: CliSettings, without: tuple[str, ...] = ()) -> None:
    """Start everything but the services in ``without``, wait for a signal, stop everything.

    PlainError when something cannot start.
    """
    directory = settings.directory
    data_directory.prepare(directory)
    with data_directory.locked(directory):
        leftovers.end_leftovers(directory, say)
        _check_ports(settings)
        asyncio.run(_run(settings, without))


def _check_ports(settings: CliSettings) -> None:
    ports.check_ports(
        {"NETALLY_WEB_PORT": settings.web_port, "NETALLY_API_PORT": settings.api_port},
        settings.bind,
        {"NETALLY_AGGREGATOR_PORT": settings.aggregator_port, "NETALLY_CAPTURE_PORT": settings.capture_port},
    )


async def _run(settings: CliSettings, without: tuple[str, ...]) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # make and the terminal may both send one: a second signal says nothing new.
        loop.add_signal_handler(number, stopped.set)
    supervisor = Supervisor(settings.directory, say)
    rotation = asyncio.create_task(supervisor.rotate_logs())
    try:
        if await _unless_stopped(_start(settings, supervisor, without), stopped):
            await stopped.wait()
        tell("Stopping …")
    except CannotStartError as error:
        raise PlainError(str(error)) from None
    finally:
        rotation.cancel()
        await supervisor.stop(*STAGES)
        (settings.directory / RUNNING).unlink(missing_ok=True)
    tell("Everything is stopped.")


async def _unless_stopped(work: Coroutine[Any, Any, None], stopped: asyncio.Event) -> bool:
    """Do the work; False when the stop came first. What the work raises is raised."""
    task = asyncio.create_task(work)
    waiter = asyncio.create_task(stopped.wait())
    try:
        await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
            return True
        return False
    finally:
        for each in (task, waiter):
            each.cancel()
        await asyncio.gather(task, waiter, return_exceptions=True)


async def _start(settings: CliSettings, supervisor: Supervisor, without: tuple[str, ...]) -> None:
    directory = settings.directory
    tell(f"Starting Netally. Data and logs are in {directory}")
    links = {
        "NETALLY_ADMIN_TOKEN": admin_token(settings),
        "NETALLY_NATS_URL": settings.nats_url,
        "NETALLY_DATABASE_URL": settings.database_url,
        "NETALLY_TIMEZONE": settings.timezone or machine_timezone(),
    }
    seeds: dict[str, Path] = {}
    starts: list[Coroutine[Any, Any, None]] = []
    if settings.database_url:
        say("PostgreSQL", f"not started: NETALLY_DATABASE_URL names {without_password(settings.database_url)}")
    else:
        starts.append(_start_database(directory, supervisor, links))
    if settings.nats_url:
        say("NATS", f"not started: NETALLY_NATS_URL names {without_password(settings.nats_url)}")
    else:
        program, config = nats_server.prepare(directory)
        links |= config.links
        seeds = _seeds(config.hub, settings.host_name)
        links["NETALLY_NATS_MONITOR_URL"] = f"http://127.0.0.1:{config.monitor_port}"
        links["NETALLY_FLOWS_MAX_BYTES"] = os.environ.get("NETALLY_FLOWS_MAX_BYTES") or str(config.flows_max_bytes)
        starts.append(supervisor.start(program, within=SERVERS_WITHIN))
    await _together(starts)
    programs = [each for each in service_programs(settings, os.environ, links, seeds) if each.name not in without]
    await _together([supervisor.start(program, within=SERVICES_WITHIN) for program in programs])
    probes = {name: url for name, url in readiness_urls(settings).items() if name not in without}
    running = Running(settings.web_base, settings.api_base, probes)
    data_directory.write_private(directory / RUNNING, msgspec.json.encode(running).decode())
    if "capture" not in without:
        await _say_what_is_seen()
    if not {"api", "web"} & set(without):
        await _say_where(settings, links["NETALLY_ADMIN_TOKEN"])
    tell(f"Logs  {directory / 'logs'}")
    tell("Stop  Ctrl-C; the data stays.")


def _seeds(directory: str, host: str) -> dict[str, Path]:
    """Seed file of each service that speaks on a hub's bus; none where the bus is this machine's alone."""
    if not directory:
        return {}
    path = Path(directory)
    return {"aggregator": path / "aggregator.seed", "api": path / "api.seed", "capture": hub.own_seed(path, host)}


async def _together(starts: list[Coroutine[Any, Any, None]]) -> None:
    """All at once; the first failure cancels the rest and is raised."""
    tasks = [asyncio.create_task(start) for start in starts]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _start_database(directory: Path, supervisor: Supervisor, links: dict[str, str]) -> None:
    began = time.monotonic()
    cluster = postgres_server.Cluster(directory)
    if not cluster.data.exists():
        say("PostgreSQL", "first start: making the database")
    program, links["NETALLY_DATABASE_URL"] = await postgres_server.prepare(cluster)
    await supervisor.start(program, within=SERVERS_WITHIN, began=began)


async def _say_what_is_seen() -> None:
    with contextlib.suppress(ProbeError):
        sees = await probe()
        if sees.reason:
            tell(f"\nCapture mode is {sees.mode}: {sees.reason}. {sees.advice}")


async def _say_where(settings: CliSettings, token: str) -> None:
    try:
        link = await login_url(settings.api_base, settings.web_base, token, settings.api_ca)
    except PlainError as error:
        tell(f"\nNetally runs at {settings.web_base}/ but there is no login link yet: {error}")
        tell("`netally login` prints one as soon as there is.")
    else:
        tell(f"\nOpen  {link}")
        tell(f"      (logs one browser in, once, within {VALID}; `netally login` prints another)")

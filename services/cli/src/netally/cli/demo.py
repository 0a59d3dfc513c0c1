"""``netally demo``: an instance of its own, filled through its bus with simulated hosts, that goes on until Ctrl-C.

In: a data directory, a port, how many hosts and days. Out: `netally up --without capture` with the label "demo data" on
every page, a year of history, then new traffic as time passes. A second start fills only what is missing.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import click

from netally.cli import data_directory
from netally.cli.api_client import ApiClient
from netally.cli.login import login_url
from netally.cli.operations import follow
from netally.cli.plain_error import PlainError
from netally.cli.replay import replay_environment
from netally.cli.settings import CliSettings
from netally.cli.up import RUNNING, admin_token, tell

LABEL = "demo data"
RAW_DAYS = 7
KEPT = {"raw": RAW_DAYS, "minutes": 30, "hours": 365, "days": None}
"""What a real instance keeps by default, in days."""
READY_WITHIN = 180.0
_ENDS_WITHIN = 60.0


class _Demo(NamedTuple):
    """A running instance and what it is filled with."""

    client: ApiClient
    settings: CliSettings
    environ: Mapping[str, str]
    children: list[subprocess.Popen[bytes]]
    """The instance first."""
    hosts: int
    days: int
    seed: int


@click.command()
@click.option("--data-dir", default="build/demo", show_default=True, type=click.Path(file_okay=False, path_type=Path))
@click.option("--port", default=7600, show_default=True, help="Of the pages; the next two are taken as well.")
@click.option("--hosts", default=20, show_default=True, type=click.IntRange(1, 500))
@click.option("--days", default=365, show_default=True, type=click.IntRange(1, 365), help="Of history.")
@click.option("--seed", default=7, show_default=True)
def demo(data_dir: Path, port: int, hosts: int, days: int, seed: int) -> None:
    """Start a separate instance filled with simulated hosts, to look at before installing agents; Ctrl-C stops it."""
    directory = data_dir.absolute()
    data_directory.prepare(directory)
    if (holder := data_directory.holder_of_lock(directory)) is not None:
        raise PlainError(f"a demo already runs on {directory} (process {holder}): stop that one first.")
    environ = demo_environment(os.environ, directory, port)
    Path(environ["NETALLY_CONFIG"]).touch()
    (directory / RUNNING).unlink(missing_ok=True)
    settings = CliSettings(data_dir=str(directory), web_port=port, api_port=port + 1, aggregator_port=port + 2)

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    # SIGINT too: a shell starts what runs in the background with it ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    children: list[subprocess.Popen[bytes]] = []
    try:
        children.append(_start([sys.executable, "-m", "netally.cli", "up", "--without", "capture"], environ))
        _wait_until_ready(children[0], directory)
        client = ApiClient(settings)
        try:
            running = _Demo(client, settings, environ, children, hosts, days, seed)
            _fill(running)
            _say_where(settings)
            _simulate(running, "--minutes", "0")
        finally:
            client.close()
    except KeyboardInterrupt:
        pass
    finally:
        # The last first: who sends, then what it is sent to.
        for child in reversed(children):
            _end(child)


def demo_environment(environ: Mapping[str, str], directory: Path, port: int) -> dict[str, str]:
    """Environment of its programs. Nothing of a real instance is left in it: neither its database nor its bus."""
    return {
        **{name: value for name, value in environ.items() if not name.startswith("NETALLY_")},
        # Beside it, so that /etc/netally/netally.toml is not read.
        "NETALLY_CONFIG": str(directory / "netally.toml"),
        "NETALLY_DATA_DIR": str(directory),
        "NETALLY_WEB_PORT": str(port),
        "NETALLY_API_PORT": str(port + 1),
        "NETALLY_AGGREGATOR_PORT": str(port + 2),
        "NETALLY_DEMO_LABEL": LABEL,
    }


def _start(command: list[str], environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C is for us, who end them in order.
    return subprocess.Popen(command, env=environ, start_new_session=True)  # noqa: S603


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(_ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _wait_until_ready(child: subprocess.Popen[bytes], directory: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while not (directory / RUNNING).exists():
        if child.poll() is not None or time.monotonic() > deadline:
            raise PlainError(f"the demo did not start; its logs are in {directory / 'logs'}")
        time.sleep(0.1)


def _fill(demo: _Demo) -> None:
    """Bring the history up to now. Rows older than raw is kept are refused, so it is kept long meanwhile."""
    began = time.monotonic()
    client, days = demo.client, demo.days
    missing = days_missing(client.ask("GET", "/api/hosts")["hosts"], demo.hosts, days, int(time.time() * 1000))
    in_force: Mapping[str, Any] = client.ask("GET", "/api/config")["retention"] or KEPT
    is_long = in_force["raw"] > RAW_DAYS  # a fill that was interrupted
    if missing > RAW_DAYS - 2 or is_long:
        tell(f"\nFilling {missing} days of {demo.hosts} hosts with simulated traffic. The pages work meanwhile.")
        _order(client, "set-retention", {"raw": days + 10, "minutes": days + 10, "hours": days + 20, "days": None})
    _simulate(demo, "--fill-only")
    if missing > RAW_DAYS - 2 or is_long:
        tell("computing minutes, hours and days")
        _order(client, "aggregate", {})
        _order(client, "set-retention", KEPT)
        tell("removing what is older than it is kept")
        _order(client, "cleanup", {})
    tell(f"The history is filled ({time.monotonic() - began:.0f} s).")


def days_missing(rows: list[dict[str, Any]], hosts: int, days: int, now: int) -> int:
    """Days since the history of the hosts ends, at most ``days``; a host that is not there yet misses all."""
    ends = [row["complete_until"] or 0 for row in rows]
    if len(ends) < hosts:
        return days
    return min(days, -(-(now - max(ends)) // 86_400_000))


def _simulate(demo: _Demo, *more: str) -> None:
    """Run it to its end. PlainError when it or the instance ended by itself with an error."""
    ends = {row["name"]: row["complete_until"] for row in demo.client.ask("GET", "/api/hosts")["hosts"]}
    since = demo.settings.directory / "filled-until.json"
    since.write_text(json.dumps({name: end for name, end in ends.items() if end}), "utf-8")
    command = [sys.executable, "-m", "netally.capture", "simulate", "--hosts", str(demo.hosts), "--prefix", ""]
    command += ["--seed", str(demo.seed), "--history", str(demo.days), "--since", str(since), *more]
    child = _start(command, replay_environment(demo.settings, demo.environ))
    demo.children.append(child)
    while child.poll() is None:
        if demo.children[0].poll() is not None:
            raise PlainError(f"the demo ended by itself; its logs are in {demo.settings.directory / 'logs'}")
        time.sleep(0.2)
    demo.children.remove(child)
    if child.returncode:
        raise PlainError("the simulated hosts could not send their traffic; the reason stands above")


def _order(client: ApiClient, name: str, arguments: Mapping[str, Any]) -> None:
    order = {"name": name, "arguments": dict(arguments), "idempotency_key": uuid.uuid4().hex}
    command = follow(client, client.order(order), None)
    if command["state"] != "succeeded":
        raise PlainError(f"{name} {command['state']}: {command['message']}")


def _say_where(settings: CliSettings) -> None:
    tell(f"\nOpen  {asyncio.run(login_url(settings.api_base, settings.web_base, admin_token(settings)))}")
    tell(f"      (demo data; NETALLY_DATA_DIR={settings.directory} netally login prints another link)")
    tell("Stop  Ctrl-C; the next start goes on with the same data.")

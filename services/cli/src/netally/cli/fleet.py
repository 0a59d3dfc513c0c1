"""``netally init``, ``netally agent …`` and ``netally join``: one hub, and the hosts that may speak on its bus."""

from __future__ import annotations

import os
import shutil
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import click

from netally.cli import data_directory, hub, nats_server
from netally.cli import settings as cli_settings
from netally.cli.plain_error import PlainError
from netally.telemetry.settings import DEFAULT_FILE

JOINED = "bus"
"""Where a joined host keeps its key and the hub's authority, in the data directory."""


def _hub_directory(given: Path | None) -> Path:
    return given or cli_settings.load().directory / hub.DIRECTORY


_directory = click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="The hub's directory; default: `hub` in the data directory.",
)


@click.command()
@click.option("--address", "addresses", multiple=True, help="How hosts reach this machine; repeat for more.")
@click.option("--port", type=click.IntRange(1, 65535), default=4222, show_default=True, help="Port of the bus.")
@click.option("--database", "database_host", help="For containers: the database server; makes its password.")
@click.option("--owner", type=int, help="For containers: number of the user who is to read the files.")
@click.option("--renew", is_flag=True, help="Only make a new server certificate, for the same addresses and more.")
@_directory
def init(
    addresses: tuple[str, ...],
    port: int,
    database_host: str | None,
    owner: int | None,
    renew: bool,
    directory: Path | None,
) -> None:
    """Make this machine the hub of many hosts: keys, certificates and the bus's configuration.

    `netally up` then lets hosts in over TLS. For compose and Kubernetes, name a directory to be mounted.
    """
    path = _hub_directory(directory)
    if renew:
        with hub.alone(path) as known:
            known.addresses = list(dict.fromkeys([*known.addresses, *addresses]))
            hub.renew(path, known)
            hub.write(path, known)
        _told(path)
        return
    if not addresses:
        raise PlainError("say how hosts reach this machine: `netally init --address hub.example.org`.")
    if directory is None:
        data_directory.prepare(_made(path.parent))
    made = hub.init(path, addresses, port)
    if database_host:
        hub.make_secrets(path, database_host)
    if owner is not None:
        hub.give_to(path, owner)
    click.echo(f"The hub's keys and certificates are in {path}. Keep a copy of it in a safe place.")
    start = "" if directory else " Start it with `netally up`, then: netally agent add HOST"
    click.echo(f"Hosts will reach it at {made.url}.{start}")


def _made(path: Path) -> Path:
    if not path.exists():
        data_directory.prepare(path)
    return path


@click.group()
def agent() -> None:
    """Say which hosts may speak on this hub's bus."""


@agent.command()
@click.argument("host")
@_directory
def add(host: str, directory: Path | None) -> None:
    """Let HOST in, and print the line that joins it. Its earlier key, if any, is worth nothing from now on."""
    path = _hub_directory(directory)
    text = hub.add(path, host)
    _told(path)
    click.echo(f"On {host}, run this once (it holds the host's key: treat it as a password):", err=True)
    click.echo(f"netally join {text}")


@agent.command()
@click.argument("host")
@_directory
def revoke(host: str, directory: Path | None) -> None:
    """Cut HOST off at once. What it has sent stays."""
    path = _hub_directory(directory)
    hub.revoke(path, host)
    _told(path)
    click.echo(f"{host} may speak no more.")


@agent.command(name="list")
@_directory
def list_hosts(directory: Path | None) -> None:
    """Name the hosts that may speak, with their public keys."""
    for host, key in sorted(hub.read(_hub_directory(directory)).hosts.items()):
        click.echo(f"{host}\t{key}")


def _told(path: Path) -> None:
    """Have the running server know, and say so when there is none that this program can tell."""
    if not (nats_server.follow_hub(path.parent) or hub.reload_running(path)):
        click.echo("(No bus runs from this directory on this machine; one elsewhere has to be reloaded.)", err=True)
    warning = hub.ends_soon(path, datetime.now(UTC))
    if warning:
        click.echo(warning, err=True)


@click.command()
@click.argument("line", required=False)
@click.option("--replace", is_flag=True, help="Join another hub than before, or as another host.")
def join(line: str | None, replace: bool) -> None:
    """Join the hub whose `netally agent add` printed LINE; without LINE, it is read from standard input.

    Writes the key and the hub's authority into the data directory, and the settings of the agent into
    /etc/netally/netally.toml (NETALLY_CONFIG names another file).
    """
    joining = hub.read_join_text(line or sys.stdin.readline())
    config = Path(os.environ.get("NETALLY_CONFIG") or DEFAULT_FILE)
    if not config.exists():
        # It is this command that makes it; every other one refuses a name of no file.
        config.parent.mkdir(parents=True, exist_ok=True)
        data_directory.write_private(config, "")
    settings = cli_settings.load()
    kept = config.read_text("utf-8")
    wanted = {
        "nats_url": joining.url,
        "nats_ca_file": str(settings.directory / JOINED / hub.CA),
        "nats_seed_file": str(settings.directory / JOINED / hub.OWN_SEED),
        "host": joining.host,
    }
    text = joined_config(kept, wanted, replace=replace, name=str(config))
    data_directory.prepare(settings.directory)
    directory = settings.directory / JOINED
    directory.mkdir(mode=0o700, exist_ok=True)
    data_directory.write_private(directory / hub.CA, joining.ca)
    data_directory.write_private(directory / hub.OWN_SEED, f"{joining.seed}\n")
    data_directory.write_private(config, text)
    click.echo(f"Joined {joining.url} as {joining.host}; the settings are in {config}.")
    if shutil.which("systemctl"):
        click.echo("Start the agent with `systemctl enable --now netally-agent`, or `python -m netally.capture`.")
    else:
        click.echo("Start the agent with `python -m netally.capture`.")


def joined_config(kept: str, wanted: dict[str, str], *, replace: bool, name: str) -> str:
    """The file's text with ``wanted`` in it. PlainError when it says otherwise and is not to be replaced."""
    try:
        known = tomllib.loads(kept)
    except tomllib.TOMLDecodeError as error:
        raise PlainError(f"{name} is no valid TOML ({error}): mend it, or move it away.") from None
    other = [key for key, value in wanted.items() if known.get(key, value) != value]
    if other and not replace:
        raise PlainError(
            f"{name} already says {', '.join(f'{key} = {known[key]!r}' for key in other)}: add --replace to join "
            "another hub or as another host."
        )
    # Keys of the file's first table end where another table begins.
    lines = kept.splitlines()
    end = next((number for number, line in enumerate(lines) if line.lstrip().startswith("[")), len(lines))
    top = [line for line in lines[:end] if line.partition("=")[0].strip() not in wanted]
    added = [f"{key} = {_toml_string(value)}" for key, value in wanted.items()]
    return "\n".join([*top, *added, *lines[end:]]) + "\n"


def _toml_string(value: str) -> str:
    escaped = "".join(f"\\u{ord(letter):04x}" if ord(letter) < 0x20 or letter in '"\\' else letter for letter in value)
    return f'"{escaped}"'

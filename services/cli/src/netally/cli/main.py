"""The command line: ``netally up``, ``netally login``, ``netally doctor``, ``netally replay``, ``netally simulate``,
``netally run …``, ``netally export``, ``netally token …``, ``netally pair-browser``, ``netally init``,
``netally agent …``, ``netally join``, ``netally demo``."""

from __future__ import annotations

import asyncio
import importlib.metadata
import sys

import click

from netally.cli import fleet
from netally.cli import settings as cli_settings
from netally.cli.demo import demo
from netally.cli.operations import export, run
from netally.cli.pair_browser import pair_browser
from netally.cli.plain_error import PlainError, in_plain_words
from netally.cli.replay import replay
from netally.cli.simulate import simulate
from netally.cli.tokens import token
from netally.telemetry.settings import SettingsError


def version() -> str:
    return importlib.metadata.version("netally-cli")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version(), prog_name="netally", message="%(prog)s %(version)s")
def cli() -> None:
    """Who used the network, for what, when, and how much.

    Settings are environment variables (NETALLY_DATA_DIR, NETALLY_WEB_PORT, …) or keys of /etc/netally/netally.toml;
    docs/operating.md lists them.
    """


@cli.command()
@click.option(
    "--without",
    type=click.Choice(["capture", "web", "api", "aggregator"]),
    multiple=True,
    help="Leave a service out, for instance `capture` on a machine that only collects. May be given more than once.",
)
def up(without: tuple[str, ...]) -> None:
    """Start everything on this machine and print a URL; Ctrl-C stops it.

    Starts NATS and PostgreSQL of its own unless NETALLY_NATS_URL and NETALLY_DATABASE_URL name others, then the
    aggregator, the API, the pages and the capture. As root it sees every process and packet of the machine; as
    another user, what `netally doctor` says.
    """
    from netally.cli.up import up as run_up

    run_up(cli_settings.load(), without)


@cli.command()
def login() -> None:
    """Print a link that logs one browser in (single use, valid 10 minutes)."""
    from netally.cli.doctor import read_running
    from netally.cli.login import login_url
    from netally.cli.up import admin_token

    settings = cli_settings.load()
    running = read_running(settings)
    click.echo(asyncio.run(login_url(running.api, running.web, admin_token(settings), settings.api_ca)))


@cli.command()
def doctor() -> None:
    """Say what this machine can do and how the running parts are; exit status 1 when something is wrong."""
    from netally.cli.doctor import examine

    sys.exit(examine(cli_settings.load()))


cli.add_command(replay)
cli.add_command(simulate)
cli.add_command(demo)
cli.add_command(run)
cli.add_command(export)
cli.add_command(token)
cli.add_command(pair_browser)
cli.add_command(fleet.init)
cli.add_command(fleet.agent)
cli.add_command(fleet.join)


def main() -> None:
    """Entry point: what a person can put right is said in plain words, with exit status 1."""
    try:
        cli(standalone_mode=False)
    except click.exceptions.Exit as exit_request:
        sys.exit(exit_request.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (PlainError, SettingsError) as error:
        click.echo(f"netally: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        click.echo(f"netally: {in_plain_words(error)}", err=True)
        sys.exit(1)

"""``netally replay``: hands a capture file to the agent's program, with the address of the running bus."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

import click

from netally.cli import data_directory, hub, nats_server
from netally.cli import settings as cli_settings
from netally.cli.settings import CliSettings


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def replay(arguments: tuple[str, ...]) -> None:
    """Show a capture file's traffic on the pages, or its flows as JSON lines (--json)."""
    # -P: nothing is imported from the directory that the capture lies in.
    command = [sys.executable, "-P", "-m", "netally.capture", "replay", *arguments]
    # JSON lines need nothing running, so no setting either.
    environ = dict(os.environ) if "--json" in arguments else replay_environment(cli_settings.load(), os.environ)
    sys.stdout.flush()
    os.execve(command[0], command, environ)  # noqa: S606


def replay_environment(settings: CliSettings, environ: Mapping[str, str]) -> dict[str, str]:
    """Environment of the program: NETALLY_NATS_URL of the embedded server where none is set and it is known."""
    if settings.nats_url:
        return dict(environ)
    url = data_directory.read_private(settings.directory / nats_server.URL)
    if not url:
        return dict(environ)
    known = settings.directory / hub.DIRECTORY
    # A replay speaks as a host that nobody has added.
    files = (
        {"NETALLY_NATS_CA_FILE": str(known / hub.CA), "NETALLY_NATS_SEED_FILE": str(known / "aggregator.seed")}
        if hub.is_hub(known)
        else {}
    )
    return {**environ, "NETALLY_NATS_URL": url.strip(), **files}

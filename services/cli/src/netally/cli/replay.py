"""``netally replay``: hands a capture file to the agent's program, with the address of the running bus."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import click

from netally.cli import data_directory, hub, nats_server
from netally.cli import settings as cli_settings
from netally.cli.api_client import ApiClient
from netally.cli.operations import carry_out
from netally.cli.plain_error import PlainError
from netally.cli.settings import CliSettings


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def replay(context: click.Context, arguments: tuple[str, ...]) -> None:
    """Show a capture file's traffic on the pages, its flows as JSON lines (--json), or delete it again (--delete)."""
    if "--delete" in arguments:
        _delete(context, list(arguments))
    # -P: nothing is imported from the directory that the capture lies in.
    command = [sys.executable, "-P", "-m", "netally.capture", "replay", *arguments]
    # JSON lines need nothing running, so no setting either.
    environ = dict(os.environ) if "--json" in arguments else replay_environment(cli_settings.load(), os.environ)
    sys.stdout.flush()
    os.execve(command[0], command, environ)  # noqa: S606


class _Arguments(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise PlainError(f"{message}; say `netally replay FILE --delete`, with the --host that it was shown under.")


def replayed_host(arguments: list[str]) -> str:
    """Host that ``replay FILE --delete`` is about: the one that ``replay FILE`` shows the capture under."""
    parser = _Arguments(add_help=False, allow_abbrev=False)
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--delete", action="store_true")
    parser.add_argument("--host", default="")
    options = parser.parse_args(arguments)
    return options.host or f"replay-{'stdin' if options.file == '-' else Path(options.file).stem}"


def _delete(context: click.Context, arguments: list[str]) -> NoReturn:
    """Order the deletion of a replayed capture and exit with its outcome. Hosts that capture are never deleted here."""
    host = replayed_host(arguments)
    client = ApiClient(cli_settings.load())
    try:
        kinds = {row["name"]: row["kind"] for row in client.ask("GET", "/api/hosts")["hosts"]}
    finally:
        client.close()
    if kinds.get(host) != "replay":
        known = ", ".join(sorted(name for name, kind in kinds.items() if kind == "replay")) or "none"
        raise PlainError(f"{host} is no replayed capture; there are: {known}.")
    context.obj = {"wait": None, "key": None, "deadline": None, "as_json": False}
    carry_out("purge", {"host": host})


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

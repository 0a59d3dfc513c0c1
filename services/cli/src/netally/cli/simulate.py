"""``netally simulate``: runs the agent's program with the bus of the data directory, then asks the API what arrived."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from netally.cli import settings as cli_settings
from netally.cli.api_client import ApiClient
from netally.cli.plain_error import PlainError
from netally.cli.replay import replay_environment

ARRIVES_WITHIN = 20.0
"""Seconds that the last rows may take to be seen by a query."""


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def simulate(arguments: tuple[str, ...]) -> None:
    """Publish the traffic of a fleet that does not exist (--hosts, --minutes, --seed), to see what one costs."""
    settings = cli_settings.load()
    with tempfile.TemporaryDirectory(prefix="netally-simulate-") as directory:
        kept = Path(directory) / "summary.json"
        command = [sys.executable, "-m", "netally.capture", "simulate", *arguments, "--summary", str(kept)]
        status = run_to_its_end(command, replay_environment(settings, os.environ))
        summary = json.loads(kept.read_text("utf-8")) if kept.exists() else None
    if summary and summary["batches"] and not summary["waiting"]:
        try:
            client = ApiClient(settings)
        except PlainError as error:
            click.echo(f"not compared with the API: {error}")
        else:
            try:
                status = status or report_loss(client, summary)
            finally:
                client.close()
    sys.exit(status)


def run_to_its_end(command: list[str], environ: Mapping[str, str]) -> int:
    """Its exit status. A signal is passed on, and its end waited for: it says what it did."""
    child = subprocess.Popen(command, env=environ, start_new_session=True)  # noqa: S603

    def pass_on(number: int, _: object) -> None:
        child.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def report_loss(client: ApiClient, summary: dict[str, Any]) -> int:
    """Say whether the API counts what was sent, host by host; 1 when it does not."""
    query = urllib.parse.urlencode({"from": summary["begin"], "to": summary["end"]})
    deadline = time.monotonic() + ARRIVES_WITHIN
    while True:
        try:
            found = client.ask("GET", f"/api/hosts?{query}")
        except PlainError as error:
            click.echo(f"not compared with the API: {error}")
            return 0
        wrong = differences(summary["host_bytes"], found["hosts"])
        if not wrong or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    if wrong:
        click.echo(f"not the same in the API: {len(wrong)} of {len(summary['host_bytes'])} hosts, such as {wrong[0]}")
        return 1
    total = sum(map(sum, summary["host_bytes"].values()))
    click.echo(f"nothing lost: the API counts the same {total:,} bytes of traffic, host by host")
    return 0


def differences(sent: Mapping[str, list[int]], hosts: list[dict[str, Any]]) -> list[str]:
    """What the API counts otherwise, in words; hosts that it does not know count nothing."""
    counted = {row["name"]: [row["bytes_in"], row["bytes_out"]] for row in hosts}
    return [
        f"{name}: sent {amounts}, counted {counted.get(name, [0, 0])}"
        for name, amounts in sent.items()
        if counted.get(name, [0, 0]) != amounts
    ]

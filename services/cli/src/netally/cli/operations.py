"""``netally run …`` and ``netally export``: every command that the API takes, with its outcome as the exit status."""

from __future__ import annotations

import json
import sys
import time
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import click

from netally.cli import settings as cli_settings
from netally.cli.api_client import FINAL, ApiClient, ProgressLine, RefusedError
from netally.contracts.commands import COMMANDS

EXIT = {"succeeded": 0, "failed": 1, "cancelled": 3, "expired": 4}
"""Exit status by outcome. 2 is an order that was refused, 5 one that has not ended in the time given."""
STILL_WAITING = 5


def milliseconds(text: str) -> int:
    """Epoch milliseconds of ISO 8601 (without an offset: this machine's time) or of epoch milliseconds."""
    if text.isdecimal() and len(text) > 8:
        return int(text)
    try:
        return int(datetime.fromisoformat(text).astimezone().timestamp() * 1000)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no time: give ISO 8601 such as 2026-11-22T14:05.") from None


class Moment(click.ParamType[int]):
    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        return milliseconds(str(value))


MOMENT = Moment()


@click.group()
@click.option("--wait", type=click.FloatRange(min=0), help="Seconds to wait for the end, then exit with status 5.")
@click.option("--key", help="Idempotency key: the same key is not run a second time.")
@click.option("--deadline", type=MOMENT, help="Do not start it any more after this time.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@click.pass_context
def run(context: click.Context, wait: float | None, key: str | None, deadline: int | None, as_json: bool) -> None:
    """Carry out an operation by way of the API and wait for its outcome.

    Exit status: 0 done, 1 failed, 2 refused, 3 cancelled, 4 expired, 5 not ended within --wait. The API is the one of
    `netally up` on this machine, or NETALLY_API_URL with NETALLY_ADMIN_TOKEN.
    """
    context.obj = {"wait": wait, "key": key, "deadline": deadline, "as_json": as_json}


def carry_out(name: str, arguments: dict[str, Any], *, dry_run: bool = False) -> NoReturn:
    """Order a command as the options of `run` say, show its outcome and exit with its status."""
    options = click.get_current_context().obj
    client = ApiClient(cli_settings.load())
    order = {
        "name": name,
        "arguments": {key: value for key, value in arguments.items() if value not in (None, ())},
        "dry_run": dry_run,
        "idempotency_key": options["key"],
        "deadline": options["deadline"],
    }
    try:
        command = follow(client, client.order(order), options["wait"])
    except RefusedError as refused:
        click.echo(f"netally: {refused}", err=True)
        sys.exit(2)
    finally:
        client.close()
    show(command, as_json=options["as_json"])
    sys.exit(EXIT.get(command["state"], STILL_WAITING))


def follow(client: ApiClient, command: dict[str, Any], wait: float | None) -> dict[str, Any]:
    """The command at its end, or as it is after ``wait`` seconds. Ctrl-C leaves it running and says how to stop it."""
    line = ProgressLine()
    end = None if wait is None else time.monotonic() + wait
    try:
        if command["state"] not in FINAL and end is None:
            if command["state"] == "waiting":
                click.echo(f"{command['id']}: {command['message']}", err=True)
            for event in client.events(command["id"]):
                line.show(event)
            command = client.command(command["id"])
        while command["state"] not in FINAL and end is not None and time.monotonic() < end:
            time.sleep(min(0.2, max(0.0, end - time.monotonic())))
            command = client.command(command["id"])
    except KeyboardInterrupt:
        line.end()
        click.echo(f"it goes on; stop it with: netally run cancel {command['id']}", err=True)
        raise
    finally:
        line.end()
    return command


def show(command: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(command))
        return
    click.echo(f"{command['name']} {command['state']}: {command['message']}", err=command["state"] != "succeeded")
    for line in details(command["result"]):
        click.echo(f"  {line}")


def details(result: dict[str, Any]) -> list[str]:
    """The parts of a result that people want to see, a line each."""
    lines = []
    for title in ("tiers", "drops", "relations", "changes", "hosts"):
        for name, value in (result.get(title) or {}).items():
            if isinstance(value, dict):
                lines.append(f"{name}: " + ", ".join(f"{key} {_shown(one)}" for key, one in value.items()))
            elif value:
                lines.append(f"{name}: {value}")
    for one in result.get("instances") or ():
        if isinstance(one, dict):
            dropped = ", ".join(f"{name} {number}" for name, number in one["dropped"].items()) or "nothing to forget"
            lines.append(f"{one['instance']}: {dropped}")
    if result.get("silent"):
        lines.append(f"no answer: {', '.join(result['silent'])}")
    return lines


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "/".join(f"{key} {one}" for key, one in value.items())
    return "–" if value is None else str(value)


def _summary(name: str) -> str:
    return f"{COMMANDS[name].summary}."


HOSTS = click.argument("hosts", nargs=-1)
DRY_RUN = click.option("--dry-run", is_flag=True, help="Only tell what would happen.")


@run.command(help=_summary("aggregate"))
@click.option("--tier", default="all", show_default=True, help="all, minutely, hourly or daily (1m, 1h, 1d).")
@click.option("--from", "from_", type=MOMENT, help="Only from this time on.")
@click.option("--to", type=MOMENT, help="Only up to this time.")
def aggregate(tier: str, from_: int | None, to: int | None) -> None:
    carry_out("aggregate", {"tier": tier, "from": from_, "to": to})


@run.command(help=_summary("cleanup"))
@DRY_RUN
def cleanup(dry_run: bool) -> None:
    carry_out("cleanup", {}, dry_run=dry_run)


@run.command("refresh-cache", help=_summary("refresh-cache"))
@click.option("--cache", "caches", multiple=True, help="processes, names, hosts, apps or domains; all when absent.")
@click.option("--answer-within", "wait_seconds", type=float, help="Seconds that hosts have to answer.")
@HOSTS
def refresh_cache(caches: tuple[str, ...], wait_seconds: float | None, hosts: tuple[str, ...]) -> None:
    carry_out("refresh-cache", {"caches": caches, "wait_seconds": wait_seconds, "hosts": hosts})


@run.command(help=_summary("pause"))
@HOSTS
def pause(hosts: tuple[str, ...]) -> None:
    carry_out("pause", {"hosts": hosts})


@run.command(help=_summary("resume"))
@HOSTS
def resume(hosts: tuple[str, ...]) -> None:
    carry_out("resume", {"hosts": hosts})


@run.command("set-interval", help=_summary("set-interval"))
@click.argument("seconds", type=int)
@HOSTS
def set_interval(seconds: int, hosts: tuple[str, ...]) -> None:
    carry_out("set-interval", {"interval": seconds, "hosts": hosts})


@run.command("set-retention", help=_summary("set-retention"))
@click.option("--raw", type=int, help="Days of single flows.")
@click.option("--minutes", type=int, help="Days of the minute tier.")
@click.option("--hours", type=int, help="Days of the hour tier.")
@click.option("--days", help="Days of the day tier, or `forever`.")
@click.option("--budget-gb", type=float, help="Instead: as long as fits into so many GB.")
@DRY_RUN
def set_retention(
    raw: int | None, minutes: int | None, hours: int | None, days: str | None, budget_gb: float | None, dry_run: bool
) -> None:
    arguments = retention(raw, minutes, hours, days, budget_gb)
    carry_out("set-retention", arguments, dry_run=dry_run)


def retention(
    raw: int | None, minutes: int | None, hours: int | None, days: str | None, budget_gb: float | None
) -> dict[str, Any]:
    given = {"raw": raw, "minutes": minutes, "hours": hours, "budget_gb": budget_gb}
    arguments: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if days is not None:
        if days != "forever" and not days.isdecimal():
            raise click.BadParameter("--days takes a number of days, or `forever`.")
        arguments["days"] = None if days == "forever" else int(days)
    return arguments


@run.command("set-config", help=_summary("set-config"))
@click.option("--ledger-days", type=int, help="Days that finished commands stay in the ledger.")
@click.option("--answer-seconds", type=float, help="Seconds hosts have to follow a setting.")
@DRY_RUN
def set_config(ledger_days: int | None, answer_seconds: float | None, dry_run: bool) -> None:
    carry_out("set-config", {"ledger_days": ledger_days, "answer_seconds": answer_seconds}, dry_run=dry_run)


@run.command("set-log-level", help=_summary("set-log-level"))
@click.argument("target", type=click.Choice(["hosts", "aggregator", "api"]))
@click.argument("level", type=click.Choice(["debug", "info", "warning", "error"]))
@HOSTS
def set_log_level(target: str, level: str, hosts: tuple[str, ...]) -> None:
    carry_out("set-log-level", {"target": target, "level": level, "hosts": hosts})


@run.command("set-naming-rules", help=f"{_summary('set-naming-rules')}. RULES: FIELD=PATTERN -> NAME; …")
@click.argument("rules")
@HOSTS
def set_naming_rules(rules: str, hosts: tuple[str, ...]) -> None:
    carry_out("set-naming-rules", {"rules": rules, "hosts": hosts})


@run.command(help=_summary("purge"))
@click.option("--host", help="Name of a host.")
@click.option("--app", help="Name of an application.")
@click.option("--domain", help="A domain name.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@DRY_RUN
def purge(host: str | None, app: str | None, domain: str | None, yes: bool, dry_run: bool) -> None:
    if not (dry_run or yes):
        click.confirm(f"Delete all data of {host or app or domain}, for good?", abort=True)
    carry_out("purge", {"host": host, "app": app, "domain": domain}, dry_run=dry_run)


@run.command("save-view", help=_summary("save-view"))
@click.argument("name")
@click.argument("address")
def save_view(name: str, address: str) -> None:
    carry_out("save-view", {"name": name, "address": address})


@run.command("delete-view", help=_summary("delete-view"))
@click.argument("view")
def delete_view(view: str) -> None:
    carry_out("delete-view", {"view": view})


@run.command(help=_summary("cancel"))
@click.argument("command")
def cancel(command: str) -> None:
    carry_out("cancel", {"command": command})


@click.command()
@click.option("--from", "from_", type=MOMENT, required=True, help="Start.")
@click.option("--to", type=MOMENT, required=True, help="End, exclusive.")
@click.option("--tier", default="1h", show_default=True, help="raw, 1m, 1h or 1d.")
@click.option("--format", "format_", default="csv", show_default=True, help="csv, json (one object a line) or parquet.")
@click.option("--host", multiple=True, help="Only this host; may be repeated.")
@click.option("--app", multiple=True, help="Only this application; may be repeated.")
@click.option("--domain", multiple=True, help="Only this domain; may be repeated.")
@click.option("--filter", "filter_", default="", help="Filter language.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to write.")
@click.option("--manifest", is_flag=True, help="Also write FILE.manifest.json.")
def export(
    from_: int,
    to: int,
    tier: str,
    format_: str,
    host: tuple[str, ...],
    app: tuple[str, ...],
    domain: tuple[str, ...],
    filter_: str,
    output: Path,
    manifest: bool,
) -> None:
    """Export rows of a tier and range to a file."""
    arguments = {
        "from": from_, "to": to, "tier": tier, "format": format_, "host": host, "app": app, "domain": domain,
        "filter": filter_,
    }  # fmt: skip
    client = ApiClient(cli_settings.load())
    try:
        order = {
            "name": "export",
            "arguments": {name: value for name, value in arguments.items() if value not in ((), "")},
            "idempotency_key": uuid.uuid4().hex,
        }
        command = follow(client, client.order(order), None)
        if command["state"] != "succeeded":
            show(command, as_json=False)
            sys.exit(EXIT[command["state"]])
        result = command["result"]
        size = client.download(f"/api/exports/{command['id']}", output, result["sha256"])
        if manifest:
            text = json.dumps(result["manifest"], indent=2) + "\n"
            output.with_name(f"{output.name}.manifest.json").write_text(text, "utf-8")
    except RefusedError as refused:
        click.echo(f"netally: {refused}", err=True)
        sys.exit(2)
    finally:
        client.close()
    click.echo(f"{output}: {result['rows']} rows, {size} bytes, SHA-256 {result['sha256']}")

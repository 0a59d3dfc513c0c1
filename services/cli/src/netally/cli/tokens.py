"""``netally token``: make, list and revoke tokens by way of the API."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from typing import Any

import click

from netally.cli import settings as cli_settings
from netally.cli.api_client import ApiClient, RefusedError
from netally.cli.operations import milliseconds

UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class Expiry(click.ParamType[int]):
    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Epoch milliseconds of ``90d`` from now (also m, h, w), or of a time."""
        text = str(value)
        if text[:-1].isdecimal() and text[-1:] in UNITS:
            return int(time.time() + int(text[:-1]) * UNITS[text[-1]]) * 1000
        return milliseconds(text)


@click.group()
def token() -> None:
    """Tokens for people and scripts: make, list, revoke. Needs the admin token, or one that is an admin's."""


@token.command()
@click.option("--name", help="For people, to tell it from others; the role when absent.")
@click.option(
    "--role",
    type=click.Choice(["viewer", "operator", "admin"]),
    default="viewer",
    show_default=True,
    help="viewer sees; operator orders what changes nothing for good as well; admin may everything.",
)
@click.option("--hosts", help="Names of the only hosts that it may see, with commas between them.")
@click.option("--expires", "expires_at", type=Expiry(), help="When it ends: 90d, 12h, or a time such as 2027-01-01.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def create(name: str | None, role: str, hosts: str | None, expires_at: int | None, as_json: bool) -> None:
    """Make a token and print its secret, which cannot be shown again."""
    order: dict[str, Any] = {"name": name or role, "role": role}
    if hosts is not None:
        order["hosts"] = [part.strip() for part in hosts.split(",") if part.strip()]
    if expires_at is not None:
        order["expires_at"] = expires_at
    made = ask("POST", "/api/tokens", order)
    if as_json:
        click.echo(json.dumps(made))
        return
    click.echo(_line(made["token"]), err=True)
    click.echo("This is shown once:", err=True)
    # Alone on stdout, so that a script can take it.
    click.echo(made["secret"])


@token.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that have expired or were revoked.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def list_tokens(everything: bool, as_json: bool) -> None:
    """Tokens, newest first, without their secrets."""
    found = ask("GET", "/api/tokens")["tokens"]
    if not everything:
        found = [one for one in found if one["state"] == "active"]
    if as_json:
        click.echo(json.dumps(found))
        return
    for one in found:
        click.echo(_line(one))
    if not found:
        click.echo("There is no token but the admin token.", err=True)


@token.command()
@click.argument("token_id")
def revoke(token_id: str) -> None:
    """Let a token, and every session opened with it, be of no use any more."""
    click.echo(_line(ask("DELETE", f"/api/tokens/{token_id}")))


def ask(method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    client = ApiClient(cli_settings.load())
    try:
        return client.ask(method, path, body)
    except RefusedError as refused:
        click.echo(f"netally: {refused}", err=True)
        sys.exit(2)
    finally:
        client.close()


def _line(row: dict[str, Any]) -> str:
    hosts = "all hosts" if row["hosts"] is None else ", ".join(row["hosts"])
    parts = [row["id"], row["state"], row["role"], hosts, row["name"]]
    if row["state"] == "active":
        parts.append(f"until {_day(row['expires_at'])}" if row["expires_at"] else "until revoked")
        parts.append(f"last used {_day(row['last_used'])}" if row["last_used"] else "never used")
    return "  ".join(parts)


def _day(moment: int) -> str:
    return datetime.fromtimestamp(moment / 1000, UTC).strftime("%Y-%m-%d %H:%MZ")

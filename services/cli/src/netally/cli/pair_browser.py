"""``netally pair-browser``: a pairing code, with which the extension in a browser reports as one host."""

from __future__ import annotations

import click

from netally.cli import settings as cli_settings
from netally.cli.tokens import ask


@click.command("pair-browser")
@click.option("--host", help="The host that the browser runs on; this machine when absent.")
@click.option("--name", default="browser", show_default=True, help="For people, to tell it from other browsers.")
def pair_browser(host: str | None, name: str) -> None:
    """Make a pairing code for the extension in one browser, to be pasted into its options.

    The code lets it report the domain of its active tab as that host, and nothing else. `netally token revoke` ends it.
    """
    settings = cli_settings.load()
    bound = host or settings.host_name
    made = ask("POST", "/api/tokens", {"name": name, "role": "browser", "hosts": [bound]})
    click.echo(f"Paired with host {bound} as token {made['token']['id']}.", err=True)
    click.echo(
        f"In the options of the extension, give the hub's address ({settings.web_base}) and this code:", err=True
    )
    # Alone on stdout, so that a script can take it.
    click.echo(made["secret"])

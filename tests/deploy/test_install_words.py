"""docs/install.md and its neighbours say what the programs say now: output, commands, options, metrics, settings."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from netally.cli.main import cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
INSTALL = (ROOT / "docs" / "install.md").read_text("utf-8")


def said(*arguments: str) -> str:
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_expected_output_is_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def as_installed(text: str) -> str:
        text = text.replace(f"{tmp_path}/hub-data", "/var/lib/netally-hub")
        return text.replace(f"{tmp_path}/netally.toml", "/etc/netally/netally.toml")

    (tmp_path / "hub-data").mkdir(mode=0o700)
    monkeypatch.setenv("NETALLY_CONFIG", str(tmp_path / "netally.toml"))
    (tmp_path / "netally.toml").write_text("")
    monkeypatch.setenv("NETALLY_DATA_DIR", str(tmp_path / "hub-data"))
    made = as_installed(said("init", "--address", "hub.example.org"))
    assert f"```\n{made}```" in INSTALL
    line = said("agent", "add", "web-1").splitlines()[-1]
    assert line.startswith("netally join netally1.")
    assert "prints `netally join netally1.…`" in INSTALL
    monkeypatch.setenv("NETALLY_DATA_DIR", str(tmp_path / "host-data"))
    joined = as_installed(said("join", line.split()[-1])).splitlines()[0]
    assert f"Expected: `{joined}`" in INSTALL


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_command_and_option_that_is_named_is_there(page: Path) -> None:
    text = re.sub(r"\\\n\s*", " ", page.read_text("utf-8"))
    # A user, a namespace and a profile of that name are no commands.
    text = re.sub(r"-[un] netally|--profile hub", "", text)
    code = "\n".join(re.findall(r"```\w*\n(.*?)```", text, re.S) + re.findall(r"`([^`\n]+)`", text))
    for line in re.findall(r"(?:^|[\s/(])(?:netally|netally-cli|hub)[ ]+([a-z][^\n|;>]*)", code, re.M):
        words = shlex.split(line.replace("'", ""), comments=True)
        command: click.Command = cli
        while (
            isinstance(command, click.Group) and words and (found := command.get_command(click.Context(cli), words[0]))
        ):
            command, words = found, words[1:]
        assert command is not cli, f"{page.name}: netally {line}"
        # What a command passes on is the business of the program that it starts.
        if not command.context_settings.get("ignore_unknown_options"):
            known = {option for one in command.params for option in (*one.opts, *one.secondary_opts)} | {"--help"}
            given = {word.partition("=")[0] for word in words if word.startswith("--")}
            assert given <= known, f"{page.name}: netally {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_metric_and_setting_that_is_named_is_in_the_reference(page: Path) -> None:
    reference = (ROOT / "docs" / "reference.md").read_text("utf-8")
    text = page.read_text("utf-8")
    for metric in set(re.findall(r"\bnetally_(?:aggregator|api|capture|web)_\w*[a-z]\b", text)):
        assert metric.removesuffix("_total") in reference, f"{page.name}: {metric}"

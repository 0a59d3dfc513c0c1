"""docs/install.md and its neighbours say what the programs say now: output, commands, options, metrics, settings."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
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


KUBECTL = """#!/bin/sh
case "$*" in
  "get nodes -o name") echo node/node-1.example.org ;;
  *" create secret generic "*)
    echo "secret $6" >> "$SEEN"
    for word in "$@"; do case "$word" in --from-file=*)
      file=${word#--from-file=}; key=${file%=*}; file=${file##*=}; test -s "$file" || echo "no $file" >> "$SEEN"
      echo "key ${key##*/}" >> "$SEEN" ;; esac; done ;;
  "apply -f -") cat > /dev/null ;;
  *) echo "kubectl $*" >> "$SEEN" ;;
esac
"""


def test_the_shell_of_the_kubernetes_steps_makes_the_secrets(tmp_path: Path) -> None:
    """Run as it stands, with a kubectl that keeps what it is told."""
    blocks = [
        block
        for block in re.findall(r"```\n(.*?)```", INSTALL, re.S)
        if "kubectl" in block or "--directory hub" in block
    ]
    init, steps, later = (
        next(block for block in blocks if block.startswith(beginning))
        for beginning in ("netally init", "joined()", "joined NODE")
    )
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "kubectl").write_text(KUBECTL)
    (programs / "kubectl").chmod(0o755)
    (programs / "netally").symlink_to(Path(sys.executable).parent / "netally")
    seen = tmp_path / "seen"
    done = subprocess.run(
        ["bash", "-euc", f"{init}\n{steps}\n{later.replace('NODE', 'node-3')}"],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "SEEN": str(seen)},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    told = seen.read_text().splitlines()
    assert not [line for line in told if line.startswith("no ")]
    last = told[len(told) - 1 - told[::-1].index("secret netally-agents") :]
    assert {line for line in last if line.startswith("key ")} == {"key node-1.example.org", "key node-3"}
    assert "kubectl apply -k deploy/kubernetes/overlays/small" in told
    assert last[-1] == "kubectl -n netally rollout restart statefulset/nats"

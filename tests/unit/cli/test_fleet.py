from __future__ import annotations

import stat
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from netally.cli import hub
from netally.cli.fleet import joined_config
from netally.cli.main import cli
from netally.cli.plain_error import PlainError

WANTED = {"nats_url": "tls://hub:4222", "host": 'web "1"\\x'}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("NETALLY_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("NETALLY_CONFIG", str(tmp_path / "etc" / "netally.toml"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "netally.toml").write_text("")
    return CliRunner()


def told(run: CliRunner, *arguments: str) -> str:
    done = run.invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_from_a_new_hub_to_a_joined_host_and_out_again(run: CliRunner, tmp_path: Path) -> None:
    assert "tls://hub.example.org:4300" in told(run, "init", "--address", "hub.example.org", "--port", "4300")
    line = told(run, "agent", "add", "web-1.example.org")
    program, verb, argument = line.split()
    assert (program, verb) == ("netally", "join")
    assert "Joined tls://hub.example.org:4300 as web-1.example.org" in told(run, "join", argument)
    settings = tomllib.loads((tmp_path / "etc" / "netally.toml").read_text())
    assert settings["host"] == "web-1.example.org"
    for name in ("nats_ca_file", "nats_seed_file"):
        assert stat.S_IMODE(Path(settings[name]).stat().st_mode) == 0o600
    assert Path(settings["nats_seed_file"]).read_text().startswith("SU")
    assert told(run, "agent", "list").split()[0] == "web-1.example.org"
    told(run, "agent", "revoke", "web-1.example.org")
    assert told(run, "agent", "list") == ""


def test_the_line_may_come_from_standard_input(run: CliRunner, tmp_path: Path) -> None:
    told(run, "init", "--address", "hub", "--directory", "elsewhere")
    line = told(run, "agent", "add", "web-1", "--directory", "elsewhere").split()[2]
    done = run.invoke(cli, ["join"], input=line + "\n", catch_exceptions=False)
    assert done.exit_code == 0
    assert "web-1" in (tmp_path / "etc" / "netally.toml").read_text()


def test_without_an_address_nothing_is_made(run: CliRunner, tmp_path: Path) -> None:
    with pytest.raises(PlainError, match="say how hosts reach this machine"):
        run.invoke(cli, ["init"], catch_exceptions=False)
    assert not (tmp_path / "data").exists()


def test_a_renewed_certificate_has_the_new_address_as_well(run: CliRunner, tmp_path: Path) -> None:
    told(run, "init", "--address", "hub")
    before = (tmp_path / "data" / "hub" / hub.CERTIFICATE).read_text()
    told(run, "init", "--renew", "--address", "10.0.0.9")
    assert (tmp_path / "data" / "hub" / hub.CERTIFICATE).read_text() != before
    assert hub.read(tmp_path / "data" / "hub").addresses == ["hub", "10.0.0.9"]


def test_the_configuration_of_an_older_hub_is_written_anew(run: CliRunner, tmp_path: Path) -> None:
    directory = tmp_path / "hub"
    told(run, "init", "--address", "hub", "--directory", str(directory))
    told(run, "agent", "add", "web-1", "--directory", str(directory))
    key = told(run, "agent", "list", "--directory", str(directory))
    config = directory / hub.CONFIG
    current = config.read_text()
    # As a version wrote it whose hosts could not ask for what counts for new ones.
    config.write_text("\n".join(line for line in current.splitlines() if "new-hosts" not in line))
    told(run, "init", "--renew", "--directory", str(directory))
    assert config.read_text() == current
    assert "new-hosts" in current
    assert told(run, "agent", "list", "--directory", str(directory)) == key


def test_join_makes_the_file_that_it_is_told_of(
    run: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(run, "init", "--address", "hub", "--directory", "elsewhere")
    line = told(run, "agent", "add", "web-1", "--directory", "elsewhere").split()[2]
    config = tmp_path / "not" / "there" / "netally.toml"
    monkeypatch.setenv("NETALLY_CONFIG", str(config))
    told(run, "join", line)
    assert tomllib.loads(config.read_text())["host"] == "web-1"
    assert stat.S_IMODE(config.stat().st_mode) == 0o600


def test_what_the_file_said_besides_stays() -> None:
    kept = 'interfaces = "eth0"\nhost = "old"\n\n[other]\nhost = "untouched"\n'
    text = joined_config(kept, WANTED, replace=True, name="netally.toml")
    assert tomllib.loads(text) == {"interfaces": "eth0", **WANTED, "other": {"host": "untouched"}}


def test_a_host_that_has_joined_elsewhere_is_not_moved_unasked() -> None:
    with pytest.raises(PlainError, match="already says host = 'old': add --replace"):
        joined_config('host = "old"\n', WANTED, replace=False, name="netally.toml")
    again = joined_config("", WANTED, replace=False, name="netally.toml")
    assert joined_config(again, WANTED, replace=False, name="netally.toml") == again


def test_a_broken_file_is_left_alone() -> None:
    with pytest.raises(PlainError, match="is no valid TOML"):
        joined_config("host = ", WANTED, replace=True, name="netally.toml")

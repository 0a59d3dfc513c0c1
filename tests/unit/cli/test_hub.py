from __future__ import annotations

import json
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nkeys
import pytest

from netally.cli import hub
from netally.cli.nats_server import find_binary
from netally.cli.plain_error import PlainError


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    hub.init(tmp_path / "hub", ["hub.example.org", "10.0.0.5"], 4222)
    return tmp_path / "hub"


def known_keys(directory: Path) -> set[str]:
    config = json.loads((directory / hub.CONFIG).read_text())
    return {user["nkey"] for user in config["authorization"]["users"]}


def test_everything_in_a_hub_is_its_owners_alone(directory: Path) -> None:
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()} == {0o600}


def test_a_hub_is_not_made_twice(directory: Path) -> None:
    before = (directory / hub.CA_KEY).read_text()
    with pytest.raises(PlainError, match="is a hub already"):
        hub.init(directory, ["hub.example.org"], 4222)
    assert (directory / hub.CA_KEY).read_text() == before


@pytest.mark.parametrize("address", ["", "a b", "-x", "hub/..", "tls://hub", "hub:4222:"])
def test_an_address_that_is_none_is_refused_and_leaves_nothing(address: str, tmp_path: Path) -> None:
    with pytest.raises(PlainError, match="neither a host name nor an IP address"):
        hub.init(tmp_path / "hub", [address], 4222)
    assert not (tmp_path / "hub").exists()


def test_a_join_line_carries_what_the_host_needs_and_its_key_is_known(directory: Path) -> None:
    joining = hub.read_join_text(f"  {hub.add(directory, 'web-1.example.org')}\n")
    assert (joining.url, joining.host) == ("tls://hub.example.org:4222", "web-1.example.org")
    assert joining.ca == (directory / hub.CA).read_text()
    assert joining.seed not in "".join(file.read_text() for file in directory.iterdir())
    assert hub.read(directory).hosts["web-1.example.org"] in known_keys(directory)


def test_a_host_added_again_loses_its_old_key(directory: Path) -> None:
    hub.add(directory, "web-1")
    old = hub.read(directory).hosts["web-1"]
    hub.add(directory, "web-1")
    assert old not in known_keys(directory)
    assert len(known_keys(directory)) == 3


def test_hosts_that_are_added_at_the_same_time_are_all_known(directory: Path) -> None:
    names = [f"web-{number}" for number in range(24)]
    with ThreadPoolExecutor(8) as together:
        lines = list(together.map(lambda name: hub.add(directory, name), names))
    assert set(hub.read(directory).hosts) >= set(names)
    for line in lines:
        public = nkeys.from_seed(bytearray(hub.read_join_text(line).seed.encode())).public_key.decode()
        assert public in known_keys(directory)


def test_a_revoked_host_is_gone_and_an_unknown_one_is_named(directory: Path) -> None:
    hub.add(directory, "web-1")
    hub.add(directory, "web-2")
    key = hub.read(directory).hosts["web-1"]
    hub.revoke(directory, "web-1")
    assert key not in known_keys(directory)
    with pytest.raises(PlainError, match=r"no host 'web-1' is known here \(known: web-2\)"):
        hub.revoke(directory, "web-1")


@pytest.mark.parametrize("host", ["", "a\n", "x" * 256, "\x00"])
def test_what_cannot_be_a_host_is_refused(directory: Path, host: str) -> None:
    with pytest.raises(PlainError, match="cannot be the name of a host"):
        hub.add(directory, host)


@pytest.mark.parametrize("cut", [0, 3, 9, 40, -1, -20])
def test_a_line_that_was_not_copied_whole_is_refused(directory: Path, cut: int) -> None:
    text = hub.add(directory, "web-1")
    with pytest.raises(PlainError, match="copy it whole"):
        hub.read_join_text(text[:cut])


def test_no_hub_and_a_broken_one_are_said_in_plain_words(tmp_path: Path) -> None:
    with pytest.raises(PlainError, match="netally init --address"):
        hub.read(tmp_path)
    (tmp_path / hub.HUB_FILE).write_text("{")
    with pytest.raises(PlainError, match="cannot be understood"):
        hub.read(tmp_path)


def test_the_hubs_own_agent_keeps_its_key(directory: Path) -> None:
    first = hub.own_seed(directory, "hub-1").read_text()
    assert hub.own_seed(directory, "hub-1").read_text() == first
    assert hub.own_seed(directory, "renamed").read_text() != first
    assert hub.read(directory).hosts["renamed"] in known_keys(directory)


def test_a_certificate_that_ends_soon_is_told(directory: Path) -> None:
    now = datetime.now(UTC)
    assert hub.ends_soon(directory, now) == ""
    assert "netally init --renew" in hub.ends_soon(directory, now + timedelta(days=800))


def test_nobody_is_told_to_read_the_configuration_by_a_stale_process_id(directory: Path) -> None:
    (directory / hub.PID_FILE).write_text("1\n")
    assert not hub.reload_running(directory)
    (directory / hub.PID_FILE).write_text("garbage")
    assert not hub.reload_running(directory)


def test_ipv6_addresses_are_bracketed() -> None:
    assert hub.server_url("fd00::5", 4222) == "tls://[fd00::5]:4222"


def test_the_server_accepts_the_configuration(directory: Path) -> None:
    hub.add(directory, "web-1.example.org")
    text = (directory / hub.CONFIG).read_text().replace('"/etc/nats/', f'"{directory}/')
    (directory / "checked.conf").write_text(text)
    done = subprocess.run(
        [find_binary(), "-t", "-c", directory / "checked.conf"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr

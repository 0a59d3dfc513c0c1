from __future__ import annotations

from pathlib import Path

import pytest

from netally.cli.settings import CliSettings, load, machine_timezone, without_password
from netally.telemetry.settings import SettingsError


@pytest.mark.parametrize(
    ("bind", "host"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("::", "[::1]"),
        ("::1", "[::1]"),
        ("192.0.2.7", "192.0.2.7"),
        ("localhost", "localhost"),
    ],
)
def test_own_services_are_reached_at_an_address_one_can_connect_to(bind: str, host: str) -> None:
    assert CliSettings(bind=bind, web_port=8080).web_base == f"http://{host}:8080"


@pytest.mark.parametrize(("variable", "value"), [("WEB_PORT", "80000"), ("API_PORT", "0"), ("CAPTURE_PORT", "-1")])
def test_a_port_that_cannot_be_is_refused_by_name(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"NETALLY_{variable}", value)
    with pytest.raises(SettingsError, match=f"NETALLY_{variable} is wrong"):
        load()


def test_a_relative_data_directory_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliSettings(data_dir="data").directory == tmp_path / "data"


def test_passwords_do_not_reach_the_screen() -> None:
    assert without_password("postgresql://ada:s3cret@db.example:5432/n?sslpassword=x") == (
        "postgresql://db.example:5432/n"
    )
    assert without_password("nats://127.0.0.1:4222") == "nats://127.0.0.1:4222"


def test_the_zone_comes_from_the_variable_then_the_link_then_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zone = tmp_path / "usr/share/zoneinfo/Europe/Berlin"
    zone.parent.mkdir(parents=True)
    zone.write_bytes(b"")
    link, named = tmp_path / "localtime", tmp_path / "timezone"
    monkeypatch.delenv("TZ", raising=False)
    assert machine_timezone(link, named) == "UTC"
    named.write_text("Asia/Tokyo\n")
    assert machine_timezone(link, named) == "Asia/Tokyo"
    link.symlink_to(zone)
    assert machine_timezone(link, named) == "Europe/Berlin"
    monkeypatch.setenv("TZ", ":America/New_York")
    assert machine_timezone(link, named) == "America/New_York"
    monkeypatch.setenv("TZ", "CET-1CEST")  # a rule, not a name
    assert machine_timezone(link, named) == "Europe/Berlin"

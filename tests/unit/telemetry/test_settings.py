from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from netally.telemetry.settings import SettingsError, default_data_dir, load_settings


class Settings(msgspec.Struct, frozen=True):
    web_port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 7500
    interfaces: str = ""


class Needed(msgspec.Struct, frozen=True):
    database_url: str


def write(tmp_path: Path, text: str) -> dict[str, str]:
    (tmp_path / "netally.toml").write_text(text)
    return {"NETALLY_CONFIG": str(tmp_path / "netally.toml")}


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    environ = write(tmp_path, 'web_port = 8000\ninterfaces = "eth0"\n')
    assert load_settings(Settings, environ) == Settings(8000, "eth0")
    assert load_settings(Settings, {**environ, "NETALLY_WEB_PORT": "9000"}) == Settings(9000, "eth0")
    assert load_settings(Settings, {**environ, "NETALLY_INTERFACES": ""}) == Settings(8000, "eth0")


@pytest.mark.parametrize("value", ["many", "70000", "-1", "1.5"])
def test_a_value_that_does_not_fit_is_named(value: str) -> None:
    with pytest.raises(SettingsError, match=r"^NETALLY_WEB_PORT is wrong: "):
        load_settings(Settings, {"NETALLY_WEB_PORT": value})


def test_a_wrong_value_in_the_file_is_named_with_the_file(tmp_path: Path) -> None:
    environ = write(tmp_path, 'web_port = "many"\n')
    with pytest.raises(SettingsError, match=r"^web_port in .*netally\.toml is wrong: "):
        load_settings(Settings, environ)


def test_what_must_be_set_is_named() -> None:
    with pytest.raises(SettingsError, match=r"^NETALLY_DATABASE_URL is not set$"):
        load_settings(Needed, {})


def test_a_named_file_must_be_there_and_be_toml(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot read /no/such/file: No such file"):
        load_settings(Settings, {"NETALLY_CONFIG": "/no/such/file"})
    with pytest.raises(SettingsError, match="is no valid TOML"):
        load_settings(Settings, write(tmp_path, "web_port: 8000\n"))


def test_the_data_directory_of_root_and_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_data_dir() == Path("/var/lib/netally")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_DATA_HOME", "/home/ada/data")
    assert default_data_dir() == Path("/home/ada/data/netally")
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", "/home/ada")
    assert default_data_dir() == Path("/home/ada/.local/share/netally")


def test_a_secret_may_lie_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://hub/netally\n")
    environ = {"NETALLY_DATABASE_URL_FILE": str(tmp_path / "url")}
    assert load_settings(Needed, environ).database_url == "postgresql://hub/netally"
    assert load_settings(Needed, {**environ, "NETALLY_DATABASE_URL": "postgresql://other"}).database_url.endswith(
        "other"
    )


@pytest.mark.parametrize(("content", "reason"), [(b"", "is empty"), (b" \n", "is empty"), (b"\xff", "it is no text")])
def test_a_secret_file_that_is_no_use_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "url").write_bytes(content)
    with pytest.raises(SettingsError, match=rf"NETALLY_DATABASE_URL_FILE: .*{reason}"):
        load_settings(Needed, {"NETALLY_DATABASE_URL_FILE": str(tmp_path / "url")})
    with pytest.raises(SettingsError, match="NETALLY_DATABASE_URL_FILE: cannot read /no/such: No such file"):
        load_settings(Needed, {"NETALLY_DATABASE_URL_FILE": "/no/such"})

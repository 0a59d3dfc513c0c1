"""Settings of the agent."""

from __future__ import annotations

import socket

import pytest

from netally.capture.settings import Settings
from netally.telemetry.settings import SettingsError, load_settings


def test_defaults_stand_without_any_variable() -> None:
    settings = load_settings(Settings, {})
    settings.check()
    assert settings.host_name == socket.gethostname()
    assert settings.interface_names == []
    assert settings.spool_path.name == "spool.sqlite3"


def test_variables() -> None:
    settings = load_settings(
        Settings,
        {
            "NETALLY_DATA_DIR": "/srv/netally",
            "NETALLY_INTERFACES": " eth0, wlan0,,",
            "NETALLY_HOST": "web-1",
            "NETALLY_INTERVAL": "10",
        },
    )
    settings.check()
    assert settings.interface_names == ["eth0", "wlan0"]
    assert str(settings.spool_path) == "/srv/netally/capture/spool.sqlite3"
    assert (settings.host_name, settings.interval) == ("web-1", 10)


def test_an_interval_that_does_not_divide_a_minute_is_refused() -> None:
    with pytest.raises(SettingsError, match="NETALLY_INTERVAL is 7"):
        load_settings(Settings, {"NETALLY_INTERVAL": "7"}).check()


def test_a_spool_that_is_too_small_is_refused() -> None:
    with pytest.raises(SettingsError, match="NETALLY_SPOOL_MAX_BYTES"):
        load_settings(Settings, {"NETALLY_SPOOL_MAX_BYTES": "10"})


def test_a_long_host_name_is_refused() -> None:
    with pytest.raises(SettingsError, match="NETALLY_HOST"):
        load_settings(Settings, {"NETALLY_HOST": "x" * 256}).check()


def test_a_mode_that_is_none_is_refused() -> None:
    with pytest.raises(SettingsError, match="NETALLY_CAPTURE_MODE"):
        Settings(capture_mode="ebfp").check()
    Settings(capture_mode="packets").check()

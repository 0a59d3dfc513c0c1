from __future__ import annotations

from pathlib import Path

from netally.api.settings import Settings
from netally.telemetry.settings import default_data_dir, load_settings


def test_settings_come_from_the_environment(tmp_path: Path) -> None:
    settings = load_settings(
        Settings,
        {
            "NETALLY_CONFIG": "",
            "NETALLY_DATA_DIR": str(tmp_path),
            "NETALLY_API_PORT": "7999",
            "NETALLY_BIND": "::1",
            "NETALLY_ADMIN_TOKEN": "secret",
            "NETALLY_DATABASE_URL": "postgresql://u:password@db/n",
        },
    )
    assert (settings.directory(), settings.api_port, settings.bind) == (tmp_path, 7999, "::1")
    assert "secret" not in repr(settings)
    assert "password" not in repr(settings)


def test_without_anything_it_is_this_machine_alone() -> None:
    settings = Settings()
    assert (settings.bind, settings.api_port, settings.directory()) == ("127.0.0.1", 7501, default_data_dir())

"""Served with they are in tests/integration/test_security.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from netally.telemetry.certificates import client_context, server_files
from netally.telemetry.settings import SettingsError
from tests.certificates import write_certificate


def test_without_files_there_is_no_tls() -> None:
    assert server_files("NETALLY_WEB", "", "") == {}


def test_files_that_fit_are_used(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    assert server_files("NETALLY_WEB", certificate, key) == {"ssl_certfile": certificate, "ssl_keyfile": key}


def test_what_is_wrong_names_the_variable(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    _, foreign = write_certificate(other)
    for pair, words in (
        ((certificate, ""), "NETALLY_API_TLS_CERTIFICATE and NETALLY_API_TLS_KEY go together"),
        ((str(tmp_path / "none"), key), "NETALLY_API_TLS_CERTIFICATE: .*/none cannot be read: No such file"),
        ((certificate, str(tmp_path)), "NETALLY_API_TLS_KEY: .* cannot be read: Is a directory"),
        ((key, certificate), "no PEM certificate"),
        ((certificate, foreign), "no PEM certificate"),
    ):
        with pytest.raises(SettingsError, match=words):
            server_files("NETALLY_API", *pair)
    with pytest.raises(SettingsError, match="NETALLY_API_CA"):
        client_context(key)

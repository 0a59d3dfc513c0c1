"""TLS of a service that listens, by certificate files."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TypedDict

from netally.telemetry.settings import SettingsError


class Files(TypedDict, total=False):
    """What uvicorn is told; nothing without TLS."""

    ssl_certfile: str
    ssl_keyfile: str


def server_files(prefix: str, certificate: str, key: str) -> Files:
    """The files, tried out. Raises SettingsError in plain words; ``prefix`` begins the variables' names."""
    if not certificate and not key:
        return {}
    if not certificate or not key:
        raise SettingsError(f"{prefix}_TLS_CERTIFICATE and {prefix}_TLS_KEY go together: one is missing")
    for name, path in (("CERTIFICATE", certificate), ("KEY", key)):
        try:
            Path(path).read_bytes()
        except OSError as error:
            raise SettingsError(f"{prefix}_TLS_{name}: {path} cannot be read: {error.strerror}") from None
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
    except (ssl.SSLError, ValueError):
        raise SettingsError(
            f"{prefix}_TLS_CERTIFICATE: {certificate} and {key} are no PEM certificate and its key without password"
        ) from None
    return {"ssl_certfile": certificate, "ssl_keyfile": key}


def client_context(ca: str) -> ssl.SSLContext:
    """For who asks a service: checked against the file ``ca``, or against those that the machine trusts."""
    try:
        return ssl.create_default_context(cafile=ca or None)
    except (OSError, ssl.SSLError):
        raise SettingsError(f"NETALLY_API_CA: {ca} holds no certificate in PEM") from None

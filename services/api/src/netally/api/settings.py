"""Settings of the API service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from netally.contracts.forwarding import Proxies, proxies
from netally.telemetry.settings import SettingsError, default_data_dir


class Settings(msgspec.Struct, frozen=True):
    """Filled by `netally.telemetry.settings.load_settings`."""

    data_dir: str = ""
    """Where the admin token lies; empty for the default directory."""
    nats_url: str = "nats://127.0.0.1:4222"
    database_url: str = ""
    """``postgresql://…``; without one every query answers 503."""
    database_statement_cache: Annotated[int, msgspec.Meta(ge=0)] = 200
    """Prepared statements kept a connection; 0 behind a pooler that hands out connections by transaction."""
    admin_token: str = ""
    """Empty: read from ``<data_dir>/admin-token``."""
    trusted_proxies: str = ""
    """Addresses and networks, with commas between them, whose word on their clients is taken (`X-Forwarded-For`): where
    the web service runs when that is another machine, and proxies in front. This machine is always."""
    bind: str = "127.0.0.1"
    api_port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 7501
    api_tls_certificate: str = ""
    """File of the API's certificate and those above it (PEM): then it speaks TLS and nothing else."""
    api_tls_key: str = ""
    """File of its key (PEM, without a password)."""
    log_level: str = "info"

    def directory(self) -> Path:
        return Path(self.data_dir) if self.data_dir else default_data_dir()

    def proxies(self) -> Proxies:
        """Raises SettingsError."""
        try:
            return proxies(self.trusted_proxies)
        except ValueError as error:
            raise SettingsError(f"NETALLY_TRUSTED_PROXIES: {error}") from None

    def __repr__(self) -> str:
        # Neither the token nor the password in the database's address may reach a log.
        return f"Settings(bind={self.bind!r}, api_port={self.api_port})"

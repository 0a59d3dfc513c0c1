"""Settings of the web service."""

from __future__ import annotations

import msgspec


class WebSettings(msgspec.Struct, frozen=True):
    """Read from ``NETALLY_*`` (see ``netally.telemetry.settings``)."""

    bind: str = "127.0.0.1"
    """Address to listen on."""
    web_port: int = 7500
    api_port: int = 7501
    """Only to find the API on this machine when ``api_url`` is not set."""
    api_url: str = ""
    """Base URL of the API."""
    timezone: str = ""
    """IANA name of the zone of readers whose browser has not told its own; default: this machine's."""
    log_level: str = "info"
    development: bool = False
    """Serves `/_components`: every component of the pages in all its states, with made-up figures."""

    @property
    def api_base(self) -> str:
        return (self.api_url or f"http://127.0.0.1:{self.api_port}").rstrip("/")

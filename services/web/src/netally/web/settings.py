"""Settings of the web service."""

from __future__ import annotations

import msgspec

from netally.contracts.forwarding import Proxies, proxies
from netally.telemetry.settings import SettingsError


class WebSettings(msgspec.Struct, frozen=True):
    """Read from ``NETALLY_*`` (see ``netally.telemetry.settings``)."""

    bind: str = "127.0.0.1"
    """Address to listen on."""
    web_port: int = 7500
    api_port: int = 7501
    """Only to find the API on this machine when ``api_url`` is not set."""
    api_url: str = ""
    """Base URL of the API."""
    api_ca: str = ""
    """File of the certificates (PEM) that the API's is checked against, where it speaks TLS; absent: the machine's."""
    web_tls_certificate: str = ""
    """File of the pages' certificate and those above it (PEM): then they are served by TLS and nothing else."""
    web_tls_key: str = ""
    """File of its key (PEM, without a password)."""
    trusted_proxies: str = ""
    """Addresses and networks of proxies in front, with commas between them (`X-Forwarded-For`)."""
    timezone: str = ""
    """IANA name of the zone of readers whose browser has not told its own; default: this machine's."""
    log_level: str = "info"
    development: bool = False
    """Serves `/_components`: every component of the pages in all its states, with made-up figures."""

    demo_label: str = ""
    """Words at the top of every page, such as "demo data"."""

    @property
    def api_base(self) -> str:
        return (self.api_url or f"http://127.0.0.1:{self.api_port}").rstrip("/")

    def proxies(self) -> Proxies:
        """Raises SettingsError."""
        try:
            return proxies(self.trusted_proxies, this_machine=False)
        except ValueError as error:
            raise SettingsError(f"NETALLY_TRUSTED_PROXIES: {error}") from None

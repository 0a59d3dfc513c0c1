"""Settings of the command: the same variables that the services read, where it has to know them."""

from __future__ import annotations

import ipaddress
import os
import socket
import urllib.parse
from pathlib import Path
from typing import Annotated

import msgspec

from netally.telemetry.settings import default_data_dir, load_settings

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
PortOrNone = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class CliSettings(msgspec.Struct, frozen=True):
    """Read from ``NETALLY_*`` (see `netally.telemetry.settings`)."""

    data_dir: str = ""
    """Everything Netally keeps. Default: /var/lib/netally as root, else the user's data directory."""
    nats_url: str = ""
    """A NATS server to use; absent: an embedded one is started."""
    database_url: str = ""
    """A PostgreSQL or TimescaleDB database to use; absent: an embedded PostgreSQL is started."""
    bind: str = "127.0.0.1"
    """Address that pages and API listen on."""
    web_port: Port = 7500
    """Port of the pages."""
    api_port: Port = 7501
    """Port of the API."""
    api_url: str = ""
    """The API that `netally run` and `netally export` talk to; absent: the one of `netally up` on this machine."""
    api_ca: str = ""
    """File of the certificates (PEM) that the API's is checked against, where it speaks TLS; absent: the machine's."""
    web_tls_certificate: str = ""
    """File of the pages' certificate (PEM): then they are served by TLS and nothing else."""
    api_tls_certificate: str = ""
    """File of the API's certificate (PEM): then it speaks TLS and nothing else."""
    aggregator_port: PortOrNone = 7502
    """Probes and metrics of the aggregator, on 127.0.0.1; 0 = off."""
    capture_port: PortOrNone = 7503
    """Probes and metrics of the agent, on 127.0.0.1; 0 = off."""
    admin_token: str = ""
    """Bearer token with all rights; absent: made once and kept in the data directory."""
    timezone: str = ""
    """IANA zone of days, fixed when a database is made; default: this machine's."""
    host: str = ""
    """Name this machine reports as; absent: its host name."""
    interfaces: str = ""
    """Interfaces to capture, separated by commas; absent: the uplinks found."""

    @property
    def directory(self) -> Path:
        return Path(self.data_dir).expanduser().absolute() if self.data_dir else default_data_dir()

    @property
    def host_name(self) -> str:
        return self.host or socket.gethostname()

    @property
    def local_host(self) -> str:
        """Host to reach our own services at, fit for a URL."""
        try:
            address = ipaddress.ip_address(self.bind)
        except ValueError:
            return self.bind
        if address.is_unspecified:
            address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
        return f"[{address}]" if address.version == 6 else str(address)

    @property
    def api_base(self) -> str:
        return f"{'https' if self.api_tls_certificate else 'http'}://{self.local_host}:{self.api_port}"

    @property
    def web_base(self) -> str:
        return f"{'https' if self.web_tls_certificate else 'http'}://{self.local_host}:{self.web_port}"


def load() -> CliSettings:
    """Settings of this process; SettingsError for a value that does not fit."""
    return load_settings(CliSettings)


def without_password(url: str) -> str:
    """A URL fit for a screen or a log."""
    parts = urllib.parse.urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urllib.parse.urlunsplit((parts.scheme, host, parts.path, "", ""))


def machine_timezone(localtime: Path = Path("/etc/localtime"), named: Path = Path("/etc/timezone")) -> str:
    """IANA name of this machine's zone: from TZ, the link /etc/localtime, or /etc/timezone; else UTC."""
    variable = os.environ.get("TZ", "").removeprefix(":")
    if "/" in variable and not variable.startswith("/"):
        return variable
    _, found, name = str(localtime.resolve()).partition("/zoneinfo/")
    if found and name:
        return name.removeprefix("posix/").removeprefix("right/")
    try:
        return named.read_text("utf-8").strip() or "UTC"
    except OSError:
        return "UTC"

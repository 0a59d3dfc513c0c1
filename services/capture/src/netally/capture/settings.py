"""Settings of the agent, from ``NETALLY_*`` variables or netally.toml."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated, Final

import msgspec

from netally.contracts.flow import INTERVALS
from netally.telemetry.settings import SettingsError, default_data_dir

CAPTURE_MODES: Final = ("", "ebpf", "packets", "unprivileged")
MIB: Final = 1024**2


class Settings(msgspec.Struct, frozen=True):
    data_dir: str = ""
    """Where the spool lies; empty for the default of the user."""
    nats_url: str = "nats://127.0.0.1:4222"
    host: str = ""
    """Name this machine reports as; empty for the host name."""
    interfaces: str = ""
    """Interfaces to capture, separated by commas; empty for the uplinks found."""
    capture_mode: str = ""
    """`ebpf`, `packets` or `unprivileged`: no better way of capturing than this one; empty for the best."""
    interval: int = 5
    """Seconds of one record."""
    capture_port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 7503
    """Probes and metrics; 0 switches them off."""
    probe_bind: str = "127.0.0.1"
    """Address that probes and metrics listen on."""
    log_level: str = "info"
    spool_max_bytes: Annotated[int, msgspec.Meta(ge=MIB)] = 1024 * MIB
    """Above it the oldest batches are lost (and counted)."""
    spool_max_days: Annotated[int, msgspec.Meta(ge=1)] = 5
    """Batches that wait longer are lost (and counted). Below the raw retention, which refuses rows that old."""
    flow_limit: Annotated[int, msgspec.Meta(ge=2_048, le=2_000_000)] = 200_000
    """Connections kept apart; the least recently used beyond it are summed up as "other"."""

    @property
    def host_name(self) -> str:
        return self.host or socket.gethostname()

    @property
    def spool_path(self) -> Path:
        return (Path(self.data_dir) if self.data_dir else default_data_dir()) / "capture" / "spool.sqlite3"

    @property
    def followed_path(self) -> Path:
        """The settings that were followed last."""
        return self.spool_path.with_name("followed.json")

    @property
    def interface_names(self) -> list[str]:
        return [name.strip() for name in self.interfaces.split(",") if name.strip()]

    def check(self) -> None:
        """SettingsError for what types cannot say."""
        if self.interval not in INTERVALS:
            raise SettingsError(
                f"NETALLY_INTERVAL is {self.interval}; it must be one of {', '.join(map(str, INTERVALS))}"
            )
        if self.capture_mode not in CAPTURE_MODES:
            raise SettingsError(
                f"NETALLY_CAPTURE_MODE is {self.capture_mode!r}; it must be ebpf, packets, unprivileged or empty"
            )
        if len(self.host_name) > 255 or "\0" in self.host_name:
            raise SettingsError("NETALLY_HOST must be at most 255 characters")

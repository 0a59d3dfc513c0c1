"""Subject names. A host is one token, so that ``flows.v1.*`` covers every host whatever its name holds."""

from __future__ import annotations

from typing import Final

FLOWS: Final = "flows.v1"
AGENTS: Final = "agents.v1"
TABS: Final = "tabs.v1"
LIVE: Final = "live.v1"
COMMANDS: Final = "commands.v1"
OUTCOMES: Final = "outcomes.v1"
DEADLETTERS: Final = "deadletters.v1"
SETTINGS: Final = "settings.v1"
ACCESS: Final = "access.v1"

AGGREGATOR: Final = "aggregator"
"""Source of outcomes and target of commands."""

_SAFE: Final = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")


def host_token(host: str) -> str:
    """One subject token of a host name: letters, digits and hyphens stay, each other byte becomes ``_`` and two hex
    digits. ``web-1.example.org`` gives ``web-1_2eexample_2eorg``. Injective: two hosts never share a token.
    """
    return "".join(chr(byte) if byte in _SAFE else f"_{byte:02x}" for byte in host.encode("utf-8"))


def host_of_token(token: str) -> str:
    """Host name of a token; ValueError when `host_token` cannot have made it."""
    out = bytearray()
    position = 0
    raw = token.encode("utf-8")
    while position < len(raw):
        byte = raw[position]
        if byte in _SAFE:
            out.append(byte)
            position += 1
        elif byte == ord("_") and position + 3 <= len(raw):
            out.append(int(raw[position + 1 : position + 3], 16))
            position += 3
        else:
            raise ValueError(f"{token!r} is no host token")
    host = out.decode("utf-8")
    if host_token(host) != token:
        raise ValueError(f"{token!r} is no host token")
    return host


def flows(host: str) -> str:
    return f"{FLOWS}.{host_token(host)}"


def agents(host: str) -> str:
    return f"{AGENTS}.{host_token(host)}"


def tabs(host: str) -> str:
    """What browsers of the host report."""
    return f"{TABS}.{host_token(host)}"


def live(host: str) -> str:
    return f"{LIVE}.{host_token(host)}"


def command_to_aggregator(name: str) -> str:
    return f"{COMMANDS}.aggregator.{name}"


def command_to_host(host: str, name: str) -> str:
    return f"{COMMANDS}.host.{host_token(host)}.{name}"


def outcome(source: str, command_id: str) -> str:
    """Outcome subject of one command; ``source`` is ``aggregator`` or a host name."""
    return f"{OUTCOMES}.{host_token(source)}.{command_id}"


def deadletters(stream: str) -> str:
    return f"{DEADLETTERS}.{stream.lower()}"


def command_to_hosts(name: str) -> str:
    """Broadcast to every host (core NATS: heard by who is there, answered to the reply subject)."""
    return f"{COMMANDS}.hosts.{name}"


def command_to_services(name: str) -> str:
    """Broadcast to every aggregator and API instance (core NATS)."""
    return f"{COMMANDS}.services.{name}"


def host_settings(host: str) -> str:
    """Where a host's settings are republished when they change."""
    return f"{SETTINGS}.hosts.{host_token(host)}"


def host_settings_key(host: str) -> str:
    """Key in the bucket ``settings``."""
    return f"hosts.{host_token(host)}"


def new_hosts_settings_key() -> str:
    """Key of what counts for a host that has no settings of its own."""
    return "new-hosts"


def service_settings_key(service: str) -> str:
    return f"services.{service}"


def access_used() -> str:
    """What API instances tell of the use of tokens and sessions."""
    return f"{ACCESS}.used"


def access_changed() -> str:
    """Tells every API instance that a token was made or revoked (core NATS)."""
    return f"{ACCESS}.changed"

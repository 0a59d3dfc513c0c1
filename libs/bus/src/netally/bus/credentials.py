"""How a client shows who it is to NATS, and knows the server: an nkey seed and a certificate authority, from files."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from netally.bus import subjects
from netally.telemetry.settings import SettingsError

SERVICES_INBOX = "_INBOX_."
"""No host's inbox begins like this: a token of a host has no dot and is not empty."""


class BusSettings(msgspec.Struct, frozen=True):
    """Read from ``NETALLY_<FIELD>``. Both are absent for a server on this machine that takes a password in its URL."""

    nats_seed_file: str = ""
    """File with the nkey seed of this service or host; see `netally init` and `netally join`."""
    nats_ca_file: str = ""
    """File with the certificate authority (PEM) that vouches for the server; makes every connection TLS."""

    def __repr__(self) -> str:
        return "BusSettings()"


def host_inbox(host: str) -> str:
    """Prefix of the subjects on which a host hears answers; the server lets nobody else listen there."""
    return f"_INBOX_{subjects.host_token(host)}"


def service_inbox(service: str) -> str:
    return f"{SERVICES_INBOX}{service}"


class BusAccess(NamedTuple):
    """What a connection is opened with, beside the servers."""

    inbox: str = "_INBOX"
    seed: str = ""
    tls: ssl.SSLContext | None = None

    def __repr__(self) -> str:
        return f"BusAccess({self.inbox!r})"

    def options(self) -> dict[str, Any]:
        """Arguments for ``nats.connect``."""
        options: dict[str, Any] = {"inbox_prefix": self.inbox.encode()}
        if self.seed:
            options["nkeys_seed_str"] = self.seed
        if self.tls is not None:
            options["tls"] = self.tls
        return options


PLAIN: Final = BusAccess()
"""For a server on this machine: a password in its URL, no TLS."""


def read_access(credentials: BusSettings, inbox: str) -> BusAccess:
    """Read the files. SettingsError names the variable of one that is no use."""
    seed = _seed(credentials.nats_seed_file) if credentials.nats_seed_file else ""
    tls = _tls(credentials.nats_ca_file) if credentials.nats_ca_file else None
    return BusAccess(inbox, seed, tls)


def _seed(path: str) -> str:
    # Only where it is needed: it brings a library of cryptography, two megabytes of an agent's memory.
    import nkeys

    try:
        seed = Path(path).read_text("ascii").strip()
        nkeys.from_seed(bytearray(seed.encode())).wipe()
    except OSError as error:
        raise SettingsError(f"NETALLY_NATS_SEED_FILE: cannot read {path}: {error.strerror}") from None
    except (UnicodeError, ValueError, nkeys.NkeysError):
        raise SettingsError(f"NETALLY_NATS_SEED_FILE: {path} holds no nkey seed") from None
    return seed


def _tls(path: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise SettingsError(f"NETALLY_NATS_CA_FILE: {path} holds no certificate in PEM") from None
    except OSError as error:
        raise SettingsError(f"NETALLY_NATS_CA_FILE: cannot read {path}: {error.strerror}") from None
    return context

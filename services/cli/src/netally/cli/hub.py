"""The hub's directory: who may speak on the bus, and the NATS configuration that says so.

``hub.json`` is what was chosen and who is known; everything else follows from it. Seeds of hosts are not kept: they are
in the line that `netally agent add` prints once, and on the host.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import re
import secrets
import signal
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import nkeys

from netally.bus import permissions, subjects
from netally.cli import data_directory, hub_certificates
from netally.cli.hub_certificates import Signed
from netally.cli.plain_error import PlainError

HUB_FILE = "hub.json"
CONFIG = "nats.conf"
PID_FILE = "nats.pid"
CA, CA_KEY = "ca.pem", "ca.key"
CERTIFICATE, KEY = "server.pem", "server.key"
SERVICES = ("aggregator", "api")
ALWAYS = ("localhost", "127.0.0.1", "::1")
"""Addresses that every hub's certificate has, for the services beside it."""
RENEW_WITHIN = timedelta(days=30)
OWN_SEED = "host.seed"
"""Of the agent beside the hub."""
DIRECTORY = "hub"
"""In the data directory."""
JOIN_PREFIX = "netally1."
"""First characters of a join line's argument: what it is, and its version."""
_ADDRESS = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45}")


class Hub(msgspec.Struct):
    """What ``hub.json`` holds. Keys are public nkeys."""

    addresses: list[str]
    """Names and IP addresses under which hosts reach the bus; the first is the one they are told."""
    port: int
    services: dict[str, str]
    hosts: dict[str, str] = {}

    @property
    def url(self) -> str:
        return server_url(self.addresses[0], self.port)


class Seed(NamedTuple):
    """A new identity; the secret half is for whoever is to use it."""

    secret: str
    public: str


class Joining(msgspec.Struct):
    """What a host needs to join, as the join line carries it."""

    url: str
    host: str
    seed: str
    ca: str


def server_url(address: str, port: int) -> str:
    return f"tls://[{address}]:{port}" if ":" in address else f"tls://{address}:{port}"


def new_seed() -> Seed:
    """A new nkey of a user (Ed25519)."""
    secret = nkeys.encode_seed(secrets.token_bytes(32), nkeys.PREFIX_BYTE_USER)
    pair = nkeys.from_seed(bytearray(secret))
    return Seed(secret.decode(), pair.public_key.decode())


def is_hub(directory: Path) -> bool:
    return (directory / HUB_FILE).exists()


def init(directory: Path, addresses: Sequence[str], port: int) -> Hub:
    """Make a hub's keys, certificates and configuration. PlainError when there is one, or for a wrong address."""
    if is_hub(directory):
        raise PlainError(
            f"{directory} is a hub already: `netally init --renew` makes a new server certificate, and `netally agent` "
            "adds and revokes hosts."
        )
    for address in addresses:
        if not _ADDRESS.fullmatch(address):
            raise PlainError(f"{address!r} is neither a host name nor an IP address.")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = hub_certificates.make_authority(datetime.now(UTC))
    data_directory.write_private(directory / CA_KEY, authority.key)
    data_directory.write_private(directory / CA, authority.certificate)
    seeds = {name: new_seed() for name in SERVICES}
    for name, seed in seeds.items():
        data_directory.write_private(directory / f"{name}.seed", f"{seed.secret}\n")
    hub = Hub(list(addresses), port, {name: seed.public for name, seed in seeds.items()})
    renew(directory, hub)
    # Last: with it the directory counts as a hub.
    write(directory, hub)
    return hub


def make_secrets(directory: Path, database_host: str) -> None:
    """What a deployment by containers needs besides: a password and the URL of a database server of that name, and the
    admin token, a file each.
    """
    password = secrets.token_urlsafe(24)
    data_directory.write_private(directory / "database-password", password)
    url = f"postgresql://netally:{password}@{database_host}:5432/netally"
    data_directory.write_private(directory / "database-url", url)
    data_directory.write_private(directory / "admin-token", secrets.token_urlsafe(32))


def give_to(directory: Path, uid: int) -> None:
    """Make a user the owner of all files: the one that containers run as, who has to read what is mounted."""
    for path in (directory, *directory.iterdir()):
        os.chown(path, uid, -1)


def renew(directory: Path, hub: Hub) -> None:
    """A new server certificate under the same authority; hosts notice nothing."""
    authority = Signed(_read(directory / CA_KEY), _read(directory / CA))
    addresses = list(dict.fromkeys([*hub.addresses, *ALWAYS]))
    server = hub_certificates.make_server(authority, addresses, datetime.now(UTC))
    data_directory.write_private(directory / KEY, server.key)
    data_directory.write_private(directory / CERTIFICATE, server.certificate)


def read(directory: Path) -> Hub:
    """PlainError when there is no hub, or its file cannot be understood."""
    path = directory / HUB_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Hub)
    except FileNotFoundError:
        raise PlainError(
            f"{directory} is no hub: `netally init --address NAME` makes one (NAME: how hosts reach this machine)."
        ) from None
    except msgspec.DecodeError as error:
        raise PlainError(f"{path} cannot be understood ({error}): restore it from a backup.") from None


@contextlib.contextmanager
def alone(directory: Path) -> Iterator[Hub]:
    """The hub, to be changed and written: each command reads and writes it whole, so that they go one by one."""
    if not directory.is_dir():
        read(directory)
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield read(directory)
    finally:
        os.close(descriptor)


def write(directory: Path, hub: Hub) -> None:
    """Keep the choices, and write the configuration that follows from them."""
    data_directory.write_private(directory / HUB_FILE, msgspec.json.format(msgspec.json.encode(hub)).decode() + "\n")
    data_directory.write_private(directory / CONFIG, config_text(hub))


def add(directory: Path, host: str) -> str:
    """Let a host speak on the bus; the argument of its join line. A host that is known gets a new key, and the old one
    is worth nothing.
    """
    if not host or len(host) > 255 or not host.isprintable():
        raise PlainError(f"{host!r} cannot be the name of a host.")
    seed = new_seed()
    with alone(directory) as hub:
        hub.hosts[host] = seed.public
        write(directory, hub)
    return join_text(Joining(hub.url, host, seed.secret, _read(directory / CA)))


def own_seed(directory: Path, host: str) -> Path:
    """Seed file of the agent on the hub's own machine, which may speak from now on."""
    path = directory / OWN_SEED
    with alone(directory) as hub:
        kept = data_directory.read_private(path)
        public = nkeys.from_seed(bytearray(kept.encode())).public_key.decode() if kept else ""
        if not public or hub.hosts.get(host) != public:
            seed = new_seed()
            data_directory.write_private(path, f"{seed.secret}\n")
            hub.hosts[host] = seed.public
            write(directory, hub)
    return path


def revoke(directory: Path, host: str) -> None:
    """Let a host speak no more. PlainError for one that is not known."""
    with alone(directory) as hub:
        if hub.hosts.pop(host, None) is None:
            known = ", ".join(sorted(hub.hosts)) or "none"
            raise PlainError(f"no host {host!r} is known here (known: {known}).")
        write(directory, hub)


def reload_running(directory: Path, *, dry_run: bool = False) -> bool:
    """Tell the running server of this hub to read its configuration (SIGHUP); False when none runs on this machine."""
    with contextlib.suppress(OSError, ValueError):
        pid = int((directory / PID_FILE).read_text("ascii"))
        if b"nats-server" in Path(f"/proc/{pid}/cmdline").read_bytes():
            if not dry_run:
                os.kill(pid, signal.SIGHUP)
            return True
    return False


def server_config(hub: Hub, directory: str) -> dict[str, Any]:
    """The part of nats-server's configuration that makes the bus safe: TLS, and who may say and hear what.

    ``directory``: where the server finds the certificate files.
    """
    users = [
        {"nkey": hub.services["aggregator"], "permissions": permissions.aggregator_permissions()},
        {"nkey": hub.services["api"], "permissions": permissions.api_permissions()},
        *(
            {"nkey": key, "permissions": permissions.host_permissions(host)}
            for host, key in sorted(hub.hosts.items(), key=lambda item: subjects.host_token(item[0]))
        ),
    ]
    return {
        "max_payload": 1024**2,
        "tls": {
            "cert_file": f"{directory}/{CERTIFICATE}",
            "key_file": f"{directory}/{KEY}",
            "min_version": "1.2",
            "timeout": 5,
        },
        # The default account: what a bus held before it became a hub stays where it is.
        "authorization": {"users": users, "timeout": 5},
    }


def config_text(hub: Hub) -> str:
    """Configuration of a NATS server that runs by itself (compose, Kubernetes), with the hub's directory at
    ``/etc/nats`` and its store at ``/data``. The server's language is a superset of JSON.
    """
    return json.dumps(
        {
            "server_name": "netally",
            "listen": f"0.0.0.0:{hub.port}",
            "http": "0.0.0.0:8222",
            "jetstream": {"store_dir": "/data", "max_file_store": 16 * 1024**3, "sync_interval": "1s"},
            **server_config(hub, "/etc/nats"),
        },
        indent=2,
    )


def join_text(joining: Joining) -> str:
    return JOIN_PREFIX + base64.urlsafe_b64encode(msgspec.json.encode(joining)).decode().rstrip("=")


def read_join_text(text: str) -> Joining:
    """PlainError for what `join_text` has not made."""
    text = text.strip()
    try:
        if not text.startswith(JOIN_PREFIX):
            raise ValueError("prefix")
        encoded = text.removeprefix(JOIN_PREFIX)
        joining = msgspec.json.decode(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)), type=Joining)
        nkeys.from_seed(bytearray(joining.seed.encode())).wipe()
        hub_certificates.expires(joining.ca)
    except (ValueError, msgspec.DecodeError, nkeys.NkeysError):
        raise PlainError(
            "this is no line that `netally agent add` prints, or a part of it is missing: copy it whole, from "
            f"`{JOIN_PREFIX}` to its end."
        ) from None
    return joining


def ends_soon(directory: Path, now: datetime) -> str:
    """A warning when the server's certificate is about to end; empty otherwise."""
    end = hub_certificates.expires(_read(directory / CERTIFICATE))
    if end - now > RENEW_WITHIN:
        return ""
    return f"the bus's certificate ends on {end:%Y-%m-%d}: `netally init --renew` makes a new one"


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except OSError as error:
        raise PlainError(f"cannot read {path}: {error.strerror}. Restore the hub's directory from a backup.") from None

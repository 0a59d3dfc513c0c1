"""Settings of a service: a frozen Struct filled from ``NETALLY_*`` variables, then ``netally.toml``, then defaults.

Field ``api_port`` is read from ``NETALLY_API_PORT`` or the key ``api_port`` of the TOML file named by
``NETALLY_CONFIG`` (default ``/etc/netally/netally.toml``, which may be absent). A secret may lie in a file of its own,
as containers get it: ``NETALLY_ADMIN_TOKEN_FILE`` names the file that holds ``admin_token``.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)

DEFAULT_FILE = Path("/etc/netally/netally.toml")


class SettingsError(Exception):
    """A setting is missing or wrong; the message names it and says what it should be."""


def default_data_dir() -> Path:
    """``/var/lib/netally`` as root, else the user's data directory (XDG base directory specification)."""
    if os.geteuid() == 0:
        return Path("/var/lib/netally")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "netally"


def load_settings(kind: type[T], environ: Mapping[str, str] | None = None) -> T:
    """Fill ``kind`` from environment, file and defaults. Strings are converted to the field's type.

    Raises SettingsError naming the variable for a value that does not fit. Empty variables count as absent.
    """
    environ = os.environ if environ is None else environ
    named = environ.get("NETALLY_CONFIG")
    path = Path(named) if named else DEFAULT_FILE
    from_file: dict[str, Any] = {}
    if named or path.exists():
        try:
            from_file = tomllib.loads(path.read_text("utf-8"))
        except OSError as error:
            raise SettingsError(f"cannot read {path}: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path} is no valid TOML: {error}") from None
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        variable = f"NETALLY_{field.name.upper()}"
        raw: Any
        if environ.get(variable):
            source, raw = variable, environ[variable]
        elif environ.get(f"{variable}_FILE") and field.type is str:
            source, raw = variable, _secret(f"{variable}_FILE", Path(environ[f"{variable}_FILE"]))
        elif field.name in from_file:
            source, raw = f"{field.name} in {path}", from_file[field.name]
        elif field.required:
            raise SettingsError(f"{variable} is not set")
        else:
            continue
        try:
            # Through strings_as so that "7500" fits an int and "eth0" a str alike.
            values[field.name] = msgspec.convert(raw, field.type, strict=False)
        except msgspec.ValidationError as error:
            raise SettingsError(f"{source} is wrong: {error}") from None
    return kind(**values)


def _secret(variable: str, path: Path) -> str:
    try:
        value = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SettingsError(f"{variable}: cannot read {path}: {reason}") from None
    if not value:
        raise SettingsError(f"{variable}: {path} is empty")
    return value

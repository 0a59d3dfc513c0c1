"""``python -m netally.capture probe``: one JSON object about mode and interfaces on standard output."""

from __future__ import annotations

import sys

import msgspec

from netally.capture.capture_mode import probe
from netally.capture.settings import Settings
from netally.telemetry.settings import SettingsError, load_settings


def main() -> int:
    """Exit code 0 when the probe could be made, whatever it found."""
    try:
        settings = load_settings(Settings)
    except SettingsError as error:
        sys.stderr.write(f"netally capture: {error}\n")
        return 2
    sys.stdout.write(msgspec.json.encode(probe(settings.interface_names, settings.capture_mode)).decode() + "\n")
    return 0

"""``python extension/pack.py DIRECTORY``: the extension as two archives, for Firefox's family and for Chromium's.

They differ in the manifest alone: each family names the background page in its own way, and warns of the other's.
"""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SUFFIXES = {".js", ".html", ".css", ".png"}


def manifest_of(family: str) -> dict[str, Any]:
    """``firefox`` or ``chromium``."""
    made: dict[str, Any] = json.loads((HERE / "manifest.json").read_text("utf-8"))
    if family == "firefox":
        del made["background"]["service_worker"]
    else:
        del made["background"]["scripts"], made["browser_specific_settings"]
    return made


def pack(directory: Path) -> list[Path]:
    """The archives; the same files give the same bytes."""
    directory.mkdir(parents=True, exist_ok=True)
    made = []
    for family in ("firefox", "chromium"):
        path = directory / f"netally-{family}.zip"
        files = {"manifest.json": json.dumps(manifest_of(family), indent=2).encode()}
        files |= {found.name: found.read_bytes() for found in sorted(HERE.iterdir()) if found.suffix in SUFFIXES}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), content)
        made.append(path)
    return made


if __name__ == "__main__":
    for packed in pack(Path(sys.argv[1])):
        sys.stdout.write(f"{packed}\n")

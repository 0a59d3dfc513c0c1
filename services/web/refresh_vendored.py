"""Fetch the vendored browser files anew: ``.venv/bin/python services/web/refresh_vendored.py`` (needs npm).

To change a version, edit PACKAGES, run this, look at the pages, commit. ``npm pack`` takes each package from the
registry that npm is set up with; its integrity is the one that npm itself verified. Building and testing need no npm.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

TARGET = Path(__file__).parent / "src/netally/web/static/vendor"

PACKAGES: dict[tuple[str, str, str], dict[str, str]] = {
    ("htmx.org", "4.0.1", "0BSD"): {
        "dist/htmx.min.js": "htmx.min.js",
        "dist/ext/hx-sse.min.js": "hx-sse.min.js",
        "LICENSE": "htmx.LICENSE.txt",
    },
    ("uplot", "1.6.32", "MIT"): {
        "dist/uPlot.iife.min.js": "uplot.min.js",
        "dist/uPlot.min.css": "uplot.min.css",
        "LICENSE": "uplot.LICENSE.txt",
    },
    ("@fontsource/ibm-plex-sans", "5.3.0", "OFL-1.1"): {
        "files/ibm-plex-sans-latin-400-normal.woff2": "ibm-plex-sans-400.woff2",
        "files/ibm-plex-sans-latin-600-normal.woff2": "ibm-plex-sans-600.woff2",
        "LICENSE": "ibm-plex-sans.LICENSE.txt",
    },
}
"""(name, version, licence) → path in the package → file name here."""


def pack(name: str, version: str, folder: Path) -> bytes:
    """Bytes of a package's tarball. Raises CalledProcessError when npm cannot fetch it."""
    command = ["npm", "pack", f"{name}@{version}", "--json", "--pack-destination", str(folder)]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603
    (tarball,) = folder.glob("*.tgz")
    content = tarball.read_bytes()
    tarball.unlink()
    return content


def main() -> None:
    TARGET.mkdir(parents=True, exist_ok=True)
    manifest = []
    with tempfile.TemporaryDirectory() as folder:
        for (name, version, licence), wanted in PACKAGES.items():
            tarball = pack(name, version, Path(folder))
            integrity = "sha512-" + base64.b64encode(hashlib.sha512(tarball).digest()).decode()
            files = {}
            with tarfile.open(fileobj=io.BytesIO(tarball)) as archive:
                for source, target in wanted.items():
                    member = archive.extractfile(f"package/{source}")
                    if member is None:
                        raise SystemExit(f"{name}@{version} has no file {source}")
                    content = member.read()
                    (TARGET / target).write_bytes(content)
                    files[target] = hashlib.sha256(content).hexdigest()
            manifest.append(
                {"name": name, "version": version, "licence": licence, "integrity": integrity, "files": files}
            )
    (TARGET / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()

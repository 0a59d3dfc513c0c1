"""Fetch the vendored Swagger UI anew: ``.venv/bin/python services/api/refresh_vendored.py`` (needs npm).

To change the version, edit VERSION, run this, look at ``/api/docs``, commit. Building and testing need no npm.
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

TARGET = Path(__file__).parent / "src/netally/api/static/swagger-ui"
NAME, VERSION, LICENCE = "swagger-ui-dist", "5.35.0", "Apache-2.0"
FILES = {
    "swagger-ui-bundle.js": "swagger-ui-bundle.js",
    "swagger-ui-bundle.js.LICENSE.txt": "swagger-ui-bundle.js.LICENSE.txt",
    "swagger-ui.css": "swagger-ui.css",
    "LICENSE": "LICENSE.txt",
    "NOTICE": "NOTICE.txt",
}
"""Path in the package → file name here."""


def main() -> None:
    TARGET.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", f"{NAME}@{VERSION}", "--pack-destination", folder]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603
        (archive_path,) = Path(folder).glob("*.tgz")
        archive_bytes = archive_path.read_bytes()
    hashes = {}
    with tarfile.open(fileobj=io.BytesIO(archive_bytes)) as archive:
        for source, target in FILES.items():
            member = archive.extractfile(f"package/{source}")
            if member is None:
                raise SystemExit(f"{NAME}@{VERSION} has no file {source}")
            content = member.read()
            (TARGET / target).write_bytes(content)
            hashes[target] = hashlib.sha256(content).hexdigest()
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(archive_bytes).digest()).decode()
    manifest = [{"name": NAME, "version": VERSION, "licence": LICENCE, "integrity": integrity, "files": hashes}]
    (TARGET / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()

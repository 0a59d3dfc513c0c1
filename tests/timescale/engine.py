"""The TimescaleDB that needs neither Docker nor an installation: PostgreSQL 17 compiled to WebAssembly, an npm package.

``engine.json`` pins its version and content.
"""

from __future__ import annotations

from pathlib import Path

from tests import npm_package

FOLDER = Path(__file__).parent


def package_directory() -> Path:
    """Folder of the unpacked package. Raises RuntimeError as `npm_package.package_directory` does."""
    return npm_package.package_directory(npm_package.pinned(FOLDER / "engine.json"))

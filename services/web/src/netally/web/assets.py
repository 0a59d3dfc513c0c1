"""Style sheet, scripts and fonts, read into memory once and served under a URL that names their content.

``/static/<version>/<name>`` never changes, so browsers keep it for ever; the version is a digest over all files.
"""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

FOLDER = Path(__file__).parent / "static"

TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".woff2": "font/woff2",
}


class Asset(msgspec.Struct, frozen=True):
    content: bytes
    packed: bytes
    """Gzipped; empty where that would not make it smaller."""
    media_type: str


def read_assets(folder: Path = FOLDER) -> tuple[str, dict[str, Asset]]:
    """Version and files by name (``netally.css``, ``vendor/htmx.min.js``)."""
    digest = hashlib.sha256()
    assets = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix not in TYPES:
            continue
        name, content = path.relative_to(folder).as_posix(), path.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
        packed = gzip.compress(content, 9, mtime=0)
        smaller = len(packed) < len(content) * 0.95
        assets[name] = Asset(content, packed if smaller else b"", TYPES[path.suffix])
    return digest.hexdigest()[:16], assets


VERSION, ASSETS = read_assets()


def url_of(name: str) -> str:
    """URL of a file. Raises KeyError for one that does not exist, so that a template cannot name it."""
    ASSETS[name]
    return f"/static/{VERSION}/{name}"


@get("/static/{version:str}/{name:path}", include_in_schema=False)
async def static_file(request: Request[Any, Any, Any], version: FromPath[str], name: FromPath[str]) -> Response[bytes]:
    asset = ASSETS.get(name.lstrip("/"))
    if asset is None or version != VERSION:
        raise NotFoundException("No such file.")
    packed = bool(asset.packed) and "gzip" in request.headers.get("accept-encoding", "")
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
    if packed:
        headers["Content-Encoding"] = "gzip"
    return Response(asset.packed if packed else asset.content, media_type=asset.media_type, headers=headers)

from __future__ import annotations

import hashlib
import re

import msgspec

from netally.web.assets import ASSETS, FOLDER, VERSION, read_assets, url_of
from tests.unit.web.conftest import Site

VENDOR = FOLDER / "vendor"


def test_vendored_files_are_what_the_manifest_says() -> None:
    manifest = msgspec.json.decode((VENDOR / "manifest.json").read_bytes())
    named = {file: digest for package in manifest for file, digest in package["files"].items()}
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VENDOR.iterdir()}
    del found["manifest.json"]
    assert found == named
    for package in manifest:
        assert re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", package["integrity"])
        assert package["version"]
        assert package["licence"]
        assert any(file.endswith("LICENSE.txt") for file in package["files"])


def test_files_never_change_under_their_url(site: Site) -> None:
    answer = site.client.get(url_of("netally.css"))
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.content == (FOLDER / "netally.css").read_bytes()
    plain = site.client.get(url_of("netally.css"), headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == answer.content


def test_an_old_version_or_a_path_outside_is_not_found(site: Site) -> None:
    for path in ("/static/0000/netally.css", f"/static/{VERSION}/nothing.css", f"/static/{VERSION}/%2e%2e/app.py"):
        assert site.client.get(path).status_code == 404


def test_the_version_follows_the_content() -> None:
    assert read_assets()[0] == VERSION


def test_style_sheet_and_scripts_name_no_other_origin_and_only_files_that_exist() -> None:
    for name, asset in ASSETS.items():
        if name.startswith("vendor/") or not name.endswith((".css", ".js")):
            continue
        text = asset.content.decode()
        assert "http://" not in text
        assert "https://" not in text
        for file in re.findall(r"url\(([^)]+)\)", text):
            assert file in ASSETS
        assert "eval(" not in text
        assert "innerHTML" not in text


def test_all_files_of_a_page_are_small() -> None:
    sent = sum(len(asset.packed or asset.content) for name, asset in ASSETS.items() if not name.endswith(".txt"))
    assert sent < 150_000

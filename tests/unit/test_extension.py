"""The browser extension: its shared code under Node's own test runner, its archives under the linter of web-ext."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from tests.npm_package import installed, node

ROOT = Path(__file__).resolve().parents[2]


def test_the_shared_code_does_what_its_tests_say() -> None:
    done = subprocess.run(
        [*node(), "--test", "tests/extension/"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# tests 11" in done.stdout


def test_the_extension_asks_for_no_more_than_it_needs() -> None:
    manifest = json.loads((ROOT / "extension" / "manifest.json").read_text())
    assert manifest["manifest_version"] == 3
    assert manifest["incognito"] == "not_allowed"
    assert set(manifest["permissions"]) == {"tabs", "storage", "alarms"}
    assert manifest["optional_permissions"] == ["webRequest"]
    assert not {"host_permissions", "content_scripts"} & set(manifest)


def test_it_is_packed_for_both_families(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "extension" / "pack.py", tmp_path], check=True, capture_output=True)
    for family, own, foreign in (("firefox", "scripts", "service_worker"), ("chromium", "service_worker", "scripts")):
        with zipfile.ZipFile(tmp_path / f"netally-{family}.zip") as archive:
            manifest = json.loads(archive.read("manifest.json"))
            assert own in manifest["background"]
            assert foreign not in manifest["background"]
            assert {"background.js", "options.html", "options.js"} <= set(archive.namelist())
            assert "pack.py" not in archive.namelist()
            assert "icon.png" in archive.namelist()


def findings(archive: Path) -> list[tuple[str, str]]:
    """Code and sentence of all that the linter has to say, which `web-ext lint` runs as it is."""
    linter = installed(ROOT / "tests" / "extension" / "linter") / "addons-linter" / "bin" / "addons-linter"
    done = subprocess.run(
        [*node(), linter, "--output", "json", "--disable-xpi-autoclose", archive],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["metadata"]["id"] == "netally@netally.local"
    return [(one["code"], one["message"]) for kind in ("errors", "warnings", "notices") for one in found[kind]]


def test_the_linter_of_web_ext_finds_nothing(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "extension" / "pack.py", tmp_path], check=True, capture_output=True)
    packed = tmp_path / "netally-firefox.zip"
    assert findings(packed) == []
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr("more.js", "document.body.innerHTML = location.hash;")
    assert [code for code, _ in findings(packed)] == ["UNSAFE_VAR_ASSIGNMENT"]

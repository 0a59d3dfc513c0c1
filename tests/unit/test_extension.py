"""The browser extension's shared code, under Node's own test runner."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.npm_package import node

ROOT = Path(__file__).resolve().parents[2]


def test_the_shared_code_does_what_its_tests_say() -> None:
    done = subprocess.run(
        [*node(), "--test", "tests/extension/"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# tests 10" in done.stdout


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

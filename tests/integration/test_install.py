"""`make install` as docs/install.md says: from locally built wheels into a clean environment, and over an older one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_it_installs_and_upgrades_from_the_wheels(tmp_path: Path) -> None:
    prefix, units = tmp_path / "opt", tmp_path / "units"
    units.mkdir()
    for time in ("new", "again"):
        done = subprocess.run(
            ["make", "install", f"PREFIX={prefix}", f"UNITS={units}", f"PYTHON={sys.executable}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            env={name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "VIRTUAL_ENV")},
        )
        assert done.returncode == 0, f"{time}: {done.stdout}{done.stderr}"
    wheels = {path.name.split("-")[0] for path in (ROOT / "dist").glob("*.whl")}
    assert wheels == {f"netally_{path.parent.name}" for path in ROOT.glob("*/*/pyproject.toml")}
    assert {path.name for path in units.iterdir()} == {"netally-agent.service", "netally-hub.service"}
    # Nothing of the checkout is used: it runs elsewhere, and imports from its own place.
    where = "import netally.capture.app as a, netally.web.app as w, netally.api.app as p; print(a.__file__, w.__file__)"
    run = subprocess.run(
        [prefix / "bin/python", "-P", "-c", where], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert all(path.startswith(str(prefix)) for path in run.stdout.split())
    said = subprocess.run(
        [prefix / "bin/netally", "--version"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert said.stdout.startswith("netally ")
    # What is no code came along: statements, migrations, templates, static files.
    packages = next((prefix / "lib").glob("python*/site-packages/netally"))
    for pattern in ("store/queries/*.sql", "store/migrations/*/*.sql", "web/templates/*.j2", "web/static/*.css"):
        assert list(packages.glob(pattern)), pattern

"""Known vulnerabilities of what requirements.lock pins, by pip-audit. ``python -m tests.audit`` (`make audit`)

Exit status 1 for a vulnerability. Where the advisories cannot be reached that is said, and is no failure: nothing was
found out either way.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements.lock",)
PIP_AUDIT = "pip-audit==2.9.0"
PATIENCE = 120.0


class Audit(NamedTuple):
    found: list[str]
    """A line for each vulnerability."""
    checked: int
    unknown: int
    """Packages that the advisories' source does not know, or did not tell of."""

    @property
    def words(self) -> str:
        total = self.checked + self.unknown
        if self.found:
            return "\n".join([f"{len(self.found)} known vulnerabilities:", *self.found])
        if not self.checked:
            return f"Could not be checked: none of {total} packages was found where the advisories are asked for."
        words = f"No known vulnerability in {self.checked} packages."
        return f"{words} {self.unknown} could not be checked." if self.unknown else words


def read(report: dict[str, Any]) -> Audit:
    """From the JSON that pip-audit prints."""
    packages = report.get("dependencies", [])
    found = [
        f"{one['name']} {one['version']}: {fault['id']}, mended in {', '.join(fault['fix_versions']) or 'none'}"
        for one in packages
        for fault in one.get("vulns", [])
    ]
    unknown = sum("skip_reason" in one for one in packages)
    return Audit(found, len(packages) - unknown, unknown)


def main() -> int:
    uv = shutil.which("uv") or str(ROOT / ".uv/bin/uv")
    arguments = [argument for lock in LOCKS for argument in ("--requirement", lock)]
    try:
        done = subprocess.run(
            [
                *(uv, "tool", "run", "--quiet", PIP_AUDIT, *arguments),
                *("--disable-pip", "--no-deps", "--progress-spinner", "off", "--format", "json", "--timeout", "10"),
            ],
            cwd=ROOT,
            env={**os.environ, "UV_HTTP_TIMEOUT": "20"},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        audit = read(json.loads(done.stdout))
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        reason = error if isinstance(error, OSError) else "pip-audit gave no answer; it needs the network"
        sys.stdout.write(f"Could not be checked: {reason}.\n")
        return 0
    sys.stdout.write(f"{audit.words}\n")
    return 1 if audit.found else 0


if __name__ == "__main__":
    sys.exit(main())

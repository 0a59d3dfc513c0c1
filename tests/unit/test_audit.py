from __future__ import annotations

from typing import Any

import pytest

from tests.audit import read

FINE: dict[str, Any] = {"name": "uvloop", "version": "1.0", "vulns": []}
UNKNOWN = {"name": "x", "skip_reason": "Dependency not found on PyPI"}
FAULTY = {"name": "y", "version": "2.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"]}]}


@pytest.mark.parametrize(
    ("packages", "words"),
    [
        ([FINE, FINE], "No known vulnerability in 2 packages."),
        ([FINE, UNKNOWN], "No known vulnerability in 1 packages. 1 could not be checked."),
        # What nobody could check is not called fine.
        ([UNKNOWN, UNKNOWN], "Could not be checked: none of 2 packages was found where the advisories are asked for."),
        ([FINE, FAULTY, UNKNOWN], "1 known vulnerabilities:\ny 2.0: PYSEC-1, mended in 2.1"),
    ],
)
def test_what_an_audit_says(packages: list[dict[str, Any]], words: str) -> None:
    audit = read({"dependencies": packages})
    assert audit.words == words
    assert bool(audit.found) == (FAULTY in packages)

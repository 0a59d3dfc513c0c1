"""Looks for secrets in all that was logged or printed while a test ran, by it and by the services it started.

The hook is named in ``tests/conftest.py``, so that the whole suite is looked through.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import pytest

PATTERNS: Final = {
    "a token": re.compile(r"netally_[0-9a-f]{16}_[A-Za-z0-9_-]{43}"),
    "the admin token of the tests": re.compile(r"\ban-admin-token"),
    "a hash of a token": re.compile(r"\$argon2id\$"),
    "a session's cookie": re.compile(r"netally_session=[^;\s\"']{20}"),
    "a password in a URL": re.compile(r"[a-z]+://[^\s/:@\"']*:[^\s/@\"']+@"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bS[UAO][A-Z2-7]{56}\b"),
    "an Authorization header": re.compile(r"[Aa]uthorization\W{1,6}Bearer\s+\S"),
}


def secrets_in(text: str) -> list[str]:
    """What kinds of secrets there are, each with the line."""
    return [
        f"{kind}: {line.strip()[:300]}"
        for kind, pattern in PATTERNS.items()
        for line in text.splitlines()
        if pattern.search(line)
    ]


def secrets_in_files(*paths: Path) -> list[str]:
    return [found for path in paths for found in secrets_in(path.read_text("utf-8", "replace"))]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """A phase of a test during which a secret was logged has failed."""
    report = yield
    logged = "\n".join(text for title, text in report.sections if title.startswith("Captured"))
    found = secrets_in(logged)
    if found and report.passed:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} ({report.when}) logged\n" + "\n".join(found[:10])
    return report

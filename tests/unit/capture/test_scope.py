"""Scopes of addresses."""

from __future__ import annotations

import pytest

from netally.capture.scope import scope_of
from netally.contracts.codes import Scope
from tests.builders import packed


@pytest.mark.parametrize(
    ("address", "scope"),
    [
        ("8.8.8.8", Scope.INTERNET),
        ("203.0.113.7", Scope.INTERNET),
        ("2001:4860:4860::8888", Scope.INTERNET),
        ("127.0.0.53", Scope.LOOPBACK),
        ("::1", Scope.LOOPBACK),
        ("10.1.2.3", Scope.PRIVATE),
        ("172.31.255.255", Scope.PRIVATE),
        ("172.32.0.1", Scope.INTERNET),
        ("192.168.1.1", Scope.PRIVATE),
        ("100.64.0.1", Scope.PRIVATE),
        ("169.254.1.1", Scope.PRIVATE),
        ("224.0.0.251", Scope.PRIVATE),
        ("255.255.255.255", Scope.PRIVATE),
        ("fd00::1", Scope.PRIVATE),
        ("fe80::1", Scope.PRIVATE),
        ("ff02::fb", Scope.PRIVATE),
        ("::ffff:10.0.0.1", Scope.PRIVATE),
        ("::ffff:8.8.8.8", Scope.INTERNET),
    ],
)
def test_scope(address: str, scope: Scope) -> None:
    assert scope_of(packed(address)) is scope

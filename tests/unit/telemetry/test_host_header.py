from __future__ import annotations

from typing import Any

import pytest

from netally.telemetry.host_header import names_host, with_valid_host


@pytest.mark.parametrize(
    "value", [b"", b"web-1.example.org", b"web:7500", b"[::1]:7500", b"10.0.0.1:1", b"a_b", b"x:65535"]
)
def test_hosts_are_hosts(value: bytes) -> None:
    assert names_host(value)


@pytest.mark.parametrize(
    "value",
    [b"x:99999", b"x:y", b"http://x/", b"[::1", b"a b", b"a/b", b"a?b", b"u@x", b"x:", "ü".encode(), b"a\\b", b"x:-1"],
)
async def test_what_is_none_is_taken_away_and_nothing_else(value: bytes) -> None:
    seen: list[Any] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope)

    other = [(b"x-host", value), (b"accept", b"*/*")]
    await with_valid_host(app)({"type": "http", "headers": [(b"host", value), *other]}, None, None)
    await with_valid_host(app)({"type": "lifespan"}, None, None)
    assert [scope.get("headers") for scope in seen] == [[(b"host", b""), *other], None]

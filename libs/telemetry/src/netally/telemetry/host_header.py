"""The header Host before an application sees it: one that names no host is as good as none (RFC 9112 section 3.2).

Litestar makes a URL of it wherever an address is asked for, and has no answer when that fails.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

Asgi = Callable[[Any, Any, Any], Awaitable[None]]

_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")


def names_host(value: bytes) -> bool:
    """Whether it is a host, with a port or without."""
    found = _HOST.fullmatch(value)
    return found is not None and int(found[1] or 0) < 65_536


def with_valid_host(app: Asgi) -> Asgi:
    """The application, which gets an empty Host in place of one that names no host."""

    async def asked(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            headers = [
                (name, b"" if name == b"host" and not names_host(value) else value) for name, value in scope["headers"]
            ]
            scope = {**scope, "headers": headers}
        await app(scope, receive, send)

    return asked

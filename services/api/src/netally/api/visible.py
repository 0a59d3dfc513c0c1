"""Which hosts a caller may see: the one place where that is decided, for every query and every stream.

`Credentials` finds out who asks; what the `Session` says of hosts becomes `VisibleHosts` here, a dependency of the
handlers. `reading.open_reading` makes ids of it, which every statement on hosts or their traffic is given.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from litestar import Request

from netally.contracts.queries import Session


class VisibleHosts(msgspec.Struct, frozen=True):
    """Hosts by name. One that is not among them is answered like one that does not exist."""

    names: frozenset[str] | None = None
    """None is every host."""

    def sees(self, name: str) -> bool:
        return self.names is None or name in self.names

    def of(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if self.sees(name)]


EVERY_HOST = VisibleHosts()


def visible_hosts(request: Request[Any, Session, Any]) -> VisibleHosts:
    """Dependency of the handlers."""
    hosts = request.auth.hosts
    return EVERY_HOST if hosts is None else VisibleHosts(frozenset(hosts))

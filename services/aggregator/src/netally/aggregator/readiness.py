"""What the aggregator waits for, in plain words, for ``/readyz`` and the log."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

log = structlog.get_logger()


class Readiness:
    """Named parts that are not ready, with the reason. A change is logged once, not at every attempt."""

    def __init__(self) -> None:
        self._missing: dict[str, str] = {}

    def wait_for(self, part: str, reason: str) -> None:
        if self._missing.get(part) != reason:
            log.warning("waiting", part=part, reason=reason)
        self._missing[part] = reason

    def ready(self, part: str) -> None:
        if self._missing.pop(part, None) is not None:
            log.info("ready", part=part)

    def set(self, part: str, reason: str | None) -> None:
        """`wait_for` with a reason, `ready` with None."""
        if reason is None:
            self.ready(part)
        else:
            self.wait_for(part, reason)

    def missing(self) -> Mapping[str, str]:
        return self._missing

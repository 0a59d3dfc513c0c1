"""A limit on wrong tokens and login codes: for each address, and for all addresses together.

An attempt counts from its beginning, so that many at once are no way around it, and no more once it was right.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

ATTEMPTS: Final = 10
"""Failures a minute from one address."""
ATTEMPTS_IN_ALL: Final = 300
"""Failures a minute from all addresses; beyond, only those go on from which something was right within the day."""
ATTEMPTS_SECONDS: Final = 60
TRUSTED_MS: Final = 86_400_000
MOST_ADDRESSES: Final = 10_000


class AttemptLimit:
    """``clock`` gives epoch milliseconds. Addresses are bounded, the oldest go first."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._failures: dict[str, deque[int]] = {}
        self._all: deque[int] = deque(maxlen=ATTEMPTS_IN_ALL)
        self._right: dict[str, int] = {}

    def wait_seconds(self, address: str) -> int:
        """Seconds until the address may try again, 0 for now."""
        now = self._clock()
        waits = _wait(self._failures.get(address), ATTEMPTS, now)
        if not waits and now - self._right.get(address, 0) > TRUSTED_MS:
            waits = _wait(self._all, ATTEMPTS_IN_ALL, now)
        return waits

    def failed(self, address: str) -> None:
        """An attempt begins, or has failed."""
        now = self._clock()
        failures = self._failures.pop(address, None) or deque(maxlen=ATTEMPTS)
        failures.append(now)
        self._failures[address] = failures
        self._all.append(now)
        while len(self._failures) > MOST_ADDRESSES:
            del self._failures[next(iter(self._failures))]

    def forgive(self, address: str) -> None:
        """The attempt that began last was right."""
        for failures in (self._failures.get(address), self._all):
            if failures:
                failures.pop()
        self.succeeded(address)

    def succeeded(self, address: str) -> None:
        """Something right came from the address."""
        self._right.pop(address, None)
        self._right[address] = self._clock()
        while len(self._right) > MOST_ADDRESSES:
            del self._right[next(iter(self._right))]


def _wait(failures: deque[int] | None, most: int, now: int) -> int:
    if not failures:
        return 0
    since = now - ATTEMPTS_SECONDS * 1000
    while failures and failures[0] <= since:
        failures.popleft()
    return (failures[0] - since) // 1000 + 1 if len(failures) >= most else 0

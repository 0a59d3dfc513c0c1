"""A limit on reports of each browser: some at once, then so many a minute."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

AT_ONCE: Final = 20
MINUTELY: Final = 30
"""The extension sends at most 12 a minute."""
MOST_TOKENS: Final = 10_000


class ReportLimit:
    """``clock`` gives epoch milliseconds. Tokens are bounded; the one that was silent for longest goes first."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def wait_seconds(self, token: str) -> int:
        """Count a report; seconds until one may come when there were too many, 0 when this one may."""
        now = self._clock()
        left, at = self._left.pop(token, (float(AT_ONCE), now))
        left = min(left + max(now - at, 0) * MINUTELY / 60_000, float(AT_ONCE))
        allowed = left >= 1
        self._left[token] = (left - allowed, now)
        if len(self._left) > MOST_TOKENS:
            self._left.popitem(last=False)
        return 0 if allowed else int((1 - left) * 60 / MINUTELY) + 1

"""Reports of a browser: some at once, then one every two seconds."""

from __future__ import annotations

from netally.api import report_limit
from netally.api.report_limit import AT_ONCE, MOST_TOKENS, ReportLimit


def test_a_flood_waits_and_others_do_not() -> None:
    now = 1_000_000
    limit = ReportLimit(lambda: now)
    assert [limit.wait_seconds("a") for _ in range(AT_ONCE)] == [0] * AT_ONCE
    assert limit.wait_seconds("a") == 3
    assert limit.wait_seconds("b") == 0
    now += 60_000 // report_limit.MINUTELY
    assert (limit.wait_seconds("a"), limit.wait_seconds("a") > 0) == (0, True)
    # As the extension sends: every five seconds, for ever.
    for _ in range(100):
        now += 5_000
        assert limit.wait_seconds("a") == 0


def test_tokens_are_bounded() -> None:
    limit = ReportLimit(lambda: 0)
    for _ in range(AT_ONCE):
        limit.wait_seconds("first")
    for number in range(MOST_TOKENS):
        limit.wait_seconds(str(number))
    assert limit.wait_seconds("first") == 0

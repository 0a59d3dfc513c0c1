from __future__ import annotations

from netally.api.attempt_limit import ATTEMPTS, ATTEMPTS_IN_ALL, TRUSTED_MS, AttemptLimit
from tests.builders import START


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


def test_attempts_are_limited_by_address_for_a_minute() -> None:
    clock = Clock()
    limit = AttemptLimit(clock)
    for _ in range(ATTEMPTS):
        assert limit.wait_seconds("192.0.2.1") == 0
        limit.failed("192.0.2.1")
        clock.now += 1000
    assert 0 < limit.wait_seconds("192.0.2.1") <= 60
    assert limit.wait_seconds("192.0.2.2") == 0
    clock.now += limit.wait_seconds("192.0.2.1") * 1000
    assert limit.wait_seconds("192.0.2.1") == 0


def test_what_was_right_is_forgiven() -> None:
    limit = AttemptLimit(Clock())
    for _ in range(3 * ATTEMPTS):
        limit.failed("192.0.2.1")
        limit.forgive("192.0.2.1")
    assert limit.wait_seconds("192.0.2.1") == 0


def test_attempts_from_everywhere_are_limited_together_but_where_something_was_right_before() -> None:
    clock = Clock()
    limit = AttemptLimit(clock)
    limit.succeeded("192.0.2.1")
    for number in range(ATTEMPTS_IN_ALL):
        assert limit.wait_seconds("203.0.113.9") == 0
        limit.failed(f"198.51.100.{number}")
    assert 0 < limit.wait_seconds("203.0.113.9") <= 61
    assert limit.wait_seconds("192.0.2.1") == 0
    clock.now += 60_000
    assert limit.wait_seconds("203.0.113.9") == 0
    clock.now += TRUSTED_MS
    for number in range(ATTEMPTS_IN_ALL):
        limit.failed(f"198.51.100.{number}")
    assert limit.wait_seconds("192.0.2.1") > 0

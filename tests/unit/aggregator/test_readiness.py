"""What is waited for is named with its reason, and no more once it is there."""

from __future__ import annotations

import structlog
from structlog.testing import capture_logs

from netally.aggregator.readiness import Readiness


def test_parts_come_and_go() -> None:
    readiness = Readiness()
    readiness.set("bus", "it is away")
    readiness.wait_for("database", "it is full")
    assert dict(readiness.missing()) == {"bus": "it is away", "database": "it is full"}
    readiness.set("bus", None)
    readiness.ready("database")
    assert not readiness.missing()


def test_a_reason_is_logged_once_however_often_it_is_tried() -> None:
    structlog.reset_defaults()
    with capture_logs() as logs:
        readiness = Readiness()
        for _ in range(100):
            readiness.wait_for("database", "it is away")
        readiness.ready("database")
        readiness.ready("database")
    assert [entry["event"] for entry in logs] == ["waiting", "ready"]

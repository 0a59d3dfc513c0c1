from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from netally.aggregator.access_use import AccessSink, merged
from netally.contracts.access import AccessUsed, SessionUse, TokenUse
from netally.contracts.wire import UndecodableError, encode_json
from tests.builders import START


def use(number: str = "1" * 32, **changes: Any) -> SessionUse:
    values = {"token": "", "opened_at": START, "expires_at": START + 9, "last_used": START, **changes}
    return SessionUse(number=number, **values)


def message(report: AccessUsed) -> Any:
    return SimpleNamespace(data=encode_json(report), subject="access.v1.used")


def sink() -> AccessSink:
    pool: Any = None
    return AccessSink(pool, lambda: START)


def test_a_report_is_read_as_it_was_written() -> None:
    report = AccessUsed("api", [use(ended=True)], [TokenUse("a" * 16, START)])
    assert sink().decode(message(report)) == report
    assert sink().weight(report) == 3


@pytest.mark.parametrize(
    "report",
    [
        AccessUsed("api", [use(last_used=2**60)]),
        AccessUsed("api", [use(opened_at=-1)]),
        AccessUsed("api", [], [TokenUse("a", 2**60)]),
        AccessUsed("api", [use("x" * 100)]),
    ],
)
def test_what_no_row_can_hold_is_a_dead_letter(report: AccessUsed) -> None:
    with pytest.raises(UndecodableError):
        sink().decode(message(report))


def test_of_several_reports_on_a_session_the_latest_use_and_any_end_count() -> None:
    reports = [
        AccessUsed("one", [use(last_used=START + 5), use("2" * 32)]),
        AccessUsed("other", [use(last_used=START + 2, ended=True)]),
        AccessUsed("one", [use(last_used=START + 3)]),
    ]
    assert merged(reports) == [use(last_used=START + 5, ended=True), use("2" * 32)]

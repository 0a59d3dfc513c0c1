"""Reports of browsers as they come from the bus; what is stored of them is tested on real servers."""

from __future__ import annotations

from typing import Any

import pytest
from nats.aio.msg import Msg

from netally.aggregator.tabs import TabSink
from netally.bus import subjects
from netally.contracts.tabs import TabSpan, TabsReported
from netally.contracts.wire import UndecodableError, encode_json

REPORT = TabsReported("desk", "0" * 32, "a", "Firefox", 5, [TabSpan("example.org", 4, 1)])


def message(subject: str, data: bytes) -> Msg:
    return Msg(_client=None, subject=subject, data=data)  # type: ignore[arg-type]


def sink() -> TabSink:
    nothing: Any = None
    return TabSink(nothing, "postgresql", nothing, nothing)


def test_a_report_is_believed_on_its_hosts_subject_alone() -> None:
    assert sink().decode(message(subjects.tabs("desk"), encode_json(REPORT))) == REPORT
    with pytest.raises(UndecodableError, match="another subject"):
        sink().decode(message(subjects.tabs("other"), encode_json(REPORT)))


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b"\xff",
        encode_json(REPORT).replace(b'"example.org"', b'""'),
        encode_json(REPORT).replace(b'"seconds":1', b'"seconds":301'),
        encode_json(REPORT).replace(b'"seconds":1', b'"seconds":-1'),
    ],
)
def test_what_is_no_report_is_undecodable(data: bytes) -> None:
    with pytest.raises(UndecodableError):
        sink().decode(message(subjects.tabs("desk"), data))

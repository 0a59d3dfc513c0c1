"""Agent reports are checked before they reach the database."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from nats.aio.msg import Msg

from netally.aggregator.agents import AgentSink
from netally.contracts.wire import UndecodableError, encode_json
from tests.builders import make_agent_report


def decode(subject: str, **changes: Any) -> object:
    body = encode_json(make_agent_report(**changes))
    return AgentSink(Mock(), lambda: 0).decode(Msg(Mock(), subject=subject, data=body))


def test_a_report_on_its_own_subject_is_read() -> None:
    assert decode("agents.v1.a", host="a") == make_agent_report(host="a")


@pytest.mark.parametrize(
    ("subject", "changes", "reason"),
    [
        ("agents.v1.b", {"host": "a"}, "from host 'a'"),
        ("agents.v1.", {"host": ""}, "from host ''"),
        ("agents.v1.a", {"host": "a", "kind": "spy"}, "none of agent, replay"),
        ("agents.v1.a", {"host": "a", "time": -1}, "time -1"),
        ("agents.v1.a", {"host": "a", "started_at": 2**60}, "started_at"),
    ],
    ids=["another's subject", "no host", "unknown kind", "before 1970", "after all time"],
)
def test_a_report_that_cannot_be_is_refused(subject: str, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(UndecodableError, match=reason):
        decode(subject, **changes)

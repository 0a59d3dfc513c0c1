"""Agent reports are checked before they reach the database."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from nats.aio.msg import Msg

from netally.aggregator.agents import AgentSink, Received
from netally.contracts.wire import UndecodableError, encode_json
from tests.builders import START, make_agent_report


def decode(subject: str, stored: int = START, **changes: Any) -> Received:
    body = encode_json(make_agent_report(**changes))
    reply = f"$JS.ACK.AGENTS.aggregator.1.7.7.{stored * 1_000_000}.0"
    return AgentSink(Mock(), lambda: 0).decode(Msg(Mock(), subject=subject, reply=reply, data=body))


def test_a_report_on_its_own_subject_is_read() -> None:
    assert decode("agents.v1.a", host="a").report == make_agent_report(host="a")


@pytest.mark.parametrize("offset", [0, 90_000, -86_400_000])
def test_the_clock_is_measured_against_the_time_of_storing(offset: int) -> None:
    assert decode("agents.v1.a", stored=START - offset, host="a").clock_offset == offset


def test_a_replay_has_no_clock_that_could_be_off() -> None:
    assert decode("agents.v1.a", stored=START + 10**9, host="a", kind="replay").clock_offset is None


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

"""A batch is believed only on its host's own subject."""

from __future__ import annotations

from unittest.mock import Mock

import pytest
from nats.aio.msg import Msg

from netally.aggregator.flows import FlowSink
from netally.contracts.wire import UndecodableError, encode_batch
from tests.builders import make_batch, make_flow_record


def message(subject: str, data: bytes) -> Msg:
    return Msg(Mock(), subject=subject, data=data)


def test_a_batch_on_its_own_subject_is_read() -> None:
    batch = make_batch(host="a.b")
    assert FlowSink(Mock()).decode(message("flows.v1.a_2eb", encode_batch(batch))) == batch


def test_a_batch_on_another_subject_is_not() -> None:
    with pytest.raises(UndecodableError, match=r"from host 'a\.b'"):
        FlowSink(Mock()).decode(message("flows.v1.c", encode_batch(make_batch(host="a.b"))))


def test_a_batch_weighs_its_rows() -> None:
    sink = FlowSink(Mock())
    light, heavy = make_batch([]), make_batch([make_flow_record()] * 500)
    assert sink.weight(heavy) - sink.weight(light) == 500
    # Even an empty one weighs, or a group of them would have no end.
    assert sink.weight(light) > 0

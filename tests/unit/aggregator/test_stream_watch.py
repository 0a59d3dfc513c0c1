"""What is wrong with JetStream, in plain words."""

from __future__ import annotations

import nats.errors
import pytest
from nats.js.errors import ServerError

from netally.aggregator.stream_watch import plain_words
from netally.bus.streams import NoRoomError


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NoRoomError("NATS has no storage left for stream FLOWS"), "no storage left"),
        (ServerError(code=500, err_code=10_047, description="insufficient storage"), "insufficient storage"),
        (TimeoutError(), "does not answer"),
        (nats.errors.ConnectionClosedError(), "cannot be asked"),
    ],
    ids=["no room", "server", "timeout", "closed"],
)
def test_errors_are_told_in_plain_words(error: BaseException, words: str) -> None:
    assert words in plain_words(error)

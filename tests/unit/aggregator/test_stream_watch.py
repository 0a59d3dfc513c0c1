"""What is wrong with JetStream and its disk, in plain words."""

from __future__ import annotations

import nats.errors
import pytest
from nats.js.errors import ServerError

from netally.aggregator.stream_watch import plain_words, storage_problem, storage_words
from netally.bus.streams import NoRoomError
from tests.services import free_port


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


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            b'{"status":"unavailable","error":"JetStream stream \'$G \\u003e FLOWS\' write error: write /2.blk: '
            b'no space left on device"}',
            "the disk of NATS is full and stream FLOWS takes nothing: free space there, then restart NATS",
        ),
        (b'{"error":"write: no space left on device"}', "the disk of NATS is full and its streams take nothing"),
        (b'{"error":"JetStream is not enabled"}', "NATS says: JetStream is not enabled"),
        (b"<html>", "NATS says: <html>"),
        (b"[]", "NATS says: []"),
    ],
)
def test_what_the_monitor_says(body: bytes, words: str) -> None:
    assert storage_words(body).startswith(words)


def test_a_monitor_that_is_away_says_nothing() -> None:
    assert storage_problem(f"http://127.0.0.1:{free_port()}/") is None

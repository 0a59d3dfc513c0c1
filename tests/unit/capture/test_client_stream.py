"""Client streams: in order whatever the segments' order, bounded in size, number and age."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from netally.capture.client_stream import MAX_AGE, MAX_STREAM, ClientStreams

DATA = bytes(range(256)) * 8


def test_segments_out_of_order_sent_again_and_overlapping() -> None:
    streams: ClientStreams[str] = ClientStreams()
    streams.begin("flow", 1_000, 0.0)
    assert streams.add("flow", 1_010, b"klmno", 0.1) == b""
    assert streams.add("flow", 1_000, b"abcde", 0.2) == b"abcde"
    assert streams.add("flow", 1_000, b"abcde", 0.3) == b"abcde"
    assert streams.add("flow", 1_003, b"defghij", 0.4) == b"abcdefghijklmno"


def test_sequence_numbers_that_wrap() -> None:
    streams: ClientStreams[str] = ClientStreams()
    streams.begin("flow", 2**32 - 3, 0.0)
    assert streams.add("flow", 2, b"fgh", 0.0) == b""
    assert streams.add("flow", 2**32 - 3, b"abcde", 0.0) == b"abcdefgh"


def test_a_keep_alive_probe_before_the_start() -> None:
    streams: ClientStreams[str] = ClientStreams()
    streams.begin("flow", 1_000, 0.0)
    assert streams.add("flow", 999, b"\0", 0.0) == b""
    assert streams.add("flow", 998, b"xxab", 0.0) == b"ab"


def test_consumed_messages_leave_what_follows() -> None:
    streams: ClientStreams[str] = ClientStreams()
    streams.begin("flow", 0, 0.0)
    streams.add("flow", 8, b"later", 0.0)
    assert streams.add("flow", 0, b"onetwo", 0.0) == b"onetwo"
    streams.consume("flow", 3)
    assert streams.add("flow", 6, b"xx", 0.0) == b"twoxxlater"
    streams.consume("gone", 3)


def test_streams_end_by_age_number_and_size() -> None:
    streams: ClientStreams[int] = ClientStreams(limit=3)
    for key in range(5):
        streams.begin(key, 0, 0.0)
    assert [key for key in range(5) if key in streams] == [2, 3, 4]
    assert streams.add(4, 0, b"x", MAX_AGE + 0.1) is None
    assert 4 not in streams
    streams.begin(9, 0, 100.0)
    assert list(range(5)) == [key for key in range(5) if key not in streams]
    for start in range(0, 3 * MAX_STREAM, 1_000):
        streams.add(9, start, bytes(1_000), 100.0)
    assert len(streams.add(9, 0, b"", 100.0) or b"") <= MAX_STREAM
    assert streams.add(77, 0, b"x", 0.0) is None


@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=12), st.integers(0, 2**32 - 1), st.randoms(use_true_random=False)
)
def test_any_cut_and_order_gives_the_stream(sizes: list[int], start: int, rng: random.Random) -> None:
    pieces, offset = [], 0
    for size in sizes:
        pieces.append((offset, DATA[offset : offset + size]))
        offset += size
    pieces = [piece for piece in pieces if piece[1]] + rng.sample(pieces, min(2, len(pieces)))
    rng.shuffle(pieces)
    streams: ClientStreams[str] = ClientStreams()
    streams.begin("flow", start, 0.0)
    for offset_of, piece in pieces:
        stream = streams.add("flow", start + offset_of, piece, 0.0)
    assert stream == DATA[: sum(sizes)]

from __future__ import annotations

from typing import Any, cast

import pytest
from litestar.response import Stream

from netally.api.live import LiveTraffic
from netally.api.live_feed import LiveFeed
from netally.api.live_stream import live
from netally.api.problems import ProblemError
from netally.api.visible import EVERY_HOST
from tests.builders import START


def make_feed(messages: int) -> LiveFeed:
    times = iter(range(START, START + 1_000_000, 1000))
    feed = LiveFeed(LiveTraffic(), lambda: next(times))
    for _ in range(messages):
        feed.publish()
    return feed


async def first_ids(answer: Stream) -> list[int]:
    text = (await anext(cast("Any", answer.iterator))).decode()
    return [int(line[4:]) for line in text.splitlines() if line.startswith("id: ")]


async def test_a_stream_starts_with_the_newest_or_after_the_last_seen() -> None:
    assert await first_ids(await live.fn(visible=EVERY_HOST, feed=make_feed(5))) == [START + 4000]
    assert await first_ids(await live.fn(visible=EVERY_HOST, feed=make_feed(5), last_event_id=str(START + 2000))) == [
        START + 3000,
        START + 4000,
    ]


async def test_it_is_an_event_stream_that_proxies_must_not_hold_back() -> None:
    answer = await live.fn(visible=EVERY_HOST, feed=make_feed(1))
    assert str(answer.media_type).startswith("text/event-stream")
    assert answer.headers["X-Accel-Buffering"] == "no"


@pytest.mark.parametrize("wrong", ["x", "-1", "1.5", "٣"])
async def test_an_id_of_another_stream_is_refused_by_name(wrong: str) -> None:
    with pytest.raises(ProblemError) as caught:
        await live.fn(visible=EVERY_HOST, feed=make_feed(1), last_event_id=wrong)
    assert (caught.value.problem.status, caught.value.problem.parameter) == (400, "Last-Event-ID")

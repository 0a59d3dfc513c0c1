from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from netally.api import live_feed, metrics
from netally.api.live import LiveTraffic
from netally.api.live_feed import BEHIND, MOST_VIEWS, RING, LiveFeed
from netally.api.live_view import EVERYTHING, look
from netally.api.problems import ProblemError
from netally.api.visible import EVERY_HOST, VisibleHosts
from netally.contracts.agent import LiveFlow
from netally.store.filters.syntax import parse
from tests.builders import START, make_live_sample


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


def publish(feed: LiveFeed, clock: Clock, times: int) -> None:
    for _ in range(times):
        clock.now += 1000
        feed.publish()


def ids(message: bytes) -> list[int]:
    return [int(line[4:]) for line in message.decode().splitlines() if line.startswith("id: ")]


async def first(stream: AsyncIterator[bytes]) -> bytes:
    return await anext(stream)


async def test_a_message_is_a_named_event_with_the_state_as_json() -> None:
    clock = Clock()
    feed = LiveFeed(LiveTraffic(), clock)
    for second in range(1, 7):
        clock.now = START + second * 1000
        feed.traffic.add(make_live_sample(time=clock.now), clock.now)
    feed.publish()
    text = (await first(feed.open(EVERYTHING, None))).decode()
    assert text.startswith("retry: 2000\n\nid: ")
    assert text.endswith("\n\n")
    assert "\nevent: live\n" in text
    data = json.loads(text.split("data: ")[1])
    assert data["total"] == {"bytes_in": 1_000_000.0, "bytes_out": 100_000.0}
    assert data["movers"][0]["domain"] == "example.org"


async def test_a_reader_that_comes_back_gets_what_it_missed() -> None:
    clock = Clock()
    feed = LiveFeed(LiveTraffic(), clock)
    publish(feed, clock, 10)
    seen = START + 7_000
    stream = feed.open(EVERYTHING, seen)
    assert ids(await first(stream)) == [seen + 1000, seen + 2000, seen + 3000]
    publish(feed, clock, 1)
    assert ids(await anext(stream)) == [seen + 4000]
    # Too long away: as much as is kept.
    publish(feed, clock, 100)
    assert len(ids(await first(feed.open(EVERYTHING, seen)))) == RING
    # A newcomer starts with the newest.
    assert len(ids(await first(feed.open(EVERYTHING, None)))) == 1


async def test_ids_rise_when_the_clock_is_set_back() -> None:
    clock = Clock()
    feed = LiveFeed(LiveTraffic(), clock)
    publish(feed, clock, 3)
    clock.now -= 60_000
    publish(feed, clock, 3)
    found = ids(await first(feed.open(EVERYTHING, 0)))
    assert found == sorted(set(found))
    assert len(found) == 6


async def test_a_slow_reader_is_dropped_and_the_others_are_not() -> None:
    clock = Clock()
    feed = LiveFeed(LiveTraffic(), clock)
    dropped = metrics.STREAMS_DROPPED._value.get()
    slow, quick = feed.open(EVERYTHING, None), feed.open(EVERYTHING, None)
    await first(slow)
    await first(quick)
    for _ in range(BEHIND + 2):
        publish(feed, clock, 1)
        await anext(quick)
    assert [message async for message in slow] == []
    assert metrics.STREAMS_DROPPED._value.get() == dropped + 1
    publish(feed, clock, 1)
    assert ids(await anext(quick))


async def test_streams_end_after_an_hour_and_when_the_feed_closes() -> None:
    clock = Clock()
    feed = LiveFeed(LiveTraffic(), clock)
    stream = feed.open(EVERYTHING, None)
    await first(stream)
    clock.now += 3_600_001
    assert [message async for message in stream] == []

    stream = feed.open(EVERYTHING, None)
    await first(stream)
    feed.close()
    assert [message async for message in stream] == []


async def test_open_streams_are_counted() -> None:
    feed = LiveFeed(LiveTraffic(), Clock())
    before = metrics.STREAMS._value.get()
    stream = feed.open(EVERYTHING, None)
    await first(stream)
    assert metrics.STREAMS._value.get() == before + 1
    await stream.aclose()  # type: ignore[attr-defined]
    assert metrics.STREAMS._value.get() == before


async def test_it_publishes_once_a_second_whatever_the_timer_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """A timer that fires early or late, and a clock that is set: one message a second, never two."""
    clock = Clock()
    clock.now = START + 400
    # How much later than asked the timer fires; the last two jumps are of the clock.
    lateness = iter([0, -1, -1, 3, 20, 0, 2_500, 0, -7_200_000, 0, 0])
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        try:
            clock.now += round(seconds * 1000) + next(lateness)
        except StopIteration:
            raise asyncio.CancelledError from None

    # The feed's alone: servers in other threads of this process sleep as well.
    monkeypatch.setattr(live_feed, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": sleep}))
    feed = LiveFeed(LiveTraffic(), clock)
    with pytest.raises(asyncio.CancelledError):
        await feed.run()
    assert len(ids(await first(feed.open(EVERYTHING, 0)))) == 11
    assert all(0 <= seconds <= 1.002 for seconds in slept), slept
    assert min(slept[1:6]) > 0.9


def make_busy(feed: LiveFeed, clock: Clock) -> None:
    """Two hosts for six seconds: web-1 with curl and firefox, db-1 with curl."""
    for second in range(1, 7):
        clock.now = START + second * 1000
        curl = LiveFlow("curl", "example.org", "192.0.2.1", 600_000, 0)
        firefox = LiveFlow("firefox", "example.com", "192.0.2.2", 300_000, 0)
        feed.traffic.add(
            make_live_sample(host="web-1", time=clock.now, bytes_in=1_000_000, flows=[curl, firefox]), clock.now
        )
        feed.traffic.add(make_live_sample(host="db-1", time=clock.now, bytes_in=600_000, flows=[curl]), clock.now)


def data_of(message: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(message.decode().rsplit("data: ", 1)[1])
    return found


@pytest.mark.parametrize(
    ("text", "hosts", "rate", "movers"),
    [
        ("", ["db-1", "web-1"], 1_600_000, 3),
        # Of hosts the interfaces tell, of applications the movers.
        ("host = WEB-1", ["web-1"], 1_000_000, 2),
        ("app = firefox", ["db-1", "web-1"], 300_000, 1),
        ("app = curl and host = db-1", ["db-1", "web-1"], 600_000, 1),
        ("domain under (example.com)", ["db-1", "web-1"], 300_000, 1),
    ],
)
async def test_a_filter_leaves_what_fits(text: str, hosts: list[str], rate: int, movers: int) -> None:
    clock = Clock()
    feed = LiveFeed(LiveTraffic(), clock)
    make_busy(feed, clock)
    feed.publish()
    found = data_of(await first(feed.open(look(EVERY_HOST, parse(text)), None)))
    assert [host["host"] for host in found["hosts"]] == hosts
    assert found["total"]["bytes_in"] == pytest.approx(rate)
    assert (len(found["movers"]), found["filter"]) == (movers, text)


async def test_hosts_that_are_not_visible_are_not_in_it() -> None:
    clock = Clock()
    feed = LiveFeed(LiveTraffic(), clock)
    make_busy(feed, clock)
    feed.publish()
    stream = feed.open(look(VisibleHosts(frozenset(["db-1"])), parse("")), None)
    newest = await first(stream)
    feed.publish()
    for message in (newest, await anext(stream)):
        assert b"web-1" not in message
        assert b"firefox" not in message
        assert data_of(message)["total"]["bytes_in"] == pytest.approx(600_000)


async def test_a_filtered_reader_resumes_too_and_is_forgotten_after_a_minute() -> None:
    clock = Clock()
    feed = LiveFeed(LiveTraffic(), clock)
    publish(feed, clock, 1)
    curl = look(EVERY_HOST, parse("app = curl"))
    stream = feed.open(curl, None)
    (seen,) = ids(await first(stream))
    await stream.aclose()  # type: ignore[attr-defined]
    publish(feed, clock, 5)
    stream = feed.open(curl, seen)
    assert len(ids(await first(stream))) == 5
    await stream.aclose()  # type: ignore[attr-defined]
    publish(feed, clock, RING + 1)
    assert len(ids(await first(feed.open(curl, seen)))) == 1


async def test_views_are_bounded() -> None:
    clock = Clock()
    feed = LiveFeed(LiveTraffic(), clock)
    for number in range(MOST_VIEWS - 1):
        feed.open(look(EVERY_HOST, parse(f"app = app-{number}")), None)
    with pytest.raises(ProblemError) as caught:
        feed.open(look(EVERY_HOST, parse("app = one-more")), None)
    assert caught.value.problem.status == 429
    feed.open(EVERYTHING, None)
    publish(feed, clock, RING + 1)
    feed.open(look(EVERY_HOST, parse("app = one-more")), None)

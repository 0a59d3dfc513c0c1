"""A group with a culprit in it is split until the culprit stands alone; the rest is written and acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from unittest.mock import AsyncMock, Mock

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nats.aio.msg import Msg

from netally.aggregator import consumer as module
from netally.aggregator.consumer import Consumer, Delivery
from netally.aggregator.readiness import Readiness


class ListSink:
    """Keeps numbers in a list; refuses some for good, and all while the database is ``away``."""

    lanes = 1

    def __init__(self, refused: set[int]) -> None:
        self.refused = refused
        self.away = False
        self.written: list[int] = []
        self.written_off: list[int] = []
        self.forgotten = 0

    def decode(self, message: Msg) -> int:
        return int(message.data)

    def weight(self, item: int) -> int:
        return 1

    async def write(self, items: Sequence[int]) -> None:
        if self.away:
            raise asyncpg.CannotConnectNowError("starting up")
        if self.refused & set(items):
            raise asyncpg.CheckViolationError("not these", "DETAIL")
        self.written += items

    async def write_off(self, item: int) -> None:
        self.written_off.append(item)

    def forget(self) -> None:
        self.forgotten += 1


def make_consumer(sink: ListSink) -> Consumer[int]:
    return Consumer(
        Mock(),
        "FLOWS",
        sink,
        ack_wait=30,
        clock=lambda: 0,
        readiness=Readiness(),
        explain=str,
        database_answers=AsyncMock(),
    )


def deliver(consumer: Consumer[int], numbers: Sequence[int]) -> list[Delivery[Any]]:
    made = [Delivery(AsyncMock(spec=Msg, data=b"%d" % number), number) for number in numbers]
    for delivery in made:
        consumer._in_hand[id(delivery.message)] = delivery.message
    return made


def mock_of(delivery: Delivery[Any]) -> Any:
    return delivery.message


@pytest.fixture(autouse=True, scope="module")
def _no_bus() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "bury", AsyncMock())
        yield


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.sets(st.integers(0, 39), max_size=8))
def test_all_but_the_culprits_are_written_once(size: int, refused: set[int]) -> None:
    sink = ListSink(refused)
    consumer = make_consumer(sink)
    group = deliver(consumer, range(size))
    asyncio.run(consumer._write(group))
    assert sorted(sink.written) == [number for number in range(size) if number not in refused]
    assert sorted(sink.written_off) == sorted(refused & set(range(size)))
    for delivery in group:
        mock_of(delivery).ack.assert_awaited_once()
    assert not consumer._in_hand


async def test_what_was_remembered_is_forgotten_before_the_data_is_blamed() -> None:
    sink = ListSink({1})
    consumer = make_consumer(sink)
    await consumer._write(deliver(consumer, [0, 1]))
    assert sink.forgotten == 1


async def test_while_the_database_is_away_nothing_is_lost_and_the_delay_grows() -> None:
    sink = ListSink(set())
    sink.away = True
    consumer = make_consumer(sink)
    delays = []
    for _ in range(10):
        group = deliver(consumer, [1, 2])
        with pytest.raises(asyncpg.CannotConnectNowError) as error:
            await consumer._write(group)
        await consumer._give_back(group, error.value)
        for delivery in group:
            mock_of(delivery).ack.assert_not_awaited()
        delays.append(mock_of(group[0]).nak.await_args.kwargs["delay"])
    assert delays[:4] == [0.5, 1, 2, 4]
    assert max(delays) == module.LONGEST_DELAY
    assert not sink.written_off


async def test_of_a_group_that_is_half_done_only_the_rest_is_given_back() -> None:
    sink = ListSink(set())
    consumer = make_consumer(sink)
    group = deliver(consumer, [1, 2])
    await consumer._write(group[:1])
    await consumer._give_back(group, asyncpg.CannotConnectNowError("starting up"))
    mock_of(group[0]).nak.assert_not_awaited()
    mock_of(group[1]).nak.assert_awaited_once()

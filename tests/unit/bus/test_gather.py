"""One question to many, on a real server."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from nats.aio.client import Client
from nats.aio.msg import Msg

from netally.bus.gather import QUIET, ask_all
from netally.contracts.commands import CacheOrder, CacheReply
from netally.contracts.wire import encode_json

ORDER = CacheOrder("1" * 32, [])


def answering(name: str) -> Callable[[Msg], Awaitable[None]]:
    async def answer(message: Msg) -> None:
        await message.respond(encode_json(CacheReply(name, "capture", {})))

    return answer


async def test_everybody_answers_once_and_the_silent_are_waited_for(nats_client: Client) -> None:
    for name in ("a", "b", "c"):
        await nats_client.subscribe("who", cb=answering(name))
    replies = await ask_all(
        nats_client, ["who", "nobody.listens"], ORDER, CacheReply, wait=5, expected=["a", "b"], who=lambda r: r.instance
    )
    assert sorted(reply.instance for reply in replies) == ["a", "b", "c"]
    began = time.monotonic()
    replies = await ask_all(
        nats_client, ["who"], ORDER, CacheReply, wait=QUIET * 3, expected=["d"], who=lambda r: r.instance
    )
    assert time.monotonic() - began >= QUIET * 3
    assert len(replies) == 3


async def test_what_cannot_be_read_is_left_out(nats_client: Client) -> None:
    async def babble(message: Msg) -> None:
        await message.respond(b"{")

    await nats_client.subscribe("who", cb=babble)
    assert await ask_all(nats_client, ["who"], ORDER, CacheReply, wait=1) == []

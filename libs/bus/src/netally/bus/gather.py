"""One question, many answers: a core NATS request that collects replies until all expected came or time is up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import TypeVar

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from netally.contracts.wire import UndecodableError, decode_json, encode_json

log = structlog.get_logger()

T = TypeVar("T")

QUIET = 0.3
"""Seconds without a reply after which nobody unexpected is waited for."""


async def ask_all(
    client: Client,
    subjects: Collection[str],
    question: msgspec.Struct,
    kind: type[T],
    *,
    wait: float,
    expected: Collection[str] = (),
    who: Callable[[T], str] = lambda reply: "",
) -> list[T]:
    """Replies of everyone who heard ``question`` on one of ``subjects``, in the order they came.

    Ends when everyone ``expected`` has answered (``who`` tells whose a reply is) and nobody did for `QUIET` seconds, at
    the latest after ``wait`` seconds. Raises what nats-py raises when the connection is away.
    """
    loop = asyncio.get_running_loop()
    replies: list[T] = []
    missing = set(expected)
    came: asyncio.Queue[Msg] = asyncio.Queue()
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox, cb=came.put)
    try:
        body = encode_json(question)
        for subject in subjects:
            await client.publish(subject, body, reply=inbox)
        end = loop.time() + wait
        while True:
            until = end if missing else min(end, loop.time() + QUIET)
            try:
                async with asyncio.timeout_at(until):
                    message = await came.get()
            except TimeoutError:
                return replies
            # Nobody listens on one of the subjects.
            if message.headers and message.headers.get("Status") == "503":
                continue
            try:
                reply = decode_json(message.data, kind)
            except UndecodableError as error:
                log.warning("reply cannot be read", subject=subjects, reason=str(error))
                continue
            replies.append(reply)
            missing.discard(who(reply))
    finally:
        if not client.is_closed:
            await subscription.unsubscribe()

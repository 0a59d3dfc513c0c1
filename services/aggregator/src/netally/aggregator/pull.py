"""Messages of a durable consumer, group by group, whatever becomes of the server, the stream or the durable meanwhile.

nats-py directly, not FastStream's batch subscriber: that one asks again at once when the durable is gone (5,000
requests a second and a busy core, seen), and does not fetch the next group while the last is being written.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.errors import APIError

log = structlog.get_logger()

FETCH_SECONDS = 0.25
"""Longest a fetch that is not full waits; the latency of a lone message."""
_PAUSE = 0.25


async def pull(client: Client, stream: str, durable: str, size: int, stop: asyncio.Event) -> AsyncIterator[list[Msg]]:
    """Groups of at most ``size`` messages until ``stop`` is set; an empty one when nothing waits.

    Raises ConnectionClosedError when the connection was closed for good.
    """
    loop = asyncio.get_running_loop()
    subscription = await client.jetstream().pull_subscribe_bind(consumer=durable, stream=stream)
    try:
        while not stop.is_set():
            # While the server is away requests would only pile up, all to be answered when it is back.
            if client.is_connected:
                began = loop.time()
                try:
                    messages = await subscription.fetch(size, timeout=FETCH_SECONDS)
                except TimeoutError:
                    yield []
                    continue
                except (APIError, nats.errors.Error) as error:
                    if client.is_closed:
                        raise
                    log.debug("fetch failed", stream=stream, reason=str(error))
                    messages = []
                if messages:
                    yield messages
                    continue
                if loop.time() - began >= FETCH_SECONDS / 2:
                    continue
            # Answered at once with nothing: the durable or its stream is gone for the moment.
            await asyncio.sleep(_PAUSE)
    finally:
        if not client.is_closed:
            await subscription.unsubscribe()

"""Looks after the streams and durables: makes them at the start, makes them again when someone deletes them, and
measures what waits in them.
"""

from __future__ import annotations

import asyncio
import contextlib

import nats.errors
import structlog
from nats.js import JetStreamContext
from nats.js.errors import APIError, NotFoundError

from netally.aggregator.metrics import UNACKED, WAITING
from netally.aggregator.readiness import Readiness
from netally.aggregator.settings import AggregatorSettings
from netally.bus import streams

log = structlog.get_logger()

INTERVAL = 2.0


async def provision(js: JetStreamContext, settings: AggregatorSettings, readiness: Readiness) -> None:
    """Return when every stream and durable is as declared, however long the server takes to allow it."""
    pause = 0.25
    while True:
        try:
            await streams.provision(js, settings.flows_max_bytes, settings.ack_wait_seconds, settings.exports_max_bytes)
        except (streams.NoRoomError, APIError, nats.errors.Error, TimeoutError) as error:
            readiness.wait_for("streams", plain_words(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, 5.0)
        else:
            readiness.ready("streams")
            return


async def watch(js: JetStreamContext, settings: AggregatorSettings, readiness: Readiness, stop: asyncio.Event) -> None:
    """Until ``stop`` is set. A durable that was deleted leaves its consumer silent without any error."""
    while not stop.is_set():
        try:
            for stream, config in streams.consumer_configs():
                info = await js.consumer_info(stream, config.durable_name or "")
                WAITING.labels(stream).set(info.num_pending or 0)
                UNACKED.labels(stream).set(info.num_ack_pending or 0)
            readiness.ready("streams")
        except NotFoundError as error:
            log.warning("stream or durable is gone, making it again", reason=plain_words(error))
            await provision(js, settings, readiness)
        except (APIError, nats.errors.Error, TimeoutError) as error:
            readiness.wait_for("streams", plain_words(error))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), INTERVAL)


def plain_words(error: BaseException) -> str:
    """What is wrong with JetStream, for people."""
    match error:
        case streams.NoRoomError():
            return str(error)
        case APIError():
            return f"JetStream says: {error.description} ({error.err_code})"
        case TimeoutError():
            return "JetStream does not answer"
        case _:
            return f"JetStream cannot be asked: {str(error) or type(error).__name__}"

"""Looks after the streams and durables: makes them at the start, makes them again when someone deletes them, and
measures what waits in them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import urllib.error
import urllib.request

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
_MONITOR_TIMEOUT = 2.0
_STREAM = re.compile(r"stream '\S+ > (\w+)'")
# The monitor is next door: no proxy of the environment.
_monitor = urllib.request.build_opener(urllib.request.ProxyHandler({}))


async def provision(js: JetStreamContext, settings: AggregatorSettings, readiness: Readiness) -> None:
    """Return when every stream and durable is as declared, however long the server takes to allow it."""
    pause = 0.25
    while True:
        try:
            await streams.provision(
                js,
                settings.flows_max_bytes,
                settings.ack_wait_seconds,
                settings.exports_max_bytes,
                settings.stream_replicas,
            )
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
        if settings.nats_monitor_url:
            readiness.set("bus storage", await asyncio.to_thread(storage_problem, settings.nats_monitor_url))
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


def storage_problem(monitor_url: str) -> str | None:
    """Why NATS does not store what it is sent, for people; None when it does, or does not answer. To a client it only
    does not answer then.
    """
    try:
        with _monitor.open(f"{monitor_url.rstrip('/')}/healthz", timeout=_MONITOR_TIMEOUT):
            return None
    except urllib.error.HTTPError as error:
        with error:
            body = error.read(10_000)
    except OSError:  # The connection of the bus tells that it is away.
        return None
    return storage_words(body)


def storage_words(body: bytes) -> str:
    """What the monitor's answer means."""
    try:
        said = str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        said = body.decode("utf-8", "replace")[:200]
    if "no space left on device" not in said:
        return f"NATS says: {said}"
    stream = _STREAM.search(said)
    what = f"stream {stream[1]} takes" if stream else "its streams take"
    return f"the disk of NATS is full and {what} nothing: free space there, then restart NATS"


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

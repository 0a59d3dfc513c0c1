"""Settings on the bus, for answers that also make sense without them."""

from __future__ import annotations

from typing import TypeVar

import nats.errors
from nats.js.errors import Error as JetStreamError

from netally.api.bus import LiveBus
from netally.bus import settings_bucket
from netally.contracts.wire import UndecodableError

T = TypeVar("T")

_NO_ANSWER = (nats.errors.Error, JetStreamError, OSError, TimeoutError, UndecodableError)


async def wanted(bus: LiveBus, key: str, default: T) -> T | None:
    """The settings of a key, the default when nobody set any; None when the bus cannot tell."""
    client = bus.client
    if client is None or not client.is_connected:
        return None
    try:
        found, _ = await settings_bucket.read(client.jetstream(timeout=1), key, type(default))
    except _NO_ANSWER:
        return None
    return found or default

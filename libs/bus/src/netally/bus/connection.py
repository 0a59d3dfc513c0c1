"""One connection to NATS that never gives up, and says in plain words what it waits for."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from nats.aio.client import Client

from netally.bus.credentials import PLAIN, BusAccess

State = Callable[[str | None], None]
"""Called with the reason when the bus is away, with None when it is back."""


def location(url: str) -> str:
    """``host:port`` of a NATS URL (or of each, separated by commas): what may be shown, unlike user and password."""
    return ", ".join(urlsplit(one.strip()).netloc.rpartition("@")[2] for one in url.split(","))


async def connect(url: str, name: str, state: State, access: BusAccess = PLAIN) -> Client:
    """Connect and stay connected; returns at the first success, however long that takes.

    ``url`` may name several servers, separated by commas. ``name`` is shown by the server's monitoring.
    """
    place = location(url)

    async def failed(error: Exception) -> None:
        if not client.is_connected:
            state(f"cannot reach NATS at {place}: {str(error) or type(error).__name__}")

    async def lost() -> None:
        if client.is_closed:
            return
        state(f"the connection to NATS at {place} is lost; trying again")

    async def back() -> None:
        state(None)

    client = Client()
    state(f"connecting to NATS at {place}")
    await client.connect(
        servers=[one.strip() for one in url.split(",")],
        name=name,
        # The library's default is to close for good after two minutes.
        max_reconnect_attempts=-1,
        reconnect_time_wait=1,
        connect_timeout=5,
        ping_interval=10,
        max_outstanding_pings=2,
        error_cb=failed,
        disconnected_cb=lost,
        reconnected_cb=back,
        **access.options(),
    )
    state(None)
    return client

"""Live samples from NATS: a core subscription, no stream, so what is missed is missed."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from netally.api import metrics
from netally.bus import subjects
from netally.bus.connection import connect
from netally.bus.credentials import PLAIN, BusAccess
from netally.contracts.agent import LiveSample
from netally.contracts.wire import UndecodableError, decode_json

log = structlog.get_logger()


class LiveBus:
    """Connection to the bus. Waits for it for ever, at start and later."""

    def __init__(
        self,
        url: str,
        on_sample: Callable[[LiveSample], bool],
        access: BusAccess = PLAIN,
    ) -> None:
        self._url = url
        self._access = access
        self._on_sample = on_sample
        self._client: Client | None = None
        self.reason = "not connected yet"
        """Why it is away, in plain words; empty while it is there."""

    async def run(self) -> None:
        """Connect and subscribe; returns when that is done (the client then reconnects by itself)."""
        self._client = await connect(self._url, "netally-api", self._on_state, self._access)
        await self._client.subscribe(f"{subjects.LIVE}.*", cb=self._on_message)

    @property
    def client(self) -> Client | None:
        """The connection, for what else is asked on the bus; None before the first one."""
        return self._client

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def _on_message(self, message: Msg) -> None:
        metrics.SAMPLES.labels(self._take(message.subject, message.data)).inc()

    def _take(self, subject: str, data: bytes) -> str:
        try:
            sample = decode_json(data, LiveSample)
        except UndecodableError:
            return "undecodable"
        if subjects.live(sample.host) != subject:
            # The subject is what the server lets a host publish on; the body could claim any name.
            return "wrong_subject"
        return "used" if self._on_sample(sample) else "no_use"

    def _on_state(self, reason: str | None) -> None:
        if reason is None:
            log.info("bus connected")
        elif reason != self.reason:
            log.warning("bus away", reason=reason)
        self.reason = reason or ""

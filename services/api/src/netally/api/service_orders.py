"""What every API instance hears on the bus and answers: forget caches, follow settings."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.errors import Error as JetStreamError

from netally.api.bus import LiveBus
from netally.bus import settings_bucket, subjects
from netally.contracts.commands import CacheOrder, CacheReply, FollowOrder, FollowReply
from netally.contracts.live_settings import ServiceConfig
from netally.contracts.wire import UndecodableError, decode_json, encode_json
from netally.telemetry.logging import log_level, set_log_level

log = structlog.get_logger()

SERVICE = "api"
LOOK_EVERY = 10.0
"""Seconds after which settings are read whatever was heard: a broadcast may be missed while the bus is away."""


class ServiceOrders:
    """``forget`` drops what the instance remembers; entries by cache."""

    def __init__(self, bus: LiveBus, forget: Callable[[], dict[str, int]] = dict) -> None:
        self._bus = bus
        self._forget = forget
        self._level = log_level()
        self._version = 0

    async def run(self) -> None:
        """Listen as soon as the bus is there, and follow settings until cancelled."""
        subscribed: Client | None = None
        while True:
            client = self._bus.client
            if client is not None and client.is_connected:
                try:
                    if subscribed is not client:
                        await client.subscribe(subjects.command_to_services("refresh-cache"), cb=self._refresh)
                        await client.subscribe(subjects.command_to_services("follow-settings"), cb=self._follow)
                        subscribed = client
                    await self._load(client)
                except (nats.errors.Error, JetStreamError, OSError, TimeoutError, UndecodableError) as error:
                    log.debug("settings cannot be read yet", reason=str(error) or type(error).__name__)
            await asyncio.sleep(0.2 if subscribed is None else LOOK_EVERY)

    async def _load(self, client: Client) -> tuple[str, str]:
        """Log level before and after."""
        key = subjects.service_settings_key(SERVICE)
        found, _ = await settings_bucket.read(client.jetstream(timeout=2), key, ServiceConfig)
        before = log_level()
        if found is not None and found.version != self._version:
            self._version = found.version
            set_log_level(found.log_level or self._level)
        return before, log_level()

    async def _refresh(self, message: Msg) -> None:
        try:
            decode_json(message.data, CacheOrder)
        except UndecodableError as error:
            log.warning("broadcast cannot be read", subject=message.subject, reason=str(error))
            return
        await self._reply(message, CacheReply(instance_name(), SERVICE, self._forget()))

    async def _follow(self, message: Msg) -> None:
        client = self._bus.client
        try:
            order = decode_json(message.data, FollowOrder)
        except UndecodableError as error:
            log.warning("broadcast cannot be read", subject=message.subject, reason=str(error))
            return
        if order.service == SERVICE and client is not None:
            before, after = await self._load(client)
            reply = FollowReply(instance_name(), SERVICE, self._version, {"log_level": before}, {"log_level": after})
            await self._reply(message, reply)

    @staticmethod
    async def _reply(message: Msg, answer: CacheReply | FollowReply) -> None:
        if message.reply:
            await message.respond(encode_json(answer))


def instance_name() -> str:
    """Tells instances of a service apart, for people."""
    return f"{SERVICE} on {socket.gethostname()} ({os.getpid()})"

"""What every aggregator hears and answers: forget caches, read the settings anew, stop a command."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from netally.aggregator.dimensions import Dimensions
from netally.aggregator.live_settings import LiveConfig
from netally.bus import subjects
from netally.contracts.commands import CacheOrder, CacheReply, FollowOrder, FollowReply, StopOrder
from netally.contracts.wire import UndecodableError, decode_json, encode_json

log = structlog.get_logger()

SERVICE = "aggregator"


def instance_name() -> str:
    """Tells instances of a service apart, for people."""
    return f"{SERVICE} on {socket.gethostname()} ({os.getpid()})"


class _Sized(Protocol):
    def __len__(self) -> int: ...
    def forget(self) -> None: ...


class Broadcasts:
    """``dimensions`` are all caches of ids of this process."""

    def __init__(
        self,
        client: Client,
        dimensions: Sequence[Dimensions],
        settings: LiveConfig,
        stop_command: Callable[[str, str], bool],
    ) -> None:
        self._client = client
        self._dimensions = dimensions
        self._settings = settings
        self._stop_command = stop_command

    async def run(self, stop: asyncio.Event) -> None:
        """Answer until ``stop`` is set."""
        subscriptions = [
            await self._client.subscribe(subjects.command_to_services(name), cb=answer)
            for name, answer in (
                ("refresh-cache", self._refresh),
                ("follow-settings", self._follow),
                ("stop-command", self._stop),
            )
        ]
        try:
            await stop.wait()
        finally:
            if not self._client.is_closed:
                for subscription in subscriptions:
                    await subscription.unsubscribe()

    async def _refresh(self, message: Msg) -> None:
        try:
            order = decode_json(message.data, CacheOrder)
        except UndecodableError as error:
            log.warning("broadcast cannot be read", subject=message.subject, reason=str(error))
            return
        await _reply(message, CacheReply(instance_name(), SERVICE, self.forget(order.caches)))

    def forget(self, caches: Sequence[str]) -> dict[str, int]:
        """Entries dropped, by cache; all caches when none is named."""
        dropped: dict[str, int] = {}
        for dimensions in self._dimensions:
            parts: dict[str, _Sized] = {
                "hosts": dimensions.hosts, "apps": dimensions.apps, "domains": dimensions.domains
            }  # fmt: skip
            for name, part in parts.items():
                if not caches or name in caches:
                    dropped[name] = dropped.get(name, 0) + len(part)
                    part.forget()
        return dropped

    async def _follow(self, message: Msg) -> None:
        try:
            order = decode_json(message.data, FollowOrder)
            if order.service != SERVICE:
                return
            before, after = await self._settings.load(self._client.jetstream())
        except UndecodableError as error:
            log.warning("broadcast cannot be read", subject=message.subject, reason=str(error))
            return
        reply = FollowReply(
            instance_name(), SERVICE, after.version, msgspec.to_builtins(before), msgspec.to_builtins(after)
        )
        await _reply(message, reply)

    async def _stop(self, message: Msg) -> None:
        try:
            order = decode_json(message.data, StopOrder)
        except UndecodableError as error:
            log.warning("broadcast cannot be read", subject=message.subject, reason=str(error))
            return
        self._stop_command(order.command_id, order.actor)


async def _reply(message: Msg, answer: msgspec.Struct) -> None:
    if message.reply:
        await message.respond(encode_json(answer))

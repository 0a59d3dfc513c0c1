"""Settings that others change while the agent runs, and the broadcasts it answers.

In: the host's key of the bucket ``settings``, read at each (re)connection, and its republished subject. Out: each new
`HostSettings`, given to the agent. No consumer is made on the server, so that none is blind after a restart. What was
followed last is kept in a file, so that a paused host stays paused when it starts while the bus is away.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.errors import Error as JetStreamError

from netally.bus import settings_bucket, subjects
from netally.contracts.commands import CacheOrder, CacheReply
from netally.contracts.live_settings import HostSettings
from netally.contracts.wire import UndecodableError, decode_json, encode_json

READ_AGAIN: Final = 0.5
"""Seconds after which a bucket that did not answer is asked again; it may not be there yet."""
LOOK_EVERY: Final = 15.0
"""Seconds after which it is read whatever was heard."""

NOTHING_SET: Final = HostSettings()

log = structlog.get_logger()

Hear = Callable[[Msg], Awaitable[None]]
Forget = Callable[[Sequence[str]], dict[str, int]]
"""Drops caches (all when none is named); entries dropped by cache."""


def remembered(path: Path) -> HostSettings:
    """What was followed last; the defaults when the file is not there or says nothing that can be understood."""
    try:
        return decode_json(path.read_bytes(), HostSettings)
    except FileNotFoundError:
        return NOTHING_SET
    except (OSError, UndecodableError) as error:
        log.warning("settings followed before cannot be read", path=str(path), reason=str(error))
        return NOTHING_SET


def remember(path: Path, settings: HostSettings) -> None:
    """Keep it for the next start: the file is replaced whole."""
    beside = path.with_name(f"{path.name}.new")
    try:
        with beside.open("wb") as file:
            file.write(encode_json(settings))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        log.warning("settings followed cannot be kept for the next start", path=str(path), reason=error.strerror)


class SettingsFollower:
    """``apply`` is called with every change. ``connected`` is set at each (re)connection by whoever owns the client.

    ``current`` are the settings to begin with; ``also`` is what else is heard on the same connection, by subject.
    """

    def __init__(
        self,
        host: str,
        apply: Callable[[HostSettings], None],
        forget: Forget,
        current: HostSettings = NOTHING_SET,
        also: Mapping[str, Hear] | None = None,
    ) -> None:
        self._host = host
        self._apply = apply
        self._forget = forget
        self.current = current
        self._also = also or {}
        self.connected = asyncio.Event()

    async def run(self, client: Callable[[], Client | None]) -> None:
        """Follow until cancelled."""
        subscribed: Client | None = None
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await self.connected.wait()
            now = client()
            if now is None or not now.is_connected:
                self.connected.clear()
                continue
            self.connected.clear()
            try:
                if subscribed is not now:
                    # Before the first read, so that nothing falls between. The client renews them by itself.
                    await now.subscribe(subjects.host_settings(self._host), cb=self._heard)
                    await now.subscribe(subjects.command_to_hosts("refresh-cache"), cb=self._refresh)
                    for subject, hear in self._also.items():
                        await now.subscribe(subject, cb=hear)
                    subscribed = now
                await self._read(now)
            except (nats.errors.Error, JetStreamError, OSError, TimeoutError) as error:
                log.debug("settings cannot be read yet", reason=str(error) or type(error).__name__)
                await asyncio.sleep(READ_AGAIN)
                self.connected.set()

    async def _read(self, client: Client) -> None:
        heard = self.current.version
        try:
            found, _ = await settings_bucket.read(
                js := client.jetstream(timeout=2), subjects.host_settings_key(self._host), HostSettings
            )
            if found is None:
                found, _ = await settings_bucket.read(js, subjects.new_hosts_settings_key(), HostSettings)
        except UndecodableError as error:
            log.warning("settings cannot be understood", reason=str(error))
            return
        # What was heard meanwhile is newer than what was asked for before. A bus that knows nothing of this host is
        # another one, or has lost what it knew.
        if self.current.version == heard:
            self._take(found or NOTHING_SET)

    async def _heard(self, message: Msg) -> None:
        try:
            self._take(decode_json(message.data, HostSettings))
        except UndecodableError as error:
            log.warning("settings cannot be understood", reason=str(error))

    def _take(self, settings: HostSettings) -> None:
        if settings != self.current:
            self.current = settings
            log.info("settings followed", version=settings.version, paused=settings.paused, interval=settings.interval)
            self._apply(settings)

    async def _refresh(self, message: Msg) -> None:
        try:
            order = decode_json(message.data, CacheOrder)
        except UndecodableError as error:
            log.warning("broadcast cannot be understood", reason=str(error))
            return
        if (order.hosts is None or self._host in order.hosts) and message.reply:
            await message.respond(encode_json(CacheReply(self._host, "capture", self._forget(order.caches))))

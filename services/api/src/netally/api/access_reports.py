"""Tells the bus which tokens and sessions were used and which ended, and hears the same from other instances.

The API writes nothing: the aggregator keeps what is told here. Uses are gathered for some seconds; that a session was
opened or ended is told at once, and kept until the bus takes it.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.errors import Error as JetStreamError

from netally.api.access_state import AccessState
from netally.api.bus import LiveBus
from netally.api.service_orders import instance_name
from netally.bus import subjects
from netally.contracts.access import AccessUsed, SessionUse, TokenUse
from netally.contracts.wire import UndecodableError, decode_json, encode_json

TELL_EVERY: Final = 5.0
RETRY: Final = 0.5
MOST_AT_ONCE: Final = 500
MOST_KEPT: Final = 20_000

log = structlog.get_logger()


class AccessReports:
    def __init__(self, bus: LiveBus, state: AccessState) -> None:
        self._bus = bus
        self._state = state
        self._sessions: dict[str, SessionUse] = {}
        self._tokens: dict[str, int] = {}
        self._urgent = asyncio.Event()

    def session(self, use: SessionUse, *, at_once: bool = False) -> None:
        """A session was used; ``at_once`` when it was opened or ended."""
        known = self._sessions.pop(use.number, use)
        # What ended goes to the end: it is dropped last.
        self._sessions[use.number] = msgspec.structs.replace(use, ended=use.ended or known.ended)
        while len(self._sessions) > MOST_KEPT:
            del self._sessions[next(iter(self._sessions))]
        self._state.heard(use)
        if at_once:
            self._urgent.set()

    async def opened(self, use: SessionUse) -> bool | None:
        """Tell that a login code has opened its session: whether this was the first time, of all instances; None when
        the bus does not take it (it is told as soon as it does).
        """
        first = await self._claim(use)
        if first is not False:
            self.session(use, at_once=True)
        return first

    async def _claim(self, use: SessionUse) -> bool | None:
        client = self._bus.client
        if client is None or not client.is_connected:
            return None
        report = AccessUsed(instance_name(), [use], [])
        try:
            # The stream knows a message's id for longer than a code is good: the second one is told that it is.
            acknowledged = await client.jetstream(timeout=2).publish(
                subjects.access_used(), encode_json(report), headers={"Nats-Msg-Id": f"opened-{use.number}"}
            )
        except (nats.errors.Error, JetStreamError, OSError, TimeoutError) as error:
            log.warning("the bus does not take that a session was opened", reason=str(error) or type(error).__name__)
            return None
        return not acknowledged.duplicate

    def token(self, token: str, now: int) -> None:
        self._tokens[token] = now

    async def run(self) -> None:
        """Until cancelled."""
        subscribed: Client | None = None
        while True:
            told = False
            client = self._bus.client
            if client is not None and client.is_connected:
                try:
                    if subscribed is not client:
                        await client.subscribe(subjects.access_used(), cb=self._hear)
                        await client.subscribe(subjects.access_changed(), cb=self._changed)
                        subscribed = client
                    await self._tell(client)
                    told = True
                except (nats.errors.Error, JetStreamError, OSError, TimeoutError) as error:
                    log.debug("use of tokens and sessions not told yet", reason=str(error) or type(error).__name__)
            if told:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(TELL_EVERY):
                        await self._urgent.wait()
            else:
                await asyncio.sleep(RETRY)

    async def _tell(self, client: Client) -> None:
        self._urgent.clear()
        while self._sessions or self._tokens:
            sessions = list(self._sessions.values())[:MOST_AT_ONCE]
            tokens = list(self._tokens.items())[:MOST_AT_ONCE]
            report = AccessUsed(instance_name(), sessions, [TokenUse(*one) for one in tokens])
            await client.jetstream(timeout=2).publish(subjects.access_used(), encode_json(report))
            # What was used again meanwhile is told again.
            for session in sessions:
                if self._sessions.get(session.number) is session:
                    del self._sessions[session.number]
            for token, last_used in tokens:
                if self._tokens.get(token) == last_used:
                    del self._tokens[token]

    async def _hear(self, message: Msg) -> None:
        try:
            report = decode_json(message.data, AccessUsed)
        except UndecodableError as error:
            log.warning("report cannot be read", subject=message.subject, reason=str(error))
            return
        for session in report.sessions:
            self._state.heard(session)

    async def _changed(self, _: Msg) -> None:
        self._state.changed()

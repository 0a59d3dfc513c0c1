"""A stand-in for the API's connection to the bus that knows one setting."""

from __future__ import annotations

from typing import Any, cast

from nats.js.api import RawStreamMsg

from netally.api.bus import LiveBus


class SettingsBus:
    """``answer`` is the value of every key: bytes, or what is raised."""

    def __init__(self, answer: bytes | Exception, *, connected: bool = True) -> None:
        self.answer = answer
        self.is_connected = connected
        self.asked: list[str] = []

    @property
    def client(self) -> SettingsBus:
        return self

    def jetstream(self, **_: Any) -> SettingsBus:
        return self

    async def get_msg(self, stream: str, *, subject: str, direct: bool) -> RawStreamMsg:
        self.asked.append(subject)
        if isinstance(self.answer, Exception):
            raise self.answer
        return RawStreamMsg(subject=subject, seq=1, data=self.answer)

    def as_bus(self) -> LiveBus:
        return cast("LiveBus", self)

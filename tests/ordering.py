"""Orders commands as a raw NATS client does, and waits for what becomes of them; a fixture that does."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from nats.aio.client import Client

from netally.bus import subjects
from netally.contracts.commands import FINAL_STATES, Command, Outcome
from netally.contracts.wire import decode_json, encode_json


def make_command(name: str, arguments: dict[str, Any] | None = None, **changes: Any) -> Command:
    values: dict[str, Any] = {
        "id": uuid.uuid4().hex,
        "name": name,
        "arguments": arguments or {},
        "actor": "a script",
    }
    return Command(**{**values, **changes})


class Orders:
    """Publishes commands and hears every outcome."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._heard: dict[str, list[Outcome]] = {}
        self._news = asyncio.Condition()

    async def listen(self) -> None:
        async def hear(message: Any) -> None:
            outcome = decode_json(message.data, Outcome)
            async with self._news:
                self._heard.setdefault(outcome.command_id, []).append(outcome)
                self._news.notify_all()

        await self._client.subscribe(f"{subjects.OUTCOMES}.>", cb=hear)
        await self._client.flush()

    async def send(self, command: Command) -> Command:
        """The stream's own acknowledgement means that it is stored."""
        await self._client.jetstream().publish(subjects.command_to_aggregator(command.name), encode_json(command))
        return command

    def states(self, command: Command) -> list[str]:
        return [outcome.state for outcome in self._heard.get(command.id, [])]

    async def until(self, command: Command, *states: str, within: float = 30) -> Outcome:
        """The first outcome in one of the states (the final ones when none is given)."""
        wanted = states or tuple(FINAL_STATES)
        async with asyncio.timeout(within), self._news:
            while True:
                for outcome in self._heard.get(command.id, []):
                    if outcome.state in wanted:
                        return outcome
                await self._news.wait()

    async def run(self, name: str, arguments: dict[str, Any] | None = None, **changes: Any) -> Outcome:
        return await self.until(await self.send(make_command(name, arguments, **changes)))


@pytest.fixture
async def orders(nats_client: Client) -> Orders:
    orders = Orders(nats_client)
    await orders.listen()
    return orders

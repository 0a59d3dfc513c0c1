from __future__ import annotations

import asyncio
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from litestar import Request

from netally.api.export import _unless_client_leaves, disposition
from netally.contracts.command_answers import CommandRow


def test_a_plain_name() -> None:
    assert disposition("a-1.csv") == "attachment; filename=\"a-1.csv\"; filename*=UTF-8''a-1.csv"


@given(st.text(max_size=50))
def test_no_name_leaves_its_quotes(name: str) -> None:
    header = disposition(name)
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2
    assert header.count(";") == 2


class Client:
    """Sends its request, and leaves when told to."""

    def __init__(self) -> None:
        self.leaves = asyncio.Event()
        self._sent = False

    async def receive(self) -> dict[str, Any]:
        if not self._sent:
            self._sent = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.leaves.wait()
        return {"type": "http.disconnect"}


async def test_nothing_is_waited_for_when_the_client_has_left() -> None:
    client = Client()
    waiting: asyncio.Task[CommandRow] = asyncio.create_task(asyncio.Event().wait())  # type: ignore[arg-type]
    watched = asyncio.create_task(_unless_client_leaves(waiting, cast("Request[Any, Any, Any]", client)))
    await asyncio.sleep(0)
    client.leaves.set()
    assert await watched is False
    assert waiting.cancelled()


async def test_what_is_done_is_answered() -> None:
    waiting: asyncio.Task[CommandRow] = asyncio.create_task(asyncio.sleep(0, cast("CommandRow", "row")))
    assert await _unless_client_leaves(waiting, cast("Request[Any, Any, Any]", Client()))
    assert waiting.result() == cast("CommandRow", "row")

"""The KV bucket ``settings``: what changes while things run. Read by key, without a consumer; written by the aggregator
alone.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec
from nats.js import JetStreamContext
from nats.js.errors import APIError, BadRequestError, NotFoundError

from netally.bus.streams import SETTINGS_BUCKET
from netally.contracts.wire import decode_json, encode_json

T = TypeVar("T")

_STREAM: Final = f"KV_{SETTINGS_BUCKET}"
_WRONG_LAST_SEQUENCE: Final = 10_071


class OvertakenError(Exception):
    """Somebody else changed the key since it was read."""


async def read(js: JetStreamContext, key: str, kind: type[T]) -> tuple[T | None, int]:
    """Value of a key and its revision; (None, 0) when it has none. Raises UndecodableError, and what nats-py raises
    when the bus is away or the bucket is not there yet (NotFoundError stands for the key alone).
    """
    try:
        message = await js.get_msg(_STREAM, subject=f"$KV.{SETTINGS_BUCKET}.{key}", direct=True)
    except NotFoundError:
        return None, 0
    if not message.data:
        return None, message.seq or 0
    return decode_json(message.data, kind), message.seq or 0


async def write(js: JetStreamContext, key: str, value: msgspec.Struct, revision: int) -> None:
    """Replace a value that has this revision (0: none). Raises OvertakenError when it has another by now."""
    try:
        await js.publish(
            f"$KV.{SETTINGS_BUCKET}.{key}",
            encode_json(value),
            headers={"Nats-Expected-Last-Subject-Sequence": str(revision)},
        )
    except (BadRequestError, APIError) as error:
        if error.err_code == _WRONG_LAST_SEQUENCE:
            raise OvertakenError(key) from None
        raise

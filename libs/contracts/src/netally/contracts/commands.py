"""Commands and their outcomes. Every manual operation and every change of state is one."""

from __future__ import annotations

from typing import Any

import msgspec

OUTCOME_STATES = ("accepted", "progress", "succeeded", "failed", "cancelled", "expired")


class Command(msgspec.Struct, frozen=True):
    """An order on ``commands.v1.<target>.<name>``."""

    id: str
    """32 hex digits, made by the sender; the outcome carries it."""
    name: str
    arguments: dict[str, Any] = {}
    actor: str = ""
    """Who ordered it; ``actor_verified`` says whether that was proven."""
    actor_verified: bool = False
    dry_run: bool = False
    idempotency_key: str | None = None
    issued_at: int = 0
    """Epoch milliseconds."""
    deadline: int | None = None
    """Epoch milliseconds after which it must not start any more."""


class Outcome(msgspec.Struct, frozen=True):
    """What became of a command, on ``outcomes.v1.<source>.<command_id>``."""

    command_id: str
    source: str
    """Who answers: ``aggregator`` or a host."""
    state: str
    """One of `OUTCOME_STATES`."""
    time: int
    """Epoch milliseconds."""
    message: str = ""
    """Plain words for people."""
    result: dict[str, Any] = {}
    field: str | None = None
    """The argument at fault, for refusals."""


class DeadLetter(msgspec.Struct, frozen=True):
    """A message that can never be stored, on ``deadletters.v1.<stream>``, with the reason."""

    stream: str
    subject: str
    stream_sequence: int
    reason: str
    time: int
    payload: bytes
    """The body as it came, cut at 512 KiB (base64 in JSON)."""

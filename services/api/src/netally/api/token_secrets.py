"""Tokens as text, ``netally_<id>_<secret>``, and their hashes: only the id and Argon2id of the text are kept.

Argon2 (RFC 9106) is slow by design; a token that was found right once is known by its SHA-256 from then on, in memory,
and only few are computed at a time.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

import argon2

from netally.api.problems import unavailable

T = TypeVar("T")

_FORM: Final = re.compile(r"netally_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
# What OWASP asks for at least. The secret has 256 bits of its own: the hash is for whoever reads the database.
_HASHER: Final = argon2.PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
AT_ONCE: Final = 2
MOST_WAITING: Final = 50
MOST_KNOWN: Final = 10_000


class NewSecret(NamedTuple):
    token: str
    """Its id."""
    text: str
    """To be shown once."""

    def __repr__(self) -> str:
        return f"NewSecret({self.token})"


def new_secret() -> NewSecret:
    token = secrets.token_hex(8)
    return NewSecret(token, f"netally_{token}_{secrets.token_urlsafe(32)}")


def id_of(text: str) -> str:
    """Id of a token; empty for a text that is none."""
    found = _FORM.fullmatch(text)
    return found[1] if found else ""


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


class TokenHashing:
    """Hashes and checks, a few at a time, in threads."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        self._right: dict[tuple[bytes, str], None] = {}

    async def hash(self, text: str) -> str:
        return await self._compute(_HASHER.hash, text)

    def is_known(self, text: str, hashed: str) -> bool:
        """Whether it was found right before."""
        return (digest(text), hashed) in self._right

    async def is_right(self, text: str, hashed: str) -> bool:
        """Raises the 503 problem while too many wait."""
        if self.is_known(text, hashed):
            return True
        try:
            await self._compute(_HASHER.verify, hashed, text)
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False
        self._right[(digest(text), hashed)] = None
        while len(self._right) > MOST_KNOWN:
            del self._right[next(iter(self._right))]
        return True

    async def _compute(self, function: Callable[..., T], *arguments: str) -> T:
        if self._waiting >= MOST_WAITING:
            raise unavailable("Too many tokens are being checked at the moment.")
        self._waiting += 1
        try:
            async with self._free:
                return await asyncio.to_thread(function, *arguments)
        finally:
            self._waiting -= 1

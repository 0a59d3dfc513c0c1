"""Files in the Object Store bucket ``exports``: written in pieces as they are made, read piece by piece.

The layout is NATS's own (chunks on ``$O.exports.C.<nuid>``, the meta message on ``$O.exports.M.<name>``), so that any
client can read them. nats-py's own writer wants the whole file beforehand, its reader a file to write into.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final

import msgspec
import nats.errors
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from nats.js.errors import APIError, NotFoundError

from netally.bus.streams import EXPORTS_BUCKET

PIECE: Final = 256 * 1024
_STREAM: Final = f"OBJ_{EXPORTS_BUCKET}"
_FULL: Final = 10_077
_TRIES: Final = 5
_AHEAD: Final = 4
"""Pieces that are made while one is on its way."""


class StoreFullError(Exception):
    """The bucket has no room for the rest of the file."""


class Stored(msgspec.Struct, frozen=True):
    name: str
    nuid: str
    """Names its pieces."""
    size: int
    pieces: int
    sha256: str
    """Hexadecimal."""


def _meta_subject(name: str) -> str:
    return f"$O.{EXPORTS_BUCKET}.M.{base64.urlsafe_b64encode(name.encode()).decode()}"


def _piece_subject(nuid: str) -> str:
    return f"$O.{EXPORTS_BUCKET}.C.{nuid}"


class FileWriter:
    """``async with FileWriter(js, nuid, name) as file: await file.write(…); await file.publish()``.

    Until `publish` there is nothing under the name. Left without it, whatever the reason, its pieces are removed; those
    of a process that died are removed by the next writer with the same ``nuid`` and name, or age out.
    """

    def __init__(self, js: JetStreamContext, nuid: str, name: str) -> None:
        self._js = js
        self._nuid = nuid
        self._name = name
        self._writer = uuid.uuid4().hex
        self._buffer = bytearray()
        self._pieces_made: asyncio.Queue[bytes] = asyncio.Queue(_AHEAD)
        self._sending: asyncio.Task[None] | None = None
        self._error: Exception | None = None
        self._digest = hashlib.sha256()
        self._size = 0
        self._pieces = 0
        self._published = False

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._size

    async def __aenter__(self) -> FileWriter:
        # The name first: it must not lead to pieces that are no more.
        await self._js.purge_stream(_STREAM, subject=_meta_subject(self._name))
        await self._js.purge_stream(_STREAM, subject=_piece_subject(self._nuid))
        self._sending = asyncio.create_task(self._send_all())
        return self

    async def write(self, data: bytes) -> None:
        """Raises StoreFullError, and what nats-py raises when the bus stays away; both a few pieces late."""
        self._buffer += data
        self._size += len(data)
        while len(self._buffer) >= PIECE:
            await self._pieces_made.put(bytes(self._buffer[:PIECE]))
            del self._buffer[:PIECE]
            if self._error is not None:
                raise self._error

    async def _send_all(self) -> None:
        """One piece after the other, so that they lie in the stream in order, while the next ones are made."""
        while True:
            piece = await self._pieces_made.get()
            try:
                if self._error is None:
                    await self._send(piece)
            except Exception as error:  # noqa: BLE001  (raised by whoever writes next)
                self._error = error
            finally:
                self._pieces_made.task_done()

    async def _send(self, piece: bytes) -> None:
        identity = f"{self._writer}:{self._pieces}"
        for last in (*[False] * (_TRIES - 1), True):
            try:
                # The identity keeps a piece from being stored twice when only its acknowledgement was lost. It is this
                # writer's: the server would take the next one's pieces for those of one that died, and drop them.
                await self._js.publish(_piece_subject(self._nuid), piece, headers={"Nats-Msg-Id": identity}, timeout=10)
                break
            except APIError as error:
                if error.err_code == _FULL or "maximum bytes" in (error.description or ""):
                    raise StoreFullError("there is no room left for exports") from None
                raise
            except (TimeoutError, nats.errors.Error, OSError):
                if last:
                    raise
                await asyncio.sleep(1)
        self._digest.update(piece)
        self._pieces += 1

    async def digest(self) -> str:
        """SHA-256 of all that was written, which is then all sent."""
        if self._buffer:
            await self._pieces_made.put(bytes(self._buffer))
            self._buffer.clear()
        await self._pieces_made.join()
        if self._error is not None:
            raise self._error
        return self._digest.hexdigest()

    async def publish(self) -> Stored:
        """Send what is left and give the file its name."""
        sha256 = await self.digest()
        stored = Stored(self._name, self._nuid, self._size, self._pieces, sha256)
        digest = base64.urlsafe_b64encode(self._digest.digest()).decode()
        meta: dict[str, Any] = {
            "name": self._name,
            "bucket": EXPORTS_BUCKET,
            "nuid": self._nuid,
            "size": stored.size,
            "chunks": stored.pieces,
            "digest": f"SHA-256={digest}",
            "mtime": datetime.now(UTC).isoformat(),
            "options": {"max_chunk_size": PIECE},
        }
        await self._js.publish(_meta_subject(self._name), json.dumps(meta).encode(), headers={"Nats-Rollup": "sub"})
        self._published = True
        return stored

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sending is not None:
            await _end(self._sending)
        if not self._published:
            with contextlib.suppress(nats.errors.Error, APIError, OSError, TimeoutError):
                await self._js.purge_stream(_STREAM, subject=_piece_subject(self._nuid))


async def find(js: JetStreamContext, name: str) -> Stored | None:
    """The file of that name; None when there is none, or no more. Raises what nats-py raises."""
    try:
        message = await js.get_msg(_STREAM, subject=_meta_subject(name), direct=True)
    except NotFoundError:
        return None
    meta = json.loads(message.data or b"{}")
    if meta.get("deleted"):
        return None
    digest = base64.urlsafe_b64decode(meta["digest"].partition("=")[2]).hex()
    return Stored(name, meta["nuid"], meta["size"], meta["chunks"], digest)


async def read(js: JetStreamContext, stored: Stored) -> AsyncIterator[bytes]:
    """Its pieces; while one is used the next is fetched. Raises NotFoundError when it ages out meanwhile."""
    subject = _piece_subject(stored.nuid)

    def ask(sequence: int) -> asyncio.Task[RawStreamMsg]:
        return asyncio.create_task(js.get_msg(_STREAM, seq=sequence, next=True, subject=subject, direct=True))

    asked = ask(1)
    try:
        for left in reversed(range(stored.pieces)):
            message = await asked
            if left:
                asked = ask((message.seq or 0) + 1)
            yield message.data or b""
    finally:
        await _end(asked)


async def _end(task: asyncio.Task[Any]) -> None:
    """Cancel and wait; again when the cancellation was swallowed (wait_for, before Python 3.12)."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=1)
    if not task.cancelled():
        task.exception()

"""Batches on disk until the bus has them: SQLite in WAL mode, one file, oldest out first.

The file is the identity of a series of batches: its epoch is minted when it is made, its sequence goes on over restarts
and never has a hole. A batch that has to be dropped is hollowed out: its identity stays, its traffic counts as lost.
"""

from __future__ import annotations

import contextlib
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import structlog

from netally.contracts.codes import Cause
from netally.contracts.flow import Coverage, FlowsObserved, TallyRow
from netally.contracts.wire import UndecodableError, decode_batch, encode_batch

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS identity (epoch TEXT NOT NULL, sequence INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS batch (
    sequence INTEGER PRIMARY KEY, host TEXT NOT NULL, created REAL NOT NULL, hollow INTEGER NOT NULL, body BLOB NOT NULL
);
"""
_HOLLOWED_AT_ONCE: Final = 64

log = structlog.get_logger()


class SpooledBatch(NamedTuple):
    sequence: int
    host: str
    body: bytes


class Spool:
    """One open spool file. Not for several threads at once. Times are epoch seconds, given by the caller.

    ``append`` never raises for a full or broken disk: the batch is counted in ``lost_batches``.
    """

    def __init__(self, path: Path, *, max_bytes: int, max_age: float) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._max_age = max_age
        self.lost_batches = 0
        self.problem = ""
        """Why the last batch could not be written, in plain words; empty when it could."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._open()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            # Not a database: kept aside for who wants to look, and begun anew under a new epoch.
            aside = path.with_suffix(f".broken-{uuid.uuid4().hex[:8]}")
            path.rename(aside)
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            log.warning("spool file is damaged and was put aside", path=str(aside), error=str(error))
            self._open()

    def _open(self) -> None:
        self._database = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        self._path.chmod(0o600)
        self._database.execute("PRAGMA journal_mode=WAL")
        # Not NORMAL: there a power cut takes back the last transactions. Their sequences, which the bus may have, would
        # be given to other batches, and those be taken for duplicates.
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.execute("PRAGMA journal_size_limit=16777216")
        self._database.executescript(_SCHEMA)
        with self._transaction():
            row = self._database.execute("SELECT epoch, sequence FROM identity").fetchone()
            if row is None:
                row = (uuid.uuid4().hex, 0)
                self._database.execute("INSERT INTO identity VALUES (?, ?)", row)
        self.epoch, self.sequence = str(row[0]), int(row[1])
        count, size = self._database.execute("SELECT count(*), coalesce(sum(length(body)), 0) FROM batch").fetchone()
        self.batches, self.bytes = int(count), int(size)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def append(self, batches: list[FlowsObserved], now: float) -> list[int]:
        """Give batches epoch and sequence and keep them, all or none; their sequences, empty when none was kept."""
        first = self.sequence + 1
        rows = []
        for sequence, batch in enumerate(batches, first):
            body = encode_batch(msgspec.structs.replace(batch, epoch=self.epoch, sequence=sequence))
            rows.append((sequence, batch.host, now, 0, body))
        try:
            with self._transaction():
                self._database.executemany("INSERT INTO batch VALUES (?, ?, ?, ?, ?)", rows)
                self._database.execute("UPDATE identity SET sequence = ?", (first + len(rows) - 1,))
        except sqlite3.Error as error:
            self.lost_batches += len(rows)
            if not self.problem:
                log.error("batch lost, the spool cannot be written", path=str(self._path), error=str(error))
            self.problem = f"cannot write {self._path}: {error}"
            return []
        self.problem = ""
        self.sequence = first + len(rows) - 1
        self.batches += len(rows)
        self.bytes += sum(len(row[4]) for row in rows)
        self._bound(now)
        return [row[0] for row in rows]

    def oldest(self, limit: int) -> list[SpooledBatch]:
        """The batches that wait longest, in order."""
        rows = self._database.execute("SELECT sequence, host, body FROM batch ORDER BY sequence LIMIT ?", (limit,))
        return [SpooledBatch(*row) for row in rows]

    def delete(self, sequences: list[int]) -> None:
        """Forget batches that the bus has stored."""
        try:
            with self._transaction():
                for sequence in sequences:
                    row = self._database.execute(
                        "DELETE FROM batch WHERE sequence = ? RETURNING length(body)", (sequence,)
                    ).fetchone()
                    if row is not None:
                        self.batches -= 1
                        self.bytes -= int(row[0])
        except sqlite3.Error as error:
            # They will be sent again, and be known as duplicates.
            log.warning("cannot delete from the spool", path=str(self._path), error=str(error))
            self._recount()

    def _recount(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            count, size = self._database.execute(
                "SELECT count(*), coalesce(sum(length(body)), 0) FROM batch"
            ).fetchone()
            self.batches, self.bytes = int(count), int(size)

    def _bound(self, now: float) -> None:
        """Hollow out the oldest batches while the spool is too large, and all that are too old."""
        oldest = now - self._max_age
        try:
            while True:
                rows = self._database.execute(
                    "SELECT sequence, created, body FROM batch WHERE NOT hollow AND (? OR created < ?)"
                    " ORDER BY sequence LIMIT ?",
                    (self.bytes > self._max_bytes, oldest, _HOLLOWED_AT_ONCE),
                ).fetchall()
                if not rows:
                    return
                before = self.lost_batches
                with self._transaction():
                    for sequence, created, body in rows:
                        if self.bytes > self._max_bytes or created < oldest:
                            self._hollow_out(sequence, body)
                log.warning("spool is full, oldest batches are lost", batches=self.lost_batches - before)
        except sqlite3.Error as error:
            self.problem = f"cannot write {self._path}: {error}"
            self._recount()

    def _hollow_out(self, sequence: int, body: bytes) -> None:
        shell = hollow(body)
        self._database.execute("UPDATE batch SET hollow = 1, body = ? WHERE sequence = ?", (shell, sequence))
        self.bytes += len(shell) - len(body)
        self.lost_batches += 1

    def close(self) -> None:
        self._database.close()


def hollow(body: bytes) -> bytes:
    """The batch with everything measured counted as lost: no records, nothing measured, but the same interface sums."""
    try:
        batch = decode_batch(body)
    except UndecodableError:
        return body
    sums: dict[str, list[int]] = {}
    for row in batch.tally:
        amounts = sums.setdefault(row.interface, [0, 0, 0, 0])
        for column, value in enumerate((row.bytes_in, row.bytes_out, row.packets_in, row.packets_out)):
            amounts[column] += value
    coverage = batch.coverage
    return encode_batch(
        msgspec.structs.replace(
            batch,
            apps=batch.apps[:1],
            domains=batch.domains[:1],
            records=[],
            coverage=Coverage(coverage.mode, 0, coverage.part, coverage.parts, coverage.paused),
            tally=[TallyRow(name, int(Cause.LOST_SPOOL), *amounts) for name, amounts in sums.items()],
        )
    )

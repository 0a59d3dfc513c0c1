"""Sends a capture to the bus as a host of kind ``replay``: a file in, batches out through spool and publisher."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from netally.bus.credentials import BusSettings, host_inbox, read_access
from netally.capture.capture_file import CaptureFile
from netally.capture.publisher import Publisher
from netally.capture.replay import CaptureReader
from netally.capture.replay_batches import replay_batches
from netally.capture.settings import Settings
from netally.capture.spool import Spool
from netally.contracts.agent import AgentReported
from netally.contracts.codes import Mode
from netally.telemetry.settings import load_settings

PATIENCE: Final = 20.0
"""Seconds without a batch getting through before the replay gives up."""
_WAITING_BATCHES: Final = 256
"""Batches spooled before reading waits for the bus."""
_POLL: Final = 0.05
_KEEP: Final = 1 << 62


class SendError(Exception):
    """The capture could not be sent whole; the message says why and how far it got."""


class Sent(NamedTuple):
    """What a replay brought to the bus."""

    batches: int
    records: int
    first: float
    """Epoch seconds of the first interval as sent."""
    last: float
    """End of the last one."""


def last_time(stream: BinaryIO) -> float | None:
    """Time of the latest frame, epoch seconds; None for a capture without frames. Reads the stream to its end."""
    return max((frame.time / 1e9 for frame in CaptureFile(stream)), default=None)


async def send(reader: CaptureReader, settings: Settings, *, host: str, shift: float) -> Sent:
    """Send the capture, moved by ``shift`` seconds, as host ``host``. SendError when the bus does not take it."""
    with tempfile.TemporaryDirectory(prefix="netally-replay-") as directory:
        spool = Spool(Path(directory) / "spool.sqlite3", max_bytes=_KEEP, max_age=float(_KEEP))
        disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spool")
        access = read_access(load_settings(BusSettings), host_inbox(host))
        publisher = Publisher(settings.nats_url, spool, disk, access)
        publishing = asyncio.create_task(publisher.run())
        try:
            await _connected(publisher)
            await publisher.report(_state(settings, host, spool))
            sent = await _spool_all(reader, settings, host, shift, spool, publisher, disk)
            await _drained(spool, publisher, below=1)
            await publisher.report(_state(settings, host, spool))
            return sent
        finally:
            publishing.cancel()
            await asyncio.gather(publishing, return_exceptions=True)
            with contextlib.suppress(Exception):
                await publisher.finish(1.0)
            disk.shutdown()
            spool.close()


async def _spool_all(
    reader: CaptureReader,
    settings: Settings,
    host: str,
    shift: float,
    spool: Spool,
    publisher: Publisher,
    disk: ThreadPoolExecutor,
) -> Sent:
    loop = asyncio.get_running_loop()
    batches = records = 0
    first = last = 0.0
    cuts = replay_batches(
        reader, reader.names, host=host, interval=settings.interval, shift=shift, flow_limit=settings.flow_limit
    )
    for parts in cuts:
        await loop.run_in_executor(disk, spool.append, parts, time.time())
        if spool.problem:
            raise SendError(spool.problem)
        publisher.wake()
        first = first or parts[0].start / 1000
        last = parts[0].start / 1000 + settings.interval
        batches += len(parts)
        records += sum(len(part.records) for part in parts)
        await _drained(spool, publisher, below=_WAITING_BATCHES)
    return Sent(batches, records, first, last)


async def _connected(publisher: Publisher) -> None:
    deadline = time.monotonic() + PATIENCE
    while not publisher.connected:
        if time.monotonic() > deadline:
            raise SendError(f"{publisher.problem}. Is Netally running, and does NETALLY_NATS_URL name its bus?")
        await asyncio.sleep(_POLL)


async def _drained(spool: Spool, publisher: Publisher, *, below: int) -> None:
    """Wait until fewer than ``below`` batches are unsent; SendError when none gets through for `PATIENCE`."""
    waiting, deadline = spool.batches, time.monotonic() + PATIENCE
    while spool.batches >= below:
        if spool.batches < waiting:
            waiting, deadline = spool.batches, time.monotonic() + PATIENCE
        if time.monotonic() > deadline:
            sent = spool.sequence - spool.batches
            raise SendError(f"{publisher.problem or 'the bus takes no batches'} ({sent:,} batches were sent)")
        await asyncio.sleep(_POLL)


def _state(settings: Settings, host: str, spool: Spool) -> AgentReported:
    now = round(time.time() * 1000)
    return AgentReported(
        host=host,
        time=now,
        version=version("netally-capture"),
        started_at=now,
        mode=Mode.REPLAY.label,
        mode_reason="a capture file",
        interval=settings.interval,
        paused=False,
        interfaces=[],
        epoch=spool.epoch,
        sequence=spool.sequence,
        spool_batches=spool.batches,
        spool_bytes=spool.bytes,
        kind="replay",
    )

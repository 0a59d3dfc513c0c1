"""An agent without packets: the capture service's own spool and publisher, fed with batches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

from netally.capture.publisher import Publisher
from netally.capture.spool import Spool
from netally.contracts.flow import FlowsObserved

DAY = 86_400


class SpoolingAgent:
    """Appends batches as the agent does at the end of an interval; the publisher drains them meanwhile."""

    def __init__(self, spool: Spool, publisher: Publisher, disk: ThreadPoolExecutor) -> None:
        self.spool = spool
        self.publisher = publisher
        self._disk = disk

    async def observe(self, batches: Sequence[FlowsObserved]) -> int:
        """How many of the batches were kept."""
        kept = await asyncio.get_running_loop().run_in_executor(
            self._disk, lambda: self.spool.append(list(batches), time.time())
        )
        self.publisher.wake()
        return len(kept)


@asynccontextmanager
async def spooling_agent(nats_url: str, path: Path, max_bytes: int = 256 * 1024**2) -> AsyncIterator[SpoolingAgent]:
    """An agent that publishes until the block ends."""
    disk = ThreadPoolExecutor(1)
    spool = Spool(path, max_bytes=max_bytes, max_age=5 * DAY)
    publisher = Publisher(nats_url, spool, disk)
    publishing = asyncio.create_task(publisher.run())
    try:
        yield SpoolingAgent(spool, publisher, disk)
    finally:
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)
        await publisher.finish(0)
        disk.shutdown()
        spool.close()

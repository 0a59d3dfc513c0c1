"""Flow batches: the sink of stream FLOWS."""

from __future__ import annotations

from collections.abc import Sequence

from nats.aio.msg import Msg

from netally.aggregator.writer import Writer
from netally.bus import subjects
from netally.contracts.flow import FlowsObserved
from netally.contracts.wire import UndecodableError, decode_batch


class FlowSink:
    """Decodes batches and writes groups of them."""

    lanes = 2
    """One group's rows are made while the other's are on their way to the disk. The ledger knows no order."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def decode(self, message: Msg) -> FlowsObserved:
        batch = decode_batch(message.data)
        # The bus lets a host publish on its own subject only, so the subject is what can be believed.
        if subjects.flows(batch.host) != message.subject:
            raise UndecodableError(f"it says it is from host {batch.host!r}, which publishes elsewhere")
        return batch

    def weight(self, item: FlowsObserved) -> int:
        return 10 + len(item.records)

    async def write(self, items: Sequence[FlowsObserved]) -> None:
        await self._writer.write(items)

    async def write_off(self, item: FlowsObserved) -> None:
        await self._writer.write_off(item)

    def forget(self) -> None:
        self._writer.forget()

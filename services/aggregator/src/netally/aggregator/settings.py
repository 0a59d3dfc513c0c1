"""Settings of the aggregator; those of the database are in `netally.store.database`."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from netally.bus.streams import ACK_WAIT, GIB, LEAST_EXPORTS_BYTES, LEAST_FLOWS_BYTES


class AggregatorSettings(msgspec.Struct, frozen=True):
    """Read from ``NETALLY_<FIELD>``."""

    nats_url: str = "nats://127.0.0.1:4222"
    """One or more servers, separated by commas."""
    nats_monitor_url: str | None = None
    """Where NATS answers ``/healthz``, such as ``http://127.0.0.1:8222``: only there it tells that its disk is full."""
    timezone: str | None = None
    """Time zone of the daily tier of a new database; the machine's when absent. Later changes have no effect."""
    aggregator_port: Annotated[int, Meta(ge=0, le=65_535)] = 7502
    """Probes and metrics; 0 turns them off."""
    probe_bind: str = "127.0.0.1"
    """Address that probes and metrics listen on."""
    log_level: str = "info"
    raw_retention_days: Annotated[int, Meta(ge=2, le=3_650)] = 7
    """Days raw rows are kept; what is older than one day less is refused on arrival."""
    flows_max_bytes: Annotated[int, Meta(ge=LEAST_FLOWS_BYTES)] = 8 * GIB
    """Bound of the stream FLOWS; a server with less room gets a smaller one."""
    stream_replicas: Literal[1, 3, 5] = 1
    """Servers of a NATS cluster that keep each message; 3 or 5 on a cluster of as many."""
    exports_max_bytes: Annotated[int, Meta(ge=LEAST_EXPORTS_BYTES)] = 2 * GIB
    """Most bytes of all exported files together; each is kept for three days."""

    database_timeout_seconds: Annotated[float, Meta(ge=1, le=3_600)] = 45.0
    """Longest a statement of the ingest may take; a database that hangs longer counts as away."""
    ack_wait_seconds: Annotated[float, Meta(ge=1, le=3_600)] = ACK_WAIT
    """What a crashed aggregator had in hand is delivered again after this."""

    def __repr__(self) -> str:
        return f"AggregatorSettings(aggregator_port={self.aggregator_port}, timezone={self.timezone})"

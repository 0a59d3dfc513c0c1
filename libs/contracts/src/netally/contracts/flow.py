"""Flow batches: what an agent publishes each interval on ``flows.v1.<host>``.

On the wire: MessagePack, then zstd level 1 (header ``Content-Encoding: zstd``, see `netally.contracts.wire`).
Names are kept once a batch: ``apps`` and ``domains`` are tables, rows carry indexes into them, and index 0 is
"unknown" in both, so that the reader maps names to ids once a batch rather than once a row.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

# The interval lengths that divide a minute, so that no record straddles a bucket of any tier.
INTERVALS = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60)

BATCH_VERSION = 1
MAX_RECORDS = 2_000
"""Most records of one batch; a longer interval is split into parts."""
MAX_TABLE = 4 * MAX_RECORDS
"""Most entries of each table of a batch: its records cannot point at more. Without a bound a small message could grow
to millions of names."""
MAX_NAME = 255
"""Longest application or domain name kept, in characters; longer ones are cut by the agent, refused by the reader."""
MAX_AMOUNT = 2**46
"""Most bytes or packets of one key in one interval (70 TB: 9 Tbit/s over a minute). More is no measurement, and sums of
such rows would overflow the database's numbers, so the reader refuses it."""

# Checked while decoding, at no cost worth naming.
Name = Annotated[str, Meta(max_length=MAX_NAME)]
Index = Annotated[int, Meta(ge=0, lt=2**31)]
Number = Annotated[int, Meta(ge=0, lt=2**15)]
Amount = Annotated[int, Meta(ge=0, le=MAX_AMOUNT)]
Difference = Annotated[int, Meta(ge=-MAX_AMOUNT, le=MAX_AMOUNT)]


class App(msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=False):
    """An application as the agent names it. Two apps are the same when all fields are."""

    name: Name
    """What people call it: package, script or executable name. Empty only for index 0."""
    executable: str = ""
    """Absolute path of the program, empty when not known."""
    user: str = ""
    """Name of the user it runs as, empty when not known."""
    unit: str = ""
    """systemd unit, or ``pod/`` and the id of a Kubernetes pod; empty when none."""
    container: str = ""
    """Container id (12 characters), empty when none."""


class FlowRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Traffic of one flow key in one interval, seen from the host.

    The key keeps the server's port and never the client's ephemeral one. Bytes are L3 bytes per wire segment,
    retransmissions included; ``in`` is received by the host.
    """

    app: Index
    """Index into the batch's ``apps``; 0 unknown."""
    domain: Index
    """Index into the batch's ``domains``; 0 unknown."""
    site: Index
    """Index into ``domains``: the site that caused the flow; 0 unknown."""
    scope: Number
    """`Scope`."""
    protocol: Annotated[int, Meta(ge=0, le=255)]
    """IP protocol number (IANA), ICMPv6 is 58."""
    server_port: Annotated[int, Meta(ge=0, le=65_535)]
    """Port of the serving side, 0 where the protocol has none."""
    role: Number
    """`Role` of this host."""
    remote: Annotated[bytes, Meta(min_length=4, max_length=16)]
    """Address of the other side, packed: 4 or 16 bytes."""
    bytes_in: Amount
    bytes_out: Amount
    packets_in: Amount
    packets_out: Amount
    connections: Index
    """Connections first seen in this interval."""
    domain_source: Number
    """`DomainSource`."""
    process_source: Number
    """`ProcessSource`."""
    retrans: Amount | None = None
    """Retransmitted bytes, null when the mode cannot tell."""


class TallyRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Bytes and packets of one interface counter that went to one cause. Signed: a difference may be negative."""

    interface: Annotated[str, Meta(max_length=64)]
    cause: Number
    """`Cause`."""
    bytes_in: Difference
    bytes_out: Difference
    packets_in: Difference
    packets_out: Difference


class Coverage(msgspec.Struct, frozen=True, array_like=True):
    """What of the interval was really measured."""

    mode: Number
    """`Mode`."""
    measured_ms: Index
    """Milliseconds of the interval during which the agent was capturing, by the monotonic clock."""
    part: Index = 0
    """0-based number of this batch within the interval."""
    parts: Index = 1
    """Batches of the interval; it is complete when all are committed."""
    paused: bool = False
    cut_ms: Index = 0
    """Milliseconds after its start at which the interval was cut short, when another length was set; 0: it was not."""


class FlowsObserved(msgspec.Struct, frozen=True, array_like=True):
    """One batch. (host, epoch, sequence) is its identity: committed once, however often it is delivered."""

    version: int
    host: str
    epoch: str
    """Random id (32 hex digits) minted when the agent's spool file is created."""
    sequence: int
    """1, 2, 3 … within the epoch, without holes."""
    start: int
    """Start of the interval, epoch milliseconds, a wall-clock multiple of ``interval``."""
    interval: int
    """Seconds, one of `INTERVALS`."""
    apps: Annotated[list[App], Meta(max_length=MAX_TABLE)]
    domains: Annotated[list[Name], Meta(max_length=MAX_TABLE)]
    records: Annotated[list[FlowRecord], Meta(max_length=MAX_RECORDS)]
    coverage: Coverage
    tally: Annotated[list[TallyRow], Meta(max_length=MAX_TABLE)]
    """Empty but in the last part of the interval."""

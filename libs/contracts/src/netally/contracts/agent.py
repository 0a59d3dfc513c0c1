"""What an agent says of itself: its state, and its traffic of the last second."""

from __future__ import annotations

import msgspec

CLOCK_TOLERANCE_MS = 5_000
"""An agent whose clock differs by more counts as off: by then its rows are in another interval."""


class InterfaceState(msgspec.Struct, frozen=True):
    """A network interface the agent knows of."""

    name: str
    addresses: list[str]
    captured: bool
    """False for interfaces that are left out (loopback's twin, bridges, containers' ends)."""
    speed_mbit: int | None = None


class AgentReported(msgspec.Struct, frozen=True):
    """State of an agent, on ``agents.v1.<host>`` every 10 s and on every change."""

    host: str
    time: int
    """Epoch milliseconds at the agent."""
    version: str
    started_at: int
    """Epoch milliseconds."""
    mode: str
    """Label of `Mode`."""
    mode_reason: str
    """Why this mode and not a better one, in plain words; empty for the best."""
    interval: int
    paused: bool
    interfaces: list[InterfaceState]
    epoch: str
    sequence: int
    """Sequence of the newest batch that was spooled."""
    spool_batches: int
    """Batches that wait in the spool."""
    spool_bytes: int
    lost_batches: int = 0
    """Batches the spool had to drop since the start, by age or size."""
    ring_drops: int = 0
    """Packets the kernel dropped since the start because the ring was full."""
    settings_version: int = 0
    kind: str = "agent"
    """``agent``, or ``replay`` for a capture that was sent in."""


class LiveFlow(msgspec.Struct, frozen=True):
    """One of the largest movers of the last second."""

    app: str
    domain: str
    remote: str
    bytes_in: int
    bytes_out: int


class LiveSample(msgspec.Struct, frozen=True):
    """Traffic of about one second, on ``live.v1.<host>`` (core NATS, never stored), also when it was none."""

    host: str
    time: int
    """End of the second, epoch milliseconds at the agent."""
    span_ms: int
    """Length of the second by the monotonic clock."""
    bytes_in: int
    """L3 bytes of scopes inside totals (loopback and replay are left out)."""
    bytes_out: int
    packets_in: int
    packets_out: int
    flows: list[LiveFlow]
    """Largest movers by bytes, at most 50."""

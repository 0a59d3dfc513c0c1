"""Metrics of the agent."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge

PACKETS: Final = Counter("netally_capture_packets_total", "Packets counted (wire segments)", ["interface"])
BYTES: Final = Counter("netally_capture_bytes_total", "L3 bytes counted", ["interface"])
RING_DROPS: Final = Counter("netally_capture_ring_drops_total", "Packets the ring had no room for", ["interface"])
TAPPED: Final = Counter("netally_capture_tapped_packets_total", "Packets read whole for names and openings")
MAP_FILL: Final = Gauge("netally_capture_map_fill_ratio", "Share of the kernel's map of connections in use (ebpf)")
MAP_LOST: Final = Counter("netally_capture_map_lost_packets_total", "Packets the kernel's map had no room for (ebpf)")
SUMMED_UP: Final = Counter(
    "netally_capture_summed_up_total", "Openings of a flood, told by program and port only (ebpf)"
)
FLOWS: Final = Gauge("netally_capture_flows", "Flows in the table")
COLLISIONS: Final = Gauge("netally_capture_key_collisions", "Packets counted as other because key hashes met")
PROCESS_MISSES: Final = Gauge("netally_capture_process_misses", "Socket questions that found no process")
ENDS_LOST: Final = Counter(
    "netally_capture_ends_lost_total", "Times that connections ended faster than their last figures were read"
)
INTERVALS: Final = Counter("netally_capture_intervals_total", "Intervals cut")
RECORDS: Final = Counter("netally_capture_records_total", "Flow records made")
SPOOL_BATCHES: Final = Gauge("netally_capture_spool_batches", "Batches that wait in the spool")
SPOOL_BYTES: Final = Gauge("netally_capture_spool_bytes", "Bytes of the batches that wait")
SPOOL_LOST: Final = Gauge("netally_capture_spool_lost_batches", "Batches lost since the start")
PUBLISHED: Final = Counter("netally_capture_published_batches_total", "Batches the bus has stored")
PUBLISH_FAILURES: Final = Counter("netally_capture_publish_failures_total", "Tries that the bus did not store")

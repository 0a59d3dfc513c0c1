"""Counters of the aggregator."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

BATCHES = Counter("netally_aggregator_batches_total", "Flow batches by what became of them", ["outcome"])
"""``committed``, ``duplicate``, ``refused``, ``dead_letter``, ``retried``."""
ROWS = Counter("netally_aggregator_rows_total", "Rows committed", ["table"])
REFUSED_ROWS = Counter("netally_aggregator_refused_rows_total", "Flow rows refused or moved", ["reason"])
DEAD_LETTERS = Counter("netally_aggregator_dead_letters_total", "Messages that can never be stored", ["stream"])
AGENT_REPORTS = Counter("netally_aggregator_agent_reports_total", "Agent reports stored")
COMMIT_SECONDS = Histogram(
    "netally_aggregator_commit_seconds",
    "Seconds from a group of batches in hand to its commit",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
WAITING = Gauge("netally_aggregator_waiting_messages", "Messages of a stream not delivered yet", ["stream"])
UNACKED = Gauge("netally_aggregator_unacked_messages", "Messages delivered and not acknowledged yet", ["stream"])
MAINTAINING = Gauge("netally_aggregator_maintaining", "1 while this aggregator maintains the history, else 0")
REFRESHED_BUCKETS = Counter("netally_aggregator_refreshed_buckets_total", "Buckets made anew", ["tier"])
REFRESHED_ROWS = Counter("netally_aggregator_refreshed_rows_total", "Rollup rows written", ["tier"])
REFRESH_SECONDS = Counter("netally_aggregator_refresh_seconds_total", "Seconds spent on refreshes", ["tier"])
OUTSTANDING = Gauge("netally_aggregator_outstanding_buckets", "Stored buckets that wait to be made anew", ["tier"])
TIER_LAG = Gauge("netally_aggregator_tier_lag_seconds", "Age of the oldest bucket that is not stored yet", ["tier"])
DROPPED_ROWS = Counter("netally_aggregator_dropped_rows_total", "Rows dropped by retention", ["tier"])
DROPPED_BYTES = Counter("netally_aggregator_dropped_bytes_total", "Bytes freed by retention", ["tier"])
